"""The card of a trained model, from its run, the other seeds of its experiment and its diagnosis."""

from collections.abc import Mapping

from service.analysis.result import diverged
from service.analysis.significance import overlap_of
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import runs
from service.db.session import Connection
from service.diagnosis.diagnose_run import diagnosis_of
from service.experiments.parsed_spec import parsed_spec
from service.experiments.run_answers import read_runs
from service.export.model.card import CardFacts, model_card
from service.schemas.runs import RunView, SummaryView

PARTS = ("val", "test", "train", "average")  # whose series are results, besides the loss
PACKAGES = ("torch", "device", "threads")  # of the environment


def card_of(connection: Connection, principal: Principal, run_id: str) -> str:
    """Return the card of a run as markdown."""
    run, diagnosis = diagnosis_of(connection, principal, run_id)
    stored = experiments.get(connection, principal, run.experiment_id)
    found = runs.all_of_experiments(connection, [run.experiment_id])
    (own,) = read_runs(connection, [run], with_places=False)
    views = read_runs(connection, runs.select_counted(found), with_places=False)
    spec = parsed_spec(stored)
    results = {name: _result(own, name) for name in own.series if _is_result(name)}
    environment: Mapping[str, object] = next(
        (each.environment for each in reversed(runs.attempts(connection, run_id)) if each.environment), {}
    )
    facts = CardFacts(
        run_id=run_id,
        seed=run.seed,
        state=run.state.value,
        step=run.step,
        trained_s=run.trained_s,
        experiment=stored.name,
        notes=stored.notes,
        spec=spec.normalised(),
        spec_hash=stored.spec_hash,
        rows=spec.dataset.counts,
        parameters=spec.parameters,
        environment={name: environment[name] for name in PACKAGES if name in environment},
        results=results,
        seeds={name: _over_seeds(views, name) for name in results},
        overlap=overlap_of(spec.folds),
        diagnosis=[
            f"{diagnosis.level}: {diagnosis.headline}",
            *(f"{each.rule.id}: {each.finding.text}" for each in diagnosis.findings),
        ],
    )
    return model_card(facts)


def _is_result(series: str) -> bool:
    return series == "loss" or series.partition("/")[0] in PARTS


def _result(run: RunView, series: str) -> float | None:
    """Return the last value of a series, or the mean over its final stretch where each value is of a minibatch."""
    found: SummaryView | None = run.series.get(series)
    return None if found is None else found.last if found.final is None else found.final


def _over_seeds(views: list[RunView], series: str) -> list[float]:
    """Return the result of each seed that has ended well; NaN for one that diverged."""
    ended = [run for run in views if run.state == "succeeded" or diverged(run, run.series)]
    values = [float("nan") if diverged(run, run.series) else _result(run, series) for run in ended]
    return [value for value in values if value is not None]
