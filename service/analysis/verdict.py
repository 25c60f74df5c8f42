"""Whether one group is better than another, paired by seed: the difference, its uncertainty, and a verdict.

Runs of one seed share their initial weights and data order, so the difference within a seed is free of the variation
between seeds. A group is called better or worse only where three things agree: the bootstrap interval excludes 0, the
paired t test is significant after Holm's correction, and the better group did not diverge more often. With few seeds
the bootstrap interval alone is too narrow; the t test alone assumes normal differences.

A group may consist of several trials, of which these same seeds selected the best, and the best of k looks better by
luck alone. So p is multiplied by the number of trials that the better one was selected from (Bonferroni), which is
valid however the trials depend on each other. The selection of the worse one only made it look better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.analysis.aggregate import Aggregate, aggregate_many
from service.analysis.arrays import Mask, Values
from service.analysis.bootstrap import Interval, bootstrap_means, widen
from service.analysis.power import LEVEL, fresh_seeds, more_seeds
from service.analysis.significance import fisher, holm, mean_and_deviation, t_tests
from service.spec.measures import Direction

Verdict = Literal["better", "worse", "unconfirmed", "indistinguishable", "not_comparable"]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Contrast:
    """Group `a` against group `b`; differences are a - b, over the seeds that are finite in both."""

    verdict: Verdict  # of a; unconfirmed: significant only without the correction for the choice among trials
    n: int  # pairs
    diverged: tuple[int, int]  # of the shared seeds, in a and in b
    difference: float | None
    sd: float | None
    interval: Interval | None  # Student's, 95 %
    bootstrap: Interval | None  # BCa, 95 %
    wins: float | None  # share of pairs in which a is better; a tie counts half
    p: float | None  # paired t; Fisher's on divergence where fewer than two pairs are finite
    leads: bool  # whether a looks better
    choices: int  # trials that the better-looking one was selected from
    p_adjusted: float | None  # p times `choices`, then Holm's correction
    more_seeds: int | None  # for a verdict with a power of 0.8; None: there is one, or no number is known
    fresh_seeds: int  # that would show the observed difference, without selecting the trials by them
    overlap: float  # of the folds that the values are of; 0 for seeds alone


@dataclass(frozen=True)
class PairTest:
    """The test of a pair."""

    p: float | None
    leader: int  # the row that looks better
    choices: int
    adjusted: float | None  # for the choice and for the other tests
    if_fixed: float | None  # for the other tests alone


def contrasts_by_seed(
    samples: Sequence[Mapping[int, float]],
    pairs: Sequence[Pair],
    family: Sequence[Pair],
    direction: Direction,
    trials: Sequence[int] | None = None,
    overlaps: Sequence[float] | None = None,
    level: float = LEVEL,
) -> list[Contrast]:
    """Return the contrasts of groups given by their values by seed."""
    column = {seed: place for place, seed in enumerate(sorted({seed for sample in samples for seed in sample}))}
    values = np.full((len(samples), len(column)), np.nan)
    present = np.zeros(values.shape, dtype=np.bool_)
    for row, sample in enumerate(samples):
        at = [column[seed] for seed in sample]
        values[row, at], present[row, at] = list(sample.values()), True
    return contrasts(values, present, pairs, family, direction, trials, overlaps, level)


def contrasts(
    values: Values,
    present: Mask,
    pairs: Sequence[Pair],
    family: Sequence[Pair],
    direction: Direction,
    trials: Sequence[int] | None = None,
    overlaps: Sequence[float] | None = None,
    level: float = LEVEL,
) -> list[Contrast]:
    """Return a contrast for each of `pairs`, from values (G, S) by group and seed; a `present` one may be non-finite.

    `family`: all pairs that were compared to pick these, which Holm's correction counts. `trials` (G,): the number of
    trials that each group's row was selected from by these values; 1 by default. `overlaps` (G,): of each group's
    folds (see `significance`); 0 by default. A verdict needs an adjusted p below `level`.
    """
    overlap = np.zeros(len(values)) if overlaps is None else np.asarray(overlaps, np.float64)
    finite = np.isfinite(values) & present
    asked = list(dict.fromkeys(map(_unordered, [*family, *pairs])))
    tests = _test_pairs(values, finite, present, asked, direction, trials or [1] * len(values), overlap)
    differences = [_differences(values, finite, pair) for pair in pairs]
    shared = [_shared(overlap, pair) for pair in pairs]
    bootstrap = [
        interval and widen(interval, each, of_pair)
        for interval, each, of_pair in zip(bootstrap_means(differences), differences, shared, strict=True)
    ]
    figures = zip(aggregate_many(differences, shared), bootstrap, shared, strict=True)
    return [
        _contrast(pair, each, figure, boot, of_pair, present, finite, tests[_unordered(pair)], direction, level)
        for pair, each, (figure, boot, of_pair) in zip(pairs, differences, figures, strict=True)
    ]


def _shared(overlap: Values, pair: Pair) -> float:
    """Return the overlap that counts for a pair: groups of different folds are not comparable, so either is."""
    return float(max(overlap[pair[0]], overlap[pair[1]]))


def _unordered(pair: Pair) -> Pair:
    """Return the pair in a fixed order: a test has no direction."""
    return pair if pair[0] <= pair[1] else (pair[1], pair[0])


def _differences(values: Values, finite: Mask, pair: Pair) -> Values:
    both = finite[pair[0]] & finite[pair[1]]
    difference: Values = values[pair[0], both] - values[pair[1], both]
    return difference


def _test_pairs(
    values: Values,
    finite: Mask,
    present: Mask,
    pairs: Sequence[Pair],
    direction: Direction,
    trials: Sequence[int],
    overlap: Values,
) -> dict[Pair, PairTest]:
    """Return every pair's test, corrected for the selection of its better row and for the other tests."""
    found, leaders = _p_and_leaders(values, finite, present, pairs, direction, overlap)
    choices = [trials[leader] for leader in leaders]
    known = [place for place, p in enumerate(found) if p is not None]
    plain = [p for p in found if p is not None]
    if_fixed = dict(zip(known, holm(plain), strict=True))
    chosen = [min(1.0, p * choices[place]) for place, p in zip(known, plain, strict=True)]
    adjusted = dict(zip(known, holm(chosen), strict=True))
    return {
        pair: PairTest(found[place], leaders[place], choices[place], adjusted.get(place), if_fixed.get(place))
        for place, pair in enumerate(pairs)
    }


def _p_and_leaders(
    values: Values, finite: Mask, present: Mask, pairs: Sequence[Pair], direction: Direction, overlap: Values
) -> tuple[list[float | None], list[int]]:
    """Return each pair's p of the paired t test, and which of the two looks better.

    Where fewer than two seeds are finite, it is Fisher's test of how often they diverged.
    """
    if not pairs:
        return [], []
    a, b = np.array(pairs).T
    both = finite[a] & finite[b]
    differences = np.where(both, values[a], 0.0) - np.where(both, values[b], 0.0)
    found = t_tests(differences, both, np.maximum(overlap[a], overlap[b]))
    total = differences.sum(axis=1)
    leaders = np.where(total > 0 if direction == "max" else total < 0, a, b).tolist()
    for place in [place for place, p in enumerate(found) if p is None]:
        lost, shared = (
            _count_diverged(present, finite, pairs[place]),
            int((present[a[place]] & present[b[place]]).sum()),
        )
        if any(lost):
            found[place] = fisher(lost[0], shared, lost[1], shared)
            leaders[place] = pairs[place][0 if lost[0] < lost[1] else 1]
    return found, leaders


def _count_diverged(present: Mask, finite: Mask, pair: Pair) -> tuple[int, int]:
    """Return how many of the shared seeds diverged in each."""
    shared = present[pair[0]] & present[pair[1]]
    return int((shared & ~finite[pair[0]]).sum()), int((shared & ~finite[pair[1]]).sum())


def _contrast(
    pair: Pair,
    differences: Values,
    figures: Aggregate,
    bootstrap: Interval | None,
    overlap: float,
    present: Mask,
    finite: Mask,
    test: PairTest,
    direction: Direction,
    level: float,
) -> Contrast:
    lost, n = _count_diverged(present, finite, pair), len(differences)
    better = differences > 0 if direction == "max" else differences < 0
    mean, sd = mean_and_deviation(differences) if n > 1 else (float(differences.mean()) if n else None, None)
    verdict: Verdict = "not_comparable"
    if (present[pair[0]] & present[pair[1]]).any():
        verdict = _verdict(differences, bootstrap, lost, test, direction, level)
    return Contrast(
        verdict=verdict,
        n=n,
        diverged=lost,
        difference=mean,
        sd=sd,
        interval=None if figures.low is None or figures.high is None else (figures.low, figures.high),
        bootstrap=bootstrap,
        wins=float((better + 0.5 * (differences == 0)).mean()) if n else None,
        p=test.p,
        leads=test.leader == pair[0],
        choices=test.choices,
        p_adjusted=test.adjusted,
        more_seeds=_further_seeds(mean, sd, n, test, overlap) if verdict == "indistinguishable" else None,
        fresh_seeds=fresh_seeds(mean, sd, overlap),
        overlap=overlap,
    )


def _verdict(
    differences: Values,
    bootstrap: Interval | None,
    lost: tuple[int, int],
    test: PairTest,
    direction: Direction,
    level: float,
) -> Verdict:
    """Return the verdict; `unconfirmed` where only the correction for the choice among trials prevents one."""
    if test.adjusted is None or test.if_fixed is None or test.if_fixed >= level:
        return "indistinguishable"
    verdict = _significant_verdict(differences, bootstrap, lost, direction)
    return "unconfirmed" if verdict in ("better", "worse") and test.adjusted >= level else verdict


def _significant_verdict(
    differences: Values, bootstrap: Interval | None, lost: tuple[int, int], direction: Direction
) -> Verdict:
    """Return the verdict of a significant test."""
    if bootstrap is None:  # fewer than two finite pairs: how often they diverged decides
        return "better" if lost[0] < lost[1] else "worse"
    if bootstrap[0] <= 0 <= bootstrap[1]:
        return "indistinguishable"
    wins = (float(differences.mean()) > 0) == (direction == "max")
    if lost[0] > lost[1] if wins else lost[0] < lost[1]:
        return "indistinguishable"  # the finite seeds are not a fair sample
    return "better" if wins else "worse"


def _further_seeds(mean: float | None, sd: float | None, n: int, test: PairTest, overlap: float) -> int | None:
    """Return the number of further seeds, at the level that the corrections leave to this pair."""
    p, adjusted = test.p, test.adjusted
    if mean is None or sd is None or p is None or adjusted is None:
        return None
    return more_seeds(mean, sd, n, LEVEL * p / adjusted if 0 < p <= adjusted < 1 else LEVEL, overlap)
