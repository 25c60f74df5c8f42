"""Whether a remedy helped: runs with it (patched) against runs without it (control), seed by seed.

Runs are compared by their final level: the mean of the last tenth of a series' finite values. The remedy helped where
only the control run diverged (its loss was not finite, or ended ten times above its first value), or where the level is
better by more than the margin: twice the standard error of the difference, and at least two percent of the control's
level. Within the margin it did not help: a symptom that is gone with the remedy and present without it is said, and is
no help by itself. Only where the losses of both mean different things does the symptom decide. Two thirds of the seeds
must agree, and with three seeds or more the mean gain must exceed twice its standard error over the seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from service.analysis.arrays import Values

VERSION = "2"  # raise it with every change of a rule here: stored judgements of other versions are void
Result = Literal["helped", "did_not_help", "symptom_gone", "undecided"]
TAIL_SHARE = 0.1  # share of the values whose mean is the level
MARGIN_ERRORS = 2.0  # standard errors that a difference must exceed
MARGIN_SHARE = 0.02  # of the level: a smaller difference is not worth a change
DIVERGED_GROWTH = 10.0  # a final level this many times the first value is a divergence
AGREEING_SHARE = 2 / 3  # of the seeds
MIN_SEEDS = 3  # whose spread says how uncertain their mean is


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The result of one run."""

    values: Values  # of the compared series; empty where there is none
    diverged: bool = False
    ended: bool = True  # it finished or diverged
    symptom: bool | None = None  # whether the rule finds it in this run; None where it cannot tell


class Level(NamedTuple):
    """The final level of a run, its standard error, and the best value."""

    last: float
    error: float
    best: float


class SeedOutcome(NamedTuple):
    """The outcome for one seed."""

    result: Result
    why: str
    control: Level | None
    patched: Level | None
    margin: float | None
    gain: float | None = None  # by which the level is better with the remedy


def final_level(values: Values, less: bool) -> Level | None:
    """Return the level of values (N,); None where nothing is finite."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    tail = finite[-max(1, round(TAIL_SHARE * len(finite))) :]
    error = float(tail.std(ddof=1) / math.sqrt(len(tail))) if len(tail) > 1 else 0.0
    return Level(float(tail.mean()), error, float(finite.min() if less else finite.max()))


def judge_seed(control: TrainedRun, patched: TrainedRun, series: str | None, less: bool) -> SeedOutcome:
    """Judge one seed."""
    without, with_it = final_level(control.values, less), final_level(patched.values, less)
    if not (control.ended and patched.ended):
        return SeedOutcome("undecided", "one of the runs did not finish", without, with_it, None)
    blew_up = [each.diverged or blew_up_late(each.values, less) for each in (control, patched)]
    if any(blew_up):
        return SeedOutcome(*_diverged(*blew_up), without, with_it, None)
    if series is None or without is None or with_it is None:
        return SeedOutcome(
            *_by_symptom(control, patched, "the remedy changes what the loss means"), without, with_it, None
        )
    margin = max(MARGIN_ERRORS * math.hypot(without.error, with_it.error), MARGIN_SHARE * abs(without.last))
    gain = (without.last - with_it.last) * (1 if less else -1)
    figures = f"{series} ends at {with_it.last:.4g} with the remedy and at {without.last:.4g} without"
    if abs(gain) <= margin:
        found = _within(control, patched, f"{figures}, within the margin of {margin:.2g}")
        return SeedOutcome(*found, without, with_it, margin, gain)
    result: Result = "helped" if gain > 0 else "did_not_help"
    why = f"{figures} (margin {margin:.2g}){_symptom_note(patched.symptom, gain > 0)}"
    return SeedOutcome(result, why, without, with_it, margin, gain)


def blew_up_late(values: Values, less: bool) -> bool:
    """Return whether a loss ended at ten times its first value or more, without reaching infinity."""
    finite = values[np.isfinite(values)]
    found = final_level(values, less)
    return less and found is not None and len(finite) > 1 and found.last > DIVERGED_GROWTH * abs(float(finite[0]))


def _diverged(control: bool, patched: bool) -> tuple[Result, str]:
    if control and patched:
        return "did_not_help", "both diverged"
    if control:
        return "helped", "the run diverged without the remedy but not with it"
    return "did_not_help", "the run diverged with the remedy but not without it"


def _within(control: TrainedRun, patched: TrainedRun, why: str) -> tuple[Result, str]:
    """Judge levels that are the same: a symptom that is gone is said, but the remedy has not helped."""
    if patched.symptom is False and control.symptom:
        return "symptom_gone", f"{why}: the symptom is gone with the remedy, the loss is the same"
    return _by_symptom(control, patched, why)


def _by_symptom(control: TrainedRun, patched: TrainedRun, why: str) -> tuple[Result, str]:
    """Judge by the symptom, where no value decides."""
    if patched.symptom is False and control.symptom:
        return "helped", f"{why}; the symptom is gone with the remedy and remains without it"
    if patched.symptom:
        return "did_not_help", f"{why}; the symptom remains with the remedy"
    return "undecided", f"{why}; the symptom does not decide it either"


def _symptom_note(symptom: bool | None, better: bool) -> str:
    if not better or symptom is None:
        return ""
    return ", but the symptom remains" if symptom else ", and the symptom is gone"


def combine_seeds(judged: Sequence[SeedOutcome]) -> tuple[Result, str]:
    """Return the outcome over all seeds, and why."""
    if len(judged) == 1:
        return judged[0].result, judged[0].why + "."
    votes = [each.result for each in judged]
    counted = ", ".join(f"{votes.count(each)} {each.replace('_', ' ')}" for each in get_args(Result) if each in votes)
    for typical in judged:
        if typical.result != "undecided" and votes.count(typical.result) >= AGREEING_SHARE * len(votes):
            if typical.result == "helped" and (noise := _within_noise(judged)):
                return "undecided", f"Of {len(votes)} seeds: {counted}; {noise}."
            return typical.result, f"Of {len(votes)} seeds: {counted}. For example, {typical.why}."
    return "undecided", f"Of {len(votes)} seeds: {counted}; two thirds must agree."


def _within_noise(judged: Sequence[SeedOutcome]) -> str:
    """Return how the mean gain compares with its error over the seeds, where it is not clearly above; else nothing."""
    gains = np.array([each.gain for each in judged if each.gain is not None], dtype=np.float64)
    if len(gains) < MIN_SEEDS:
        return ""
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(len(gains)))
    if gain > MARGIN_ERRORS * error:
        return ""
    return f"the mean gain of {gain:.2g} is within the noise of the seeds (standard error {error:.2g})"
