"""Differences between the groups that make a comparison unfair or meaningless."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.analysis.result import incomplete
from service.comparison.data import ComparisonData, hardware
from service.comparison.selection import RunGroup, Trial
from service.db.runs.runs import StoredRun
from service.errors import ComponentMissing
from service.experiments.parsed_spec import parsed_spec
from service.lifecycle import TERMINAL, Relation
from service.schemas.common import Json
from service.schemas.comparisons import Comparability, Mismatch
from service.spec.datasets.identity import data_identity
from service.spec.measures import has_scale_of_loss
from service.spec.validation_errors import closest

Severity = Literal["fatal", "unfair", "noted"]
SPLIT = ("validation", "test", "split_seed", "split", "folds")
RESOLVED_SPLIT = ("split", "files", "rows", "validation", "test")  # follows from split and file
RESOLVED_PREPARATION = ("columns", "inputs", "coded")  # follows from the preparation and file
PREPARATION = ("prepare", "scaling")  # of the features: rows and targets stay


@dataclass(frozen=True)
class Aspect:
    """Something that should be equal in all groups, and how to read it from a trial."""

    name: str
    severity: Severity
    detail: str
    of: Callable[[Trial], Any]


def part(*path: str) -> Callable[[Trial], Any]:
    """Return a function that reads a path of a trial's spec; None where it has none."""

    def read(trial: Trial) -> Any:
        here: Any = trial.experiment.spec
        for name in path:
            here = here.get(name) if isinstance(here, dict) else None
        return here

    return read


def _dataset(trial: Trial) -> Json:
    found: Json = data_identity(trial.experiment.spec.get("dataset", {}))
    if isinstance(resolved := found.get("resolved"), dict):
        left_out = (*RESOLVED_SPLIT, *RESOLVED_PREPARATION)
        found["resolved"] = {key: value for key, value in resolved.items() if key not in left_out}
    return {key: value for key, value in found.items() if key not in (*SPLIT, *PREPARATION, "target_scaling")}


def _preparation(trial: Trial) -> Json:
    dataset = trial.experiment.spec.get("dataset", {})
    return {key: dataset.get(key) or None for key in PREPARATION}


def _split(trial: Trial) -> Json:
    found: Json = data_identity(trial.experiment.spec.get("dataset", {}))
    return {key: found.get(key) for key in SPLIT}


def _length(trial: Trial) -> list[int]:
    return sorted({run.total_steps for run in trial.runs})


def _batch(trial: Trial) -> Any:
    try:
        return parsed_spec(trial.experiment).rows_per_step
    except ComponentMissing:
        return trial.experiment.spec.get("batch_size")


def _cadence(trial: Trial) -> Any:
    try:
        return parsed_spec(trial.experiment).evaluation_every
    except ComponentMissing:  # from what is stored, an epoch's updates being the run's share
        document = trial.experiment.spec
        every, epochs = document.get("evaluate", {}).get("every_steps"), document.get("epochs")
        return every or (trial.runs[0].total_steps // epochs if epochs and trial.runs else None)


def aspects(series: str) -> list[Aspect]:
    """Return what should be equal for a comparison by `series`, the most important first."""
    of_loss: Severity = "fatal" if has_scale_of_loss(series) else "noted"
    measured: Severity = "unfair" if "/" in series else "noted"
    return [
        Aspect("data", "fatal", "The groups train on different data: see difference.", _dataset),
        Aspect("split", "fatal", "The groups hold out different rows for validation or test: see difference.", _split),
        Aspect("loss", of_loss, "The groups have different losses, whose values have no common scale.", part("loss")),
        Aspect(
            "target_scaling",
            of_loss,
            "The groups scale their targets differently: losses have no common scale.",
            part("dataset", "target_scaling"),
        ),
        Aspect("preprocessing", "noted", "The groups prepare or scale their features differently.", _preparation),
        Aspect("model", "noted", "The groups have different models.", part("model")),
        Aspect("precision", "noted", "The groups compute in different precisions.", part("precision")),
        Aspect("batch", "noted", "The groups have different batch sizes: a step is not the same work.", _batch),
        Aspect(
            "cadence",
            measured,
            "The groups are evaluated at different intervals: more evaluations find better best values.",
            _cadence,
        ),
        Aspect("budget", "unfair", "The runs have different lengths.", _length),
    ]


def comparability(data: ComparisonData) -> Comparability:
    """Return every difference; one that may be the point of the comparison is only noted."""
    groups = data.groups
    found = [
        Mismatch(aspect=each.name, severity=each.severity, detail=each.detail, values=values)
        for each in aspects(data.ranked)
        if (values := _values(groups, each)) is not None
    ]
    found += _of_runs(data)
    return Comparability(
        comparable=all(each.severity != "fatal" for each in found),
        fair=all(each.severity == "noted" for each in found),
        mismatches=found,
    )


Scale = dict[str, frozenset[str]]  # what decides the scale of the values: why it matters -> what the group has


def value_scale(series: str, group: RunGroup) -> Scale:
    """Return what must be equal for values of `series` to be comparable."""
    fatal = [aspect for aspect in aspects(series) if aspect.severity == "fatal"]
    return {aspect.detail: frozenset(repr(aspect.of(trial)) for trial in group.trials) for aspect in fatal}


def scale_mismatch(one: Scale, other: Scale) -> str | None:
    """Return why the values of two groups cannot be compared; None where they can."""
    return next((detail for detail, values in one.items() if len(values | other[detail]) > 1), None)


def _values(groups: Sequence[RunGroup], aspect: Aspect) -> list[Any] | None:
    """Return one value per group, a list where its trials differ; None where all groups are equal."""
    by_group = [{repr(value): value for value in map(aspect.of, group.trials)} for group in groups]
    if len({text for values in by_group for text in values}) < 2:
        return None
    return [next(iter(values.values())) if len(values) == 1 else list(values.values()) for values in by_group]


def _of_runs(data: ComparisonData) -> list[Mismatch]:
    groups = data.groups
    found = []
    seeds = [sorted({run.seed for run in group.runs}) for group in groups]
    if len({tuple(each) for each in seeds}) > 1:
        found.append(_mismatch("seeds", "unfair", "The groups have different seeds.", seeds))
    trials = [len(group.trials) for group in groups]
    if len(set(trials)) > 1:
        detail = "The groups have different numbers of trials, and more trials find better values by luck alone."
        found.append(_mismatch("tuning", "unfair", detail, trials))
    unfinished = [sum(is_unfinished(run) for run in group.runs) for group in groups]
    short = [sum(ended_short(data, run) for run in group.runs) for group in groups]
    details = []
    if any(unfinished):
        details.append(
            f"{sum(unfinished)} of the runs have not reached the end of their schedule, so the order may still change."
        )
    if any(short):
        details.append(f"{sum(short)} of the runs failed, were cancelled or stopped before the end of their schedule.")
    if details:
        values = [one + other for one, other in zip(unfinished, short, strict=True)]
        found.append(_mismatch("schedule", "unfair", " ".join(details), values))
    for name, detail, read in (
        ("hardware", "The runs used different hardware.", _hardware),
        ("software", "The runs used different releases of torch.", _software),
    ):
        kinds = [sorted({kind for run in group.runs if (kind := read(data, run))}) for group in groups]
        if len({kind for each in kinds for kind in each}) > 1:
            found.append(_mismatch(name, "noted", detail, kinds))
    return found


def _mismatch(aspect: str, severity: Severity, detail: str, values: list[Any]) -> Mismatch:
    return Mismatch(aspect=aspect, severity=severity, detail=detail, values=values)


def _hardware(data: ComparisonData, run: StoredRun) -> str:
    known = data.conditions.get(run.id)
    return hardware(known) if known else ""


def _software(data: ComparisonData, run: StoredRun) -> str:
    known = data.conditions.get(run.id)
    return " and ".join(sorted({str(e.get("torch")) for e in known.environments})) if known else ""


def is_unfinished(run: StoredRun) -> bool:
    """Return whether a run may still train towards the end of its schedule."""
    return run.step < run.total_steps and run.state not in TERMINAL


def ended_short(data: ComparisonData, run: StoredRun) -> bool:
    """Return whether a run ended before its schedule did, for another reason than that it diverged."""
    return run.step < run.total_steps and run.state in TERMINAL and not data.diverged(run)


def is_incomplete(data: ComparisonData, run: StoredRun) -> bool:
    """Return whether a run has no value for another reason than that it diverged."""
    return incomplete(run) and not data.diverged(run)


def warnings(data: ComparisonData, report: Comparability) -> list[str]:
    """Return what a reader should know before trusting the ranking."""
    messages = [each.detail for each in report.mismatches if each.severity != "noted"]
    runs = [run for group in data.groups for run in group.runs]
    if open_runs := sum(run.state not in TERMINAL for run in runs):
        messages.append(f"{open_runs} of the runs have not ended, so their values will change.")
    if diverged := sum(map(data.diverged, runs)):
        messages.append(f"{diverged} of the runs diverged: they are counted, but left out of every mean.")
    if lost := sum(is_incomplete(data, run) for run in runs):
        messages.append(f"{lost} of the runs failed or were cancelled: they have no value and are in no mean.")
    joined = [run for run in runs if run.relation is Relation.RETRY and run.origin_step]
    if joined:
        first = joined[0]
        messages.append(
            f"{len(joined)} of the runs are retries from a checkpoint: their curves and values leave out the steps "
            f"before it, which an earlier run trained (in {first.id}, the first {first.origin_step} steps)."
        )
    if folds := max((group.folds for group in data.groups), default=1) - 1:
        messages.append(
            f"The runs validate on {folds + 1} folds of one dataset, whose training parts overlap: intervals and tests "
            f"take the variance of a mean of n values as s2 (1/n + 1/{folds}) instead of s2/n (Nadeau and Bengio 2003)."
        )
    messages += without_effect(data)
    for name in data.series:
        without = [m.label for m in data.groups if not any(name in data.summaries[run.id] for run in m.runs)]
        if without:
            messages.append(f"No values of {name} in: {', '.join(without[:10])}.{_meant(data, name)}")
    return messages


def _meant(data: ComparisonData, name: str) -> str:
    """Return a sentence with the series that the runs have and `name` may have meant; empty without one."""
    names = {series for found in data.summaries.values() for series in found}
    if name in names:
        return ""
    starts = sorted(each for each in names if each.startswith(name))
    near = starts[0] if starts else closest(name, sorted(names))
    return f" The runs have {near}." if near else ""


def without_effect(data: ComparisonData) -> list[str]:
    """Return a warning for groups with bit-identical losses of one seed: their difference had no effect."""
    seen: dict[tuple[object, ...], str] = {}
    messages: dict[str, None] = {}
    for group in data.groups:
        for run in group.runs:
            loss = data.summaries[run.id].get("loss")
            if loss is None or loss.n < 2:
                continue
            same = (run.seed, loss.n, loss.last, loss.min, loss.min_step, loss.max, loss.max_step)
            other = seen.setdefault(same, group.label)
            if other != group.label:
                messages[f"{other} and {group.label} have identical losses: their difference had no effect."] = None
    return list(messages)
