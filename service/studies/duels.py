"""A duel: what each scientific value comes to when all are tuned with the same number of trials.

Medians and profiles follow AlgoPerf (Dahl et al. 2023, arXiv:2306.07179), roles the tuning playbook of Godbole et al.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from service.errors import Invalid
from service.spec.parse.experiment import parse_experiment
from service.spec.studies.dimensions import Int, LogUniform, UniformRange
from service.spec.studies.points import apply
from service.spec.studies.space import Leaf, Point, combinations, locate
from service.spec.studies.study import Study
from service.spec.studies.trying import document_pointer
from service.studies.suggest.ask import has
from service.studies.trial import Trial, TrialState

BORDER = 0.05  # share of a range, on its scale, that counts as its border
LEAST_AT_BORDER = 5  # trials of a value before its best one says anything about the range
EXTENSION = 0.5  # of its range by which one is extended beyond its border


@dataclass(frozen=True)
class Border:
    """A best value at the border of its range: better ones may lie beyond."""

    pointer: str
    value: float
    end: str  # low or high
    bound: float
    patch: dict[str, Any]  # JSON Patch operation on the study's document that extends the range


@dataclass(frozen=True)
class Contestant:
    """What one combination of scientific values came to; values are of the objective."""

    values: Point  # the scientific values
    trials: int  # that ended: finished, pruned or diverged
    finished: int
    diverged: int
    best: Trial | None
    median: float | None  # of the trials that ended; None: diverged
    quartiles: tuple[float | None, float | None]  # lower and upper by rank from the best; None: diverged
    sensitivity: float | None  # how much worse the median trial is than the best one; None: it diverged
    borders: tuple[Border, ...]


@dataclass(frozen=True)
class ProfilePoint:
    """At `ratio` times the fewest steps, the share of the targets that a contestant has reached by then."""

    ratio: float
    shares: tuple[float, ...]  # in the order of the contestants


def judge(study: Study, trials: Sequence[Trial]) -> list[Contestant]:
    """Return the contestants in the order of the space; one without scientific values is the whole study."""
    return [
        _contestant(study, combination, [trial for trial in trials if has(trial, combination)])
        for combination in combinations(study.space)
    ]


def even(contestants: Sequence[Contestant]) -> bool:
    """Return whether all have had the same number of trials so far, to one: else they are not compared yet."""
    counts = [contestant.trials for contestant in contestants]
    return max(counts) - min(counts) <= 1


def _contestant(study: Study, values: Point, own: list[Trial]) -> Contestant:
    sign = study.objective.sign
    ended = [trial for trial in own if trial.state in (TrialState.FINISHED, TrialState.PRUNED)]
    finished = [trial for trial in ended if trial.state == TrialState.FINISHED and trial.value is not None]
    best = min(finished, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)
    losses = sorted(_loss(study, trial) for trial in ended)
    lower, middle, upper = (_at(losses, share) for share in (0.25, 0.5, 0.75))
    worse = None if best is None or best.value is None or middle is None else middle - sign * best.value
    return Contestant(
        values=values,
        trials=len(ended),
        finished=len(finished),
        diverged=sum(loss == math.inf for loss in losses),
        best=best,
        median=None if middle is None else sign * middle,
        quartiles=(None if lower is None else sign * lower, None if upper is None else sign * upper),
        sensitivity=worse,
        borders=() if best is None or len(ended) < LEAST_AT_BORDER else tuple(borders(study, best.point)),
    )


def _loss(study: Study, trial: Trial) -> float:
    """Return what a trial came to; a pruned one what it had at its last rung, which is all that is known of it."""
    value = trial.value if trial.state == TrialState.FINISHED else (trial.rungs[-1] if trial.rungs else None)
    return math.inf if value is None else study.objective.sign * value


def _at(ordered: list[float], share: float) -> float | None:
    """Return a quantile by linear interpolation; None if it is of a diverged trial, or of none."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    value = low if low == high else low + (place - math.floor(place)) * (high - low)
    return value if math.isfinite(value) else None


def borders(study: Study, point: Mapping[str, Any]) -> list[Border]:
    """Return the ranges at whose border a point lies, each with the patch of the study that extends it."""
    found = []
    for leaf, unit in (locate(study.space, point) or {}).values():
        if isinstance(leaf.dimension, UniformRange | LogUniform | Int) and not BORDER < unit < 1 - BORDER:
            end = "low" if unit < 0.5 else "high"
            bound, longer = _extended(leaf, end)
            if (extended := _allowed(study, point, leaf, bound, longer)) is not None:
                patch = {"op": "replace", "path": f"{document_pointer(leaf)}/{end}", "value": extended}
                found.append(Border(leaf.pointer, point[leaf.pointer], end, bound, patch))
    return found


def _extended(leaf: Leaf, end: str) -> tuple[float, float]:
    """Return a bound, and the one of a range that is longer by half on its scale; one of positive numbers ends at 0."""
    low, high = float(leaf.dimension.low), float(leaf.dimension.high)  # type: ignore[attr-defined]
    if isinstance(leaf.dimension, LogUniform) or (isinstance(leaf.dimension, Int) and leaf.dimension.log):
        ratio = (high / low) ** EXTENSION
        beyond = low / ratio if end == "low" else high * ratio
    else:
        length = EXTENSION * (high - low)
        beyond = low - length if end == "low" else high + length
        beyond = max(beyond, 0.0) if low >= 0 else beyond
    extended: float = float(f"{beyond:.3g}")
    if isinstance(leaf.dimension, Int):
        extended = max(round(beyond), 1) if leaf.dimension.log else round(beyond)
    return (low if end == "low" else high), extended


def _allowed(study: Study, point: Mapping[str, Any], leaf: Leaf, bound: float, extended: float) -> float | None:
    """Return the extended bound as far as the field of the spec goes; None where it ends at the bound already."""
    for _ in range(2):
        try:
            parse_experiment(apply(study.base, {**point, leaf.pointer: extended}))
            break
        except Invalid as error:
            limits = [problem.limit for problem in error.problems if problem.pointer == leaf.pointer]
            if not limits:  # what else is wrong, such as an upload that is not looked up here, is none of the range's
                break
            limit = limits[0] if isinstance(limits[0], dict) else {}
            if (end := limit.get("le", limit.get("ge"))) is not None:
                extended = end
            elif (end := limit.get("lt", limit.get("gt"))) is not None:
                extended = float(f"{(bound + 9 * end) / 10:.4g}")  # nine tenths of the way to an end that is outside
            else:
                return None
    return None if math.isclose(extended, bound) else extended


def steps_to_reach(study: Study, trial: Trial, steps: Sequence[int], total: int, target: float) -> int | None:
    """Return the first rung or end at which a trial is at the target or better; `steps` are those of its rungs."""
    sign = study.objective.sign
    measured: list[tuple[int, float | None]] = [*zip(steps, trial.rungs, strict=False)]
    if trial.state == TrialState.FINISHED:
        measured.append((total, trial.value))
    return next((step for step, value in measured if value is not None and sign * value <= sign * target), None)


def profile(best_steps: Sequence[Sequence[int | None]]) -> list[ProfilePoint]:
    """Return the performance profile (Dolan & More 2002): steps to each target (targets, contestants), None: never.

    A contestant's share at ratio r is that of the targets which it reached in at most r times the fewest steps of any.
    Targets that nobody reached count for nobody. AlgoPerf's targets are workloads; those of one study are quantiles.
    """
    ratios = []
    for target in best_steps:
        reached = [steps for steps in target if steps is not None]
        fewest = min(reached) if reached else None
        ratios.append([None if steps is None or fewest is None else steps / fewest for steps in target])
    places = sorted({ratio for target in ratios for ratio in target if ratio is not None} | {1.0})
    columns = [list(column) for column in zip_longest(*ratios)]
    return [
        ProfilePoint(
            place, tuple(sum(r is not None and r <= place for r in column) / len(ratios) for column in columns)
        )
        for place in places
    ]


def targets(study: Study, trials: Sequence[Trial], count: int = 5) -> list[float]:
    """Return values that are harder and harder to reach: quantiles of the finished trials, last the best but one."""
    sign = study.objective.sign
    finals = sorted(
        sign * trial.value for trial in trials if trial.state == TrialState.FINISHED and trial.value is not None
    )
    if len(finals) < 2:
        return []
    places = [0.5 * (count - 1 - at) / max(count - 1, 1) for at in range(count)]
    found = [finals[max(1, round(place * (len(finals) - 1)))] for place in places]
    return [sign * value for value in dict.fromkeys(found)]


def fewest_steps(
    study: Study, trials: Sequence[Trial], rungs: Mapping[int, Sequence[int]], totals: Mapping[int, int]
) -> list[list[int | None]]:
    """Return for each target and contestant the median steps of its trials that reached it, None where none did.

    `rungs` and `totals` are the rung steps and the length of each trial, by number.
    """
    found: list[list[int | None]] = []
    for target in targets(study, trials):
        row: list[int | None] = []
        for combination in combinations(study.space):
            own = [trial for trial in trials if has(trial, combination)]
            steps = [steps_to_reach(study, t, rungs[t.number], totals[t.number], target) for t in own]
            reached = [each for each in steps if each is not None]
            row.append(round(statistics.median(reached)) if reached else None)
        found.append(row)
    return found
