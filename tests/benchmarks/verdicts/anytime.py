"""How often a test that is looked at after every pair decides what is none, and how soon it decides what is.

`python -m tests.benchmarks.verdicts.anytime`: null studies, in which the mean paired difference is 0, each looked at
after every pair up to 100. Side by side: the usual t test, looked at as often; the t process and the symmetric process
of `service.analysis.sequential`, and both, which a confirmation needs, each at 5 %; and what people do: the t test of a
confirmation's planned seeds, and where it does not tell, further seeds and both processes, at the levels that the two
have of a confirmation's 5 %. Then the planned seeds alone: the t test and the exact test of exchanged signs (Fisher
1935), which is valid for whatever is symmetric, and how many effects of 1 sd each finds. Then the pairs until both
decide, in studies with an effect.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from itertools import product

import numpy as np
from numpy.random import Generator

from service.analysis.arrays import Mask, Values
from service.analysis.power import EXTENDED_LEVEL, LEVEL, PLANNED_LEVEL
from service.analysis.sequential import log_e_symmetric, log_e_t
from service.analysis.significance import t_tests

PAIRS, LONG = 100, 300  # looks at a null study, and at one with an effect
PLANNED = (5, 10, 20)  # seeds of a confirmation
ALONE = (5, 6, 8, 10, 20)  # seeds at which two tests of planned seeds are held against each other
MOST_EXACT, DRAWN = 10, 1999  # pairs of which every exchange is counted; of more, so many are drawn
EFFECTS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)  # standard deviations of the differences
Shape = tuple[int, int]
KINDS: Mapping[str, Callable[[Generator, Shape], Values]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "rounded normal": lambda rng, shape: np.round(rng.normal(size=shape)),
    "heavy: Student's t, 3 degrees": lambda rng, shape: rng.standard_t(3, size=shape),
    "heavier: Cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "each seed its own spread": lambda rng, shape: rng.normal(size=shape) * np.exp(rng.normal(size=shape)),
    "skewed values, one distribution": lambda rng, shape: rng.exponential(size=shape) - rng.exponential(size=shape),
    "skewed: Gumbel (1.1)": lambda rng, shape: rng.gumbel(size=shape) - np.euler_gamma,
    "skewed: gamma, shape 4 (1.0)": lambda rng, shape: rng.gamma(4, size=shape) - 4,
    "skewed: exponential (2.0)": lambda rng, shape: rng.exponential(size=shape) - 1,
    "skewed: lognormal (6.2)": lambda rng, shape: np.exp(rng.normal(size=shape)) - math.exp(0.5),
}
SYMMETRIC = tuple(KINDS)[:7]


def ever(log_e: Values, level: float = LEVEL) -> Mask:
    """Which studies (R, n) were decided at any look."""
    decided: Mask = log_e.max(axis=1) >= -math.log(level)
    return decided


def t_rejects(differences: Values, level: float = LEVEL) -> Mask:
    """Which studies (R, n) a t test rejects at its end."""
    there = np.ones(differences.shape, np.bool_)
    return np.array([p is not None and p < level for p in t_tests(differences, there)])


def signs_reject(differences: Values, rng: Generator) -> Mask:
    """Which studies (R, n) the exact test of exchanged signs rejects; its least p is 2^(1 - n)."""
    n = differences.shape[1]
    if n <= MOST_EXACT:
        signs = np.array([(1, *each) for each in product((1, -1), repeat=n - 1)])  # the others are their mirror images
    else:
        signs = np.vstack([np.ones(n, np.int64), rng.choice((-1, 1), (DRAWN, n))])
    reached = np.abs(differences @ signs.T) >= np.abs(differences.sum(axis=1, keepdims=True)) * (1 - 1e-12)
    rejected: Mask = reached.mean(axis=1) <= PLANNED_LEVEL
    return rejected


def print_alone(studies: int) -> None:
    """Print what the two tests of planned seeds come to."""
    chosen = {name: draw for name, draw in KINDS.items() if not name.startswith(("rounded", "heavier", "skewed v"))}
    chosen["two values, but for 5 %"] = lambda rng, shape: rng.choice((-1, 1), shape) * rng.uniform(0.95, 1.05, shape)
    print(
        f"\nOf {studies:,} null studies, % by t test and by exchanged signs; at the end of those with an effect of 1 sd"
    )
    print(f"\n| seeds | {' | '.join(chosen)} | power |\n|---{'|---' * (len(chosen) + 1)}|")
    chosen["power"] = lambda rng, shape: rng.normal(1, 1, shape)
    for n in ALONE:
        cells = []
        for at, draw in enumerate(chosen.values()):
            rng = np.random.default_rng(1000 * n + at)
            drawn = draw(rng, (studies, n))
            found = t_rejects(drawn, PLANNED_LEVEL), signs_reject(drawn, rng)
            cells.append(", ".join(f"{100 * each.mean():.1f}" for each in found))
        print(f"| {n} | {' | '.join(cells)} |", flush=True)


def errors(differences: Values) -> dict[str, float]:
    """Shares of null studies (R, n) that each way of looking decides."""
    one, other = log_e_t(differences), log_e_symmetric(differences)
    both = np.minimum(one, other)
    looks = [t_rejects(differences[:, :n]) for n in range(2, differences.shape[1] + 1)]
    found = {"t test, each look": np.any(looks, axis=0), "t process": ever(one), "symmetric": ever(other)}
    found["both"] = ever(both)
    for planned in PLANNED:
        found[f"t test of {planned}"] = t_rejects(differences[:, :planned], PLANNED_LEVEL)
        found[f"t test of {planned}, then both"] = found[f"t test of {planned}"] | ever(both, EXTENDED_LEVEL)
    return {name: float(each.mean()) for name, each in found.items()}


def pairs_needed(differences: Values) -> tuple[float, float]:
    """The pairs after which half, and four in five, of the studies (R, n) are decided by both."""
    reached = np.minimum(log_e_t(differences), log_e_symmetric(differences)) >= -math.log(EXTENDED_LEVEL)
    first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, math.inf)
    return float(np.quantile(first, 0.5)), float(np.quantile(first, 0.8, method="higher"))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=10_000)
    studies = parser.parse_args().studies
    noise = 100 * 3 * math.sqrt(0.05 * 0.95 / studies)
    print(f"False decisions, % of {studies:,} null studies of up to {PAIRS} pairs (5 + {noise:.1f} of noise allowed)")
    for at, (name, draw) in enumerate(KINDS.items()):
        found = errors(draw(np.random.default_rng(at), (studies, PAIRS)))
        if at == 0:
            print(f"\n| differences (skewness) | {' | '.join(found)} |\n|---{'|---' * len(found)}|")
        print(f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in found.values())} |", flush=True)
    print_alone(studies)
    print("\n| effect, sd | pairs until half are decided | until 4 in 5 |\n|---|---|---|")
    for at, effect in enumerate(EFFECTS):
        half, most = pairs_needed(np.random.default_rng(100 + at).normal(effect, 1, (min(studies, 2000), LONG)))
        print(f"| {effect:g} | {half:.0f} | {most:.0f} |", flush=True)


if __name__ == "__main__":
    main()
