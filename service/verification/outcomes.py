"""Whether a remedy helped: runs with it against the same runs without, seed by seed.

The measure is the level a run ends at: the mean of the last tenth of a series' finite values. The remedy helped a seed
where the run without it diverged (its loss was no number, or ends ten times above where it began) and the one with it
did not, or where its level is better by more than the margin: twice the standard error of the difference of both means,
and two percent of the level without it at least. Within the margin the symptom decides: gone with the remedy and still
there without it. Over seeds two thirds must agree.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from service.analysis.arrays import Values

VERSION = "1"  # raise it with every change of a rule here: stored judgements of other versions are void
Result = Literal["helped", "did_not_help", "undecided"]
LAST = 0.1  # share of the values whose mean is the level
ERRORS = 2.0  # standard errors that a difference must exceed
LEAST = 0.02  # of the level: a smaller difference is not worth a change
GROWN = 10.0  # a level so many times its first value is a divergence that had not got to infinity
AGREE = 2 / 3  # of the seeds


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What one run came to."""

    values: Values  # of the series both are judged by; empty where there is none
    diverged: bool = False
    ended: bool = True  # by itself: it came to its end, or diverged
    symptom: bool | None = None  # whether the rule finds it there; None: it cannot tell


class Level(NamedTuple):
    """Where a run ends, how sure that is, and the best it had."""

    last: float
    error: float
    best: float


class SeedOutcome(NamedTuple):
    """Of one seed."""

    result: Result
    why: str
    control: Level | None
    patched: Level | None
    margin: float | None


def level(values: Values, less: bool) -> Level | None:
    """values (N,) -> mean of the last tenth with its standard error, and the best; None where nothing is finite."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    tail = finite[-max(1, round(LAST * len(finite))) :]
    error = float(tail.std(ddof=1) / math.sqrt(len(tail))) if len(tail) > 1 else 0.0
    return Level(float(tail.mean()), error, float(finite.min() if less else finite.max()))


def judge_seed(control: TrainedRun, patched: TrainedRun, series: str | None, less: bool) -> SeedOutcome:
    """One seed, with and without."""
    without, with_it = level(control.values, less), level(patched.values, less)
    if not (control.ended and patched.ended):
        return SeedOutcome("undecided", "one of the runs did not come to its end by itself", without, with_it, None)
    blown = [each.diverged or grew(each.values, less) for each in (control, patched)]
    if any(blown):
        return SeedOutcome(*_diverged(*blown), without, with_it, None)
    if series is None or without is None or with_it is None:
        return SeedOutcome(
            *_by_symptom(control, patched, "the remedy changes what the loss means"), without, with_it, None
        )
    margin = max(ERRORS * math.hypot(without.error, with_it.error), LEAST * abs(without.last))
    gain = (without.last - with_it.last) * (1 if less else -1)
    figures = f"{series} ends at {with_it.last:.4g} with the remedy and at {without.last:.4g} without"
    if abs(gain) <= margin:
        found = _by_symptom(control, patched, f"{figures}, which is no difference (margin {margin:.2g})")
        return SeedOutcome(*found, without, with_it, margin)
    result: Result = "helped" if gain > 0 else "did_not_help"
    return SeedOutcome(
        result, f"{figures} (margin {margin:.2g}){_rest(patched.symptom, gain > 0)}", without, with_it, margin
    )


def grew(values: Values, less: bool) -> bool:
    """Whether a loss blew up, though it ended before it was no number: ten times where it began."""
    finite = values[np.isfinite(values)]
    found = level(values, less)
    return less and found is not None and len(finite) > 1 and found.last > GROWN * abs(float(finite[0]))


def _diverged(control: bool, patched: bool) -> tuple[Result, str]:
    if control and patched:
        return "did_not_help", "both diverged"
    if control:
        return "helped", "without the remedy the run diverged, with it it did not"
    return "did_not_help", "with the remedy the run diverged, without it it did not"


def _by_symptom(control: TrainedRun, patched: TrainedRun, why: str) -> tuple[Result, str]:
    """Where no number tells."""
    if patched.symptom is False and control.symptom:
        return "helped", f"{why}; the symptom is gone with the remedy and still there without"
    if patched.symptom:
        return "did_not_help", f"{why}; the symptom is still there with the remedy"
    return "undecided", f"{why}; and the symptom does not tell"


def _rest(symptom: bool | None, better: bool) -> str:
    if not better or symptom is None:
        return ""
    return ", and the symptom is still there" if symptom else ", and the symptom is gone"


def combine_seeds(judged: Sequence[SeedOutcome]) -> tuple[Result, str]:
    """What the seeds say as one, in a sentence."""
    if len(judged) == 1:
        return judged[0].result, judged[0].why + "."
    votes = [each.result for each in judged]
    counted = ", ".join(f"{votes.count(word)} {said}" for word, said in WORDS.items() if word in votes)
    for typical in judged:
        if typical.result != "undecided" and votes.count(typical.result) >= AGREE * len(votes):
            return typical.result, f"Of {len(votes)} seeds: {counted}. For one of them {typical.why}."
    return "undecided", f"Of {len(votes)} seeds: {counted}; two thirds must agree."


WORDS = {"helped": "were helped", "did_not_help": "were not", "undecided": "are undecided"}
