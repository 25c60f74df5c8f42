"""The first contestant of a confirmation against the second, looked at whenever somebody looks."""

import math
from collections.abc import Sequence

from service.analysis.sequential import Sequential, sequential
from service.comparison.data import ComparisonData
from service.comparison.selection import Trial, folds_of_document
from service.db.runs.runs import StoredRun
from service.lifecycle import TERMINAL
from service.schemas.confirmations import SequentialView
from service.spec.measures import better_direction

Lost = tuple[int, int]  # seeds on which each diverged


def sequential_view(
    data: ComparisonData, trials: Sequence[Trial], seeds: Sequence[int], told: bool = False
) -> SequentialView | None:
    """Return what the paired seeds say; None with fewer than two contestants, or where runs validate on folds.

    `told`: the test of the planned seeds has found a difference, so that no more are asked for.
    """
    if len(trials) < 2 or any(folds_of_document(trial.experiment.spec) > 1 for trial in trials[:2]):
        return None
    first, second = trials[:2]
    differences, lost = _pairs(data, first, second, seeds)
    found = sequential(differences)
    sign = found.sign if better_direction(data.ranked) == "max" else -found.sign
    decided = _decided(sign, lost, first.label, second.label)
    return SequentialView(
        first=first.label,
        second=second.label,
        seeds=found.n,
        difference=found.mean,
        low=found.interval and found.interval[0],
        high=found.interval and found.interval[1],
        e=found.e,
        p=found.p,
        decided=decided,
        more_seeds=None if told else found.more,
        note=_note(found, lost, first.label, second.label, decided, told),
    )


def _pairs(data: ComparisonData, first: Trial, second: Trial, seeds: Sequence[int]) -> tuple[list[float], Lost]:
    """Return the differences in the order of the seeds, up to the first that has not ended in both.

    A pair that ends early, while one before it goes on, does not count yet: how long a run takes may depend on how well
    it does. Seeds without a result in either are left out, and those that diverged counted.
    """
    one, other = ({run.seed: run for run in trial.runs} for trial in (first, second))
    differences, lost = [], [0, 0]
    for seed in seeds:
        pair = [runs[seed] for runs in (one, other) if seed in runs]
        if any(run.state not in TERMINAL for run in pair):
            break
        values = [_value(data, run) for run in pair]
        if len(values) < 2 or any(value is None for value in values):
            continue
        a, b = (math.nan if value is None else value for value in values)
        if math.isfinite(a) and math.isfinite(b):
            differences.append(a - b)
        lost[0] += not math.isfinite(a)
        lost[1] += not math.isfinite(b)
    return differences, (lost[0], lost[1])


def _value(data: ComparisonData, run: StoredRun) -> float | None:
    return data.value(run, data.ranked, data.figure)


def _decided(sign: int, lost: Lost, first: str, second: str) -> str | None:
    """Return the better one; None where nothing is decided, or it diverged more often than the other."""
    if sign > 0:
        return first if lost[0] <= lost[1] else None
    if sign < 0:
        return second if lost[1] <= lost[0] else None
    return None


def _note(found: Sequential, lost: Lost, first: str, second: str, decided: str | None, told: bool) -> str:
    seeds = f"{found.n} seed{'' if found.n == 1 else 's'}"
    diverged = f" {first} diverged on {lost[0]} further seeds, {second} on {lost[1]}." if any(lost) else ""
    if decided is not None:
        other = second if decided == first else first
        return f"After {seeds}, {decided} is better than {other}; looking again does not change that.{diverged}"
    if found.sign:
        return f"After {seeds}, the one with the better mean diverged more often, so nothing is decided.{diverged}"
    if told:
        return f"After {seeds}, this test has not decided; the test of the planned seeds has, and stands.{diverged}"
    if found.n < 2 or found.more is None:
        known = "" if found.n < 2 else " Up to 200 more seeds would probably not tell."
        return f"After {seeds}, nothing is decided.{known}{diverged}"
    more = f"{found.more} more seed{'' if found.more == 1 else 's'}"
    return f"After {seeds}, nothing is decided; {more} would tell in 4 of 5 cases.{diverged}"
