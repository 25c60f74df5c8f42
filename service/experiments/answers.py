"""Experiments as they are sent."""

import hashlib
import json
import math
from collections.abc import Collection, Sequence
from typing import Any

from service.analysis.significance import overlap_of
from service.analysis.t_distribution import t_quantile
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.experiments.experiments import ExperimentProgress, StoredExperiment
from service.db.experiments.lists import ListedExperiment
from service.db.metrics import experiment_summary
from service.db.metrics.experiment_summary import ExperimentSummary
from service.db.runs import runs
from service.db.runs.duration_estimate import StepDuration
from service.db.session import Connection
from service.experiments.parsed_spec import normalised_spec
from service.experiments.run_answers import read_runs
from service.experiments.seed_summary import restarts_view
from service.schemas.experiments import (
    Derived,
    DurationView,
    ExperimentItem,
    ExperimentView,
    FiguresView,
    RestartsView,
)
from service.schemas.runs import RunView
from service.spec.checkpoint_size import checkpoint_bytes
from service.spec.effective import effective_settings
from service.spec.experiment import Experiment
from service.spec.group_assignment import assign_groups
from service.spec.measures import better_direction, default_figure
from service.spec.memory import estimate_memory
from service.spec.packs import pack_problem


def etag(*fields: Any) -> str:
    """Return the ETag of these values."""
    return f'"{hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:32]}"'


def etag_of(stored: StoredExperiment) -> str:
    """Return the ETag of the fields of an experiment that can be changed."""
    return etag(stored.name, stored.tags, stored.notes)


def read_experiment(
    connection: Connection, principal: Principal, experiment_id: str, with_places: bool = False
) -> ExperimentView:
    """Return an experiment and its runs, or raise `NotFound`; `with_places` reads the whole queue."""
    stored = experiments.get(connection, principal, experiment_id)
    found = [run for run in runs.all_of_experiments(connection, [experiment_id]) if not run.predicts]
    views = read_runs(connection, found, with_places)
    counting = {run.id for run in runs.select_counted(found)}
    main = experiment_summary.of_experiments(connection, [experiment_id]).get(experiment_id)
    return experiment_view(stored, views, counting, main, restarts_view([run for run in views if run.id in counting]))


def experiment_view(
    stored: StoredExperiment,
    found: list[RunView],
    counting: Collection[str],
    main: ExperimentSummary | None = None,
    restarts: RestartsView | None = None,
) -> ExperimentView:
    """Return an experiment with its runs; `counting` names the runs that count in comparisons."""
    return ExperimentView.of(
        stored,
        hash=stored.spec_hash,
        etag=etag_of(stored),
        spec=normalised_spec(stored),
        runs=found,
        superseded=[run.id for run in found if run.id not in counting],
        main=main and figures_view(main),
        restarts=restarts,
    )


def experiment_item(
    stored: ListedExperiment, standing: ExperimentProgress, main: ExperimentSummary | None, columns: Sequence[str] = ()
) -> ExperimentItem:
    """Return an experiment as a list shows it, with the values of the `columns` asked for."""
    return ExperimentItem.of(
        stored,
        hash=stored.spec_hash,
        runs=standing.counts,
        progress=standing.progress,
        steps=standing.longest,
        main=main and figures_view(main),
        values=dict(zip(columns, stored.columns, strict=True)),
    )


def figures_view(figures: ExperimentSummary) -> FiguresView:
    """Return what an experiment came to, with intervals over its seeds."""
    return FiguresView.of(
        figures,
        direction=better_direction(figures.series),
        ranked_by=default_figure(figures.series),
        last_interval=_interval(figures.last, figures.last_spread, figures.n, figures.folds),
        best_interval=_interval(figures.best, figures.best_spread, figures.best_n, figures.folds),
    )


def _interval(mean: float | None, spread: float | None, n: int, folds: int) -> tuple[float, float] | None:
    if mean is None or spread is None or not math.isfinite(mean) or not math.isfinite(spread):
        return None
    half = t_quantile(0.975, n - 1) * spread * math.sqrt(1 / n + overlap_of(folds))
    return mean - half, mean + half


def derived(spec: Experiment) -> Derived:
    """Return what follows from a spec; nothing is read."""
    memory = estimate_memory(spec)
    return Derived(
        parameters=spec.parameters,
        memory_bytes=memory and memory.total,
        checkpoint_bytes=checkpoint_bytes(spec),
        groups=None if spec.layout is None else [group.document() for group in assign_groups(spec)],
        effective=effective_settings(spec),
        alone=pack_problem(spec) or None,
        steps_per_epoch=spec.steps_per_epoch,
        total_steps=spec.total_steps,
    )


def duration_view(pace: StepDuration | None, steps: int) -> DurationView | None:
    """Return how long `steps` steps may take; None where nothing like it has been trained here yet."""
    if pace is None:
        return None
    return DurationView(seconds=pace.middle * steps, low=pace.low * steps, high=pace.high * steps, runs=pace.runs)
