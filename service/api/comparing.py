"""Answering a comparison: groups of runs on one grid, summed up over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.analysis import aggregate, align
from service.analysis.aggregate import Aggregate, Band
from service.api.comparison_views import CurveBand, Direction, Group, GroupSeries, Question, Statistics
from service.api.series import steps_per_epoch
from service.api.views import Json
from service.db import experiments, metrics, runs
from service.db.experiments import StoredExperiment
from service.db.metrics import Curve, Summary
from service.db.projects import Principal
from service.db.runs import StoredRun
from service.db.session import Connection
from service.errors import Invalid, Problem

MAX_RUNS = 200
IGNORED = ("name", "tags", "notes", "seeds")  # of a spec: they do not decide what is trained


@dataclass(frozen=True)
class Member:
    """A group before it is summed up."""

    label: str
    experiment: StoredExperiment
    runs: list[StoredRun]

    @property
    def spec(self) -> Json:
        """What the group trains."""
        return {key: value for key, value in self.experiment.spec.items() if key not in IGNORED}


def check(question: Question) -> None:
    """`Invalid` unless the question names what to compare, once."""
    if (question.experiments is None) == (question.runs is None):
        raise Invalid.of([Problem("/experiments", "contradiction", "give exactly one of experiments and runs.")])
    for name, prefix in (("experiments", "exp_"), ("runs", "run_")):
        ids = getattr(question, name) or ()
        if any(not each.startswith(prefix) for each in ids):
            raise Invalid.of([Problem(f"/{name}", "wrong_id", f"every id here starts with {prefix}.")])
        if len(set(ids)) < len(ids):
            raise Invalid.of([Problem(f"/{name}", "repeated", "give each id once.")])


def members(connection: Connection, principal: Principal, question: Question) -> list[Member]:
    """The groups, in the order of the question; `NotFound` for what this principal may not see."""
    if question.experiments:
        found = runs.of_experiments(
            connection, [e.id for e in experiments.some(connection, principal, question.experiments)]
        )
    else:
        found = runs.some(connection, principal, question.runs or ())
    if len(found) > MAX_RUNS:
        raise Invalid.of([Problem("/experiments", "too_many_runs", f"they have {len(found)} runs.", MAX_RUNS)])
    owners = question.experiments or tuple(dict.fromkeys(run.experiment_id for run in found))
    stored = experiments.some(connection, principal, owners)
    names = [each.name for each in stored]
    labels = [e.name if names.count(e.name) == 1 else f"{e.name} ({e.id[-6:]})" for e in stored]
    groups = [
        Member(label, experiment, [run for run in found if run.experiment_id == experiment.id])
        for label, experiment in zip(labels, stored, strict=True)
    ]
    if question.group == "experiment":
        return groups
    return [Member(f"{g.label} seed {run.seed}", g.experiment, [run]) for g in groups for run in g.runs]


def answer(connection: Connection, question: Question, found: Sequence[Member]) -> list[Group]:
    """Every group with its curves and figures."""
    everyone = [run for member in found for run in member.runs]
    summaries = {
        run_id: {summary.name: summary for summary in each}
        for run_id, each in metrics.summaries(connection, [run.id for run in everyone]).items()
    }
    curves = {run.id: metrics.read(connection, run.id, question.series) for run in everyone}
    series = {name: _series(name, question, found, curves, summaries) for name in question.series}
    return [
        Group(
            label=member.label,
            experiment_id=member.experiment.id,
            runs=[run.id for run in member.runs],
            diverged=sum(_diverged(run, summaries[run.id]) for run in member.runs),
            series={name: series[name][position] for name in question.series},
        )
        for position, member in enumerate(found)
    ]


def _diverged(run: StoredRun, summaries: Mapping[str, Summary]) -> bool:
    failed = run.failure is not None and run.failure.get("code") == "diverged"
    return failed or any(summary.nonfinite for summary in summaries.values())


def _series(
    name: str,
    question: Question,
    found: Sequence[Member],
    curves: Mapping[str, Mapping[str, Curve]],
    summaries: Mapping[str, Mapping[str, Summary]],
) -> list[GroupSeries]:
    """One series of every group, all runs on one grid."""
    rows: list[align.Curve] = []
    groups: list[list[int]] = []  # which rows are whose
    for member in found:
        per_epoch = steps_per_epoch(member.experiment.spec) if question.x == "epoch" else None
        there = [curves[run.id][name] for run in member.runs if name in curves[run.id]]
        groups.append(list(range(len(rows), len(rows) + len(there))))
        rows += [align.curve(each.steps, each.values, question.x, per_epoch) for each in there]
    aligned = align.resample(rows, question.points)
    direction = better(name)
    views = []
    for member, mine in zip(found, groups, strict=True):
        band = aggregate.aggregate_curves(aligned.y[mine], aligned.present[mine])
        figures = [summaries[run.id][name] for run in member.runs if name in summaries[run.id]]
        views.append(
            GroupSeries(
                direction=direction,
                curve=_band(aligned.x.tolist(), band),
                last=_statistics([f.last for f in figures if f.last is not None]),
                best=_statistics(
                    [math.nan if v is None else v for f in figures if f.n for v in (_best(f, direction),)]
                ),
            )
        )
    return views


def better(name: str) -> Direction:
    """Accuracies should be high, everything else low."""
    return "max" if "accuracy" in name else "min"


def _best(summary: Summary, direction: Direction) -> float | None:
    return summary.min if direction == "min" else summary.max


def _statistics(values: Sequence[float]) -> Statistics:
    found: Aggregate = aggregate.aggregate(values)
    return Statistics(
        n=found.n,
        diverged=found.diverged,
        mean=found.mean,
        sd=found.sd,
        median=found.median,
        min=found.min,
        max=found.max,
        ci_low=found.low,
        ci_high=found.high,
    )


def _band(x: list[float], band: Band) -> CurveBand:
    def column(values: list[float]) -> list[float | None]:
        return [None if math.isnan(value) else value for value in values]

    return CurveBand(
        x=x,
        n=band.n.tolist(),
        mean=column(band.mean.tolist()),
        sd=column(band.sd.tolist()),
        median=column(band.median.tolist()),
        min=column(band.min.tolist()),
        max=column(band.max.tolist()),
        ci_low=column(band.low.tolist()),
        ci_high=column(band.high.tolist()),
    )
