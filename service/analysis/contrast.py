"""Whether one group is better than another, paired by seed: the difference, how sure it is, and a verdict.

Runs of one seed share their first weights and the order of their data, so the difference within a seed is free of
what the seeds themselves make. A group is called better or worse only where three things agree: the bootstrap
interval excludes 0, the paired t test holds after Holm's correction, and the better one did not diverge more often.
With few seeds the bootstrap alone promises too much; the t test alone trusts that differences are normal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.analysis.aggregate import Aggregate, Direction, aggregate_many
from service.analysis.arrays import Mask, Values
from service.analysis.bootstrap import Interval, bootstrap_means
from service.analysis.power import LEVEL, more_seeds
from service.analysis.significance import fisher, holm, mean_and_deviation, t_tests

Verdict = Literal["better", "worse", "indistinguishable", "not_comparable"]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Contrast:
    """Group `a` against group `b`; differences are a - b, over the seeds that are finite in both."""

    verdict: Verdict  # of a
    n: int  # pairs
    diverged: tuple[int, int]  # of the shared seeds, in a and in b
    difference: float | None
    sd: float | None
    interval: Interval | None  # Student's, 95 %
    bootstrap: Interval | None  # BCa, 95 %
    wins: float | None  # share of pairs in which a is better; a tie counts half
    p: float | None  # paired t; Fisher's on divergence where fewer than two pairs are finite
    p_adjusted: float | None
    more_seeds: int | None  # to be told apart with a power of 0.8; None: told apart, or no number is known


def contrasts_by_seed(
    samples: Sequence[Mapping[int, float]], pairs: Sequence[Pair], family: Sequence[Pair], direction: Direction
) -> list[Contrast]:
    """The same from each group's value by seed."""
    column = {seed: place for place, seed in enumerate(sorted({seed for sample in samples for seed in sample}))}
    values = np.full((len(samples), len(column)), np.nan)
    present = np.zeros(values.shape, dtype=np.bool_)
    for row, sample in enumerate(samples):
        at = [column[seed] for seed in sample]
        values[row, at], present[row, at] = list(sample.values()), True
    return contrasts(values, present, pairs, family, direction)


def contrasts(
    values: Values, present: Mask, pairs: Sequence[Pair], family: Sequence[Pair], direction: Direction
) -> list[Contrast]:
    """values (G, S) by group and seed, finite or diverged where `present` -> a contrast for each of `pairs`.

    `family` are all pairs that were looked at to choose these: what Holm's correction counts.
    """
    finite = np.isfinite(values) & present
    asked = list(dict.fromkeys(map(_either, [*family, *pairs])))
    tests = dict(zip(asked, _p_values(values, finite, present, asked), strict=True))
    known = {pair: p for pair, p in tests.items() if p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    apart = [_differences(values, finite, pair) for pair in pairs]
    figures = zip(aggregate_many(apart), bootstrap_means(apart), strict=True)
    return [
        _contrast(
            pair, each, figure, boot, present, finite, tests[_either(pair)], adjusted.get(_either(pair)), direction
        )
        for pair, each, (figure, boot) in zip(pairs, apart, figures, strict=True)
    ]


def _either(pair: Pair) -> Pair:
    """A test has no direction."""
    return pair if pair[0] <= pair[1] else (pair[1], pair[0])


def _differences(values: Values, finite: Mask, pair: Pair) -> Values:
    both = finite[pair[0]] & finite[pair[1]]
    difference: Values = values[pair[0], both] - values[pair[1], both]
    return difference


def _p_values(values: Values, finite: Mask, present: Mask, pairs: Sequence[Pair]) -> list[float | None]:
    """The paired t test of each pair; where fewer than two seeds are finite, Fisher's of how often they diverged."""
    if not pairs:
        return []
    a, b = np.array(pairs).T
    both = finite[a] & finite[b]
    differences = np.where(both, values[a], 0.0) - np.where(both, values[b], 0.0)
    found = t_tests(differences, both)
    for place in [place for place, p in enumerate(found) if p is None]:
        lost, shared = _lost(present, finite, pairs[place]), int((present[a[place]] & present[b[place]]).sum())
        if any(lost):
            found[place] = fisher(lost[0], shared, lost[1], shared)
    return found


def _lost(present: Mask, finite: Mask, pair: Pair) -> tuple[int, int]:
    """How many of the shared seeds diverged in each."""
    shared = present[pair[0]] & present[pair[1]]
    return int((shared & ~finite[pair[0]]).sum()), int((shared & ~finite[pair[1]]).sum())


def _contrast(
    pair: Pair,
    differences: Values,
    figures: Aggregate,
    bootstrap: Interval | None,
    present: Mask,
    finite: Mask,
    p: float | None,
    adjusted: float | None,
    direction: Direction,
) -> Contrast:
    lost, n = _lost(present, finite, pair), len(differences)
    better = differences > 0 if direction == "max" else differences < 0
    mean, sd = mean_and_deviation(differences) if n > 1 else (float(differences.mean()) if n else None, None)
    verdict: Verdict = "not_comparable"
    if (present[pair[0]] & present[pair[1]]).any():
        verdict = _verdict(differences, bootstrap, lost, adjusted, direction)
    return Contrast(
        verdict=verdict,
        n=n,
        diverged=lost,
        difference=mean,
        sd=sd,
        interval=None if figures.low is None or figures.high is None else (figures.low, figures.high),
        bootstrap=bootstrap,
        wins=float((better + 0.5 * (differences == 0)).mean()) if n else None,
        p=p,
        p_adjusted=adjusted,
        more_seeds=_more(mean, sd, n, p, adjusted) if verdict == "indistinguishable" else None,
    )


def _verdict(
    differences: Values,
    bootstrap: Interval | None,
    lost: tuple[int, int],
    adjusted: float | None,
    direction: Direction,
) -> Verdict:
    if adjusted is None or adjusted >= LEVEL:
        return "indistinguishable"
    if bootstrap is None:  # fewer than two finite pairs: only how often they diverged can tell
        return "better" if lost[0] < lost[1] else "worse"
    if bootstrap[0] <= 0 <= bootstrap[1]:
        return "indistinguishable"
    wins = (float(differences.mean()) > 0) == (direction == "max")
    if lost[0] > lost[1] if wins else lost[0] < lost[1]:
        return "indistinguishable"  # what survived is no fair sample
    return "better" if wins else "worse"


def _more(mean: float | None, sd: float | None, n: int, p: float | None, adjusted: float | None) -> int | None:
    """Further seeds, at the level that the correction leaves to this pair."""
    if mean is None or sd is None or p is None or adjusted is None:
        return None
    return more_seeds(mean, sd, n, LEVEL * p / adjusted if 0 < p <= adjusted < 1 else LEVEL)
