"""How often a comparison names a winner that is none, and how often it finds one that is.

`python -m tests.benchmarks.verdicts.winners_curse`: a group of 1, 5 or 20 trials, of which the best mean is chosen,
stands against one trial, by 1, 2, 3 or 5 seeds. First all trials are of one distribution, so every verdict is
false; then one trial of the group is better by some standard deviations. Three verdicts stand side by side: without
counting the choice, with it, and by five fresh seeds alone.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from service.analysis.arrays import Values
from service.analysis.verdict import Contrast, contrasts

KINDS = ("normal", "skewed", "heavy", "uneven", "rounded")
TRIALS, SEEDS, EFFECTS, FRESH = (1, 5, 20), (1, 2, 3, 5), (0.5, 1.0, 2.0, 4.0), 5
PAIRED = 0.5  # share of the variance that trials of one seed have in common
TOLD = ("better", "worse")


@dataclass(frozen=True)
class Case:
    """What is simulated: `effect` standard deviations by which one trial of the group is better."""

    kind: str
    paired: bool
    trials: int
    seeds: int
    effect: float = 0.0


@dataclass(frozen=True)
class Shares:
    """Of the comparisons, those with a verdict (without an effect), or with the right one (with it)."""

    uncorrected: float
    corrected: float
    fresh: float


def spreads(rng: Generator, kind: str, shape: tuple[int, int]) -> Values:
    """Each trial's own standard deviation (R, K): all 1, or as far apart as those of good and bad rates."""
    return np.exp(rng.normal(size=shape)) if kind == "uneven" else np.ones(shape)


def draw(rng: Generator, case: Case, scale: Values, seeds: int) -> Values:
    """Values (R, K, S) of K trials: variance 1 times the trials' own, mean 0."""
    repeats, trials = scale.shape
    noise = _noise(rng, case.kind, (repeats, trials, seeds))
    if case.paired:
        common = _noise(rng, case.kind, (repeats, 1, seeds))
        noise = math.sqrt(1 - PAIRED) * noise + math.sqrt(PAIRED) * common
    values: Values = noise * scale[:, :, None]
    return np.round(values) if case.kind == "rounded" else values


def _noise(rng: Generator, kind: str, shape: tuple[int, ...]) -> Values:
    if kind == "skewed":
        return rng.exponential(size=shape) - 1
    if kind == "heavy":
        return rng.standard_t(3, size=shape) / math.sqrt(3)
    return rng.normal(size=shape)


def simulate(rng: Generator, case: Case, repeats: int) -> Shares:
    """Choose the group's best trial, judge it, and judge the same trial again by fresh seeds; less is better."""
    scale = spreads(rng, case.kind, (repeats, case.trials + 1))
    values = draw(rng, case, scale, case.seeds)
    values[:, 0] -= case.effect
    chosen = values[:, :-1].mean(axis=2).argmin(axis=1)
    rows = np.arange(repeats)
    seen = np.stack([values[rows, chosen], values[:, -1]], axis=1)
    again = draw(rng, case, np.stack([scale[rows, chosen], scale[:, -1]], axis=1), FRESH)
    again[:, 0] -= case.effect * (chosen == 0)[:, None]
    counted = [contrast(pair, [case.trials, 1]) for pair in seen]
    fresh = [contrast(pair, [1, 1]) for pair in again]
    return Shares(
        _share([each.verdict == "unconfirmed" or each.verdict in TOLD for each in counted], counted, case.effect),
        _share([each.verdict in TOLD for each in counted], counted, case.effect),
        _share([each.verdict in TOLD for each in fresh], fresh, case.effect),
    )


def _share(told: Sequence[bool], found: Sequence[Contrast], effect: float) -> float:
    """Of those told apart; with an effect only the ones that name the group with the better trial."""
    return float(np.mean([said and (each.leads or not effect) for said, each in zip(told, found, strict=True)]))


def contrast(values: Values, trials: Sequence[int]) -> Contrast:
    """Of two rows (2, S), as a comparison makes it."""
    present = np.ones(values.shape, dtype=np.bool_)
    return contrasts(values, present, [(0, 1)], [(0, 1)], "min", trials)[0]


def table(head: str, cases: Sequence[Case], repeats: int) -> None:
    """One line a case, in percent."""
    print(f"\n{head}\n| | trials | seeds | not counted | counted | {FRESH} fresh seeds |\n|---|---|---|---|---|---|")
    for at, case in enumerate(cases):
        found = simulate(np.random.default_rng(at), case, repeats)
        what = f"{case.kind}{', paired' if case.paired else ''}" + (f", {case.effect:g} sd" if case.effect else "")
        figures = " | ".join(f"{100 * each:.1f}" for each in (found.uncorrected, found.corrected, found.fresh))
        print(f"| {what} | {case.trials} | {case.seeds} | {figures} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4000, help="comparisons simulated for each line")
    repeats = parser.parse_args().repeats
    sizes = [(trials, seeds) for trials in TRIALS for seeds in SEEDS]
    noise = 100 * 3 * math.sqrt(0.05 * 0.95 / repeats)
    null = [Case(kind, paired, *size) for kind in KINDS for paired in (False, True) for size in sizes]
    table(f"False verdicts, % of {repeats:,} comparisons (5 + {noise:.1f} of noise allowed)", null, repeats)
    better = [Case("normal", False, *size, effect) for size in sizes for effect in EFFECTS]
    table(f"Right verdicts, % of {repeats:,}, where one trial is better", better, repeats)


if __name__ == "__main__":
    main()
