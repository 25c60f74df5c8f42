"""The early verdict keeps its word: of trials stopped at a chance below 5 %, at most 5 % would have become the best."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from service.analysis.extrapolation import chance_to_reach
from service.studies.rungs import decide
from service.studies.trial import Trial, TrialState
from tests.studies.examples import make_study

CURVES: dict[str, list[list[float | None]]] = json.loads(Path(__file__).with_name("curves.json").read_text())
SHARES = [at / 10 for at in range(2, 10)]
LIMIT = 0.05


def error_of(
    draw: Callable[[np.random.Generator], list[list[float]]], studies: int, best: bool
) -> tuple[int, int, float]:
    """Return the trials that were stopped, those of them that would have become the best, and the share of steps saved.

    `draw` gives curves of ten values; a study tries them one after the other. `best`: the figure is the best value.
    """
    generator = np.random.default_rng(1)
    stopped = wrong = 0
    saved = total = 0.0
    for _ in range(studies):
        finals: list[float] = []
        for curve in draw(generator):
            values = [min(curve[: at + 1]) for at in range(len(curve))] if best else curve
            total += 1
            ended = False
            for rungs in range(2, len(SHARES) + 1):
                reached = len(finals) >= 3 and min(finals) < math.inf
                if reached and chance_to_reach(SHARES[:rungs], values[1 : rungs + 1], min(finals)) < LIMIT:
                    stopped, wrong, ended = stopped + 1, wrong + (values[-1] < min(finals)), True
                    saved += 1 - SHARES[rungs - 1]
                    break
            if not ended:
                finals.append(values[-1])
    return stopped, wrong, saved / total


def most(stopped: int) -> float:
    """Return how many of the stopped trials may be wrong: 5 % and two standard deviations."""
    return LIMIT * stopped + 2 * math.sqrt(LIMIT * (1 - LIMIT) * stopped)


@pytest.mark.parametrize("best", [True, False], ids=["best", "last"])
@pytest.mark.parametrize("task", CURVES)
def test_the_error_rate_holds_on_real_curves(task: str, best: bool) -> None:
    """Validation losses of trainings on five datasets, as tests.benchmarks.searches keeps them; null: diverged."""
    curves = [[math.inf if value is None else value for value in curve] for curve in CURVES[task]]

    def draw(generator: np.random.Generator) -> list[list[float]]:
        return [curves[at] for at in generator.permutation(len(curves))[:40]]

    stopped, wrong, saved = error_of(draw, 5, best)
    assert stopped > 60
    assert wrong <= most(stopped)
    assert saved > 0.25


def simulated(kind: str) -> Callable[[np.random.Generator], list[list[float]]]:
    """Return a function that draws 40 curves of a kind; the model of the extrapolation is only one of them."""
    x = np.arange(1, 11) / 10

    def draw(generator: np.random.Generator) -> list[list[float]]:
        made = []
        for _ in range(40):
            end, height, noise = generator.uniform(0.1, 1.0), generator.uniform(0.5, 3.0), generator.uniform(0.0, 0.03)
            if kind == "power":
                shape = (x ** -generator.uniform(0.2, 1.5) - 1) / 10
            elif kind == "exponential":
                shape = np.exp(-x * generator.uniform(2, 12))
            elif kind == "late drop":
                shape = 1 / (1 + np.exp((x - generator.uniform(0.2, 0.7)) * 20))
            else:  # rises again
                shape = np.exp(-x * 8) + 0.1 * np.maximum(0, x - generator.uniform(0.2, 0.9))
            made.append([float(v) for v in end + height * shape + noise * generator.normal(size=10)])
        return made

    return draw


@pytest.mark.parametrize("kind", ["power", "exponential", "late drop", "rises again"])
def test_the_error_rate_holds_on_simulated_curves(kind: str) -> None:
    stopped, wrong, _ = error_of(simulated(kind), 10, best=False)
    assert stopped > 100
    assert wrong <= most(stopped)


def test_the_chance_rises_with_the_target_and_ends_at_0_and_1() -> None:
    shares, losses = [0.2, 0.3, 0.4, 0.5], [1.0, 0.8, 0.7, 0.65]
    chances = [chance_to_reach(shares, losses, target) for target in (-10.0, 0.3, 0.5, 0.6, 0.7, 10.0)]
    assert all(one < other for one, other in pairwise(chances))
    assert chances[0] < 0.01
    assert chances[-1] > 0.99


def test_the_chance_does_not_depend_on_unit_or_origin() -> None:
    shares, losses = [0.2, 0.3, 0.4], [1.0, 0.8, 0.7]
    plain = chance_to_reach(shares, losses, 0.5)
    assert chance_to_reach(shares, [1e6 * loss + 7e6 for loss in losses], 7.5e6) == pytest.approx(plain, rel=1e-6)


def test_a_flat_or_a_diverged_curve_is_judged_without_a_warning() -> None:
    assert chance_to_reach([0.2, 0.3, 0.4], [2.3, 2.3, 2.3], 0.1) < 0.05
    assert chance_to_reach([0.2, 0.3, 0.4], [2.3, 2.3, 2.3], 2.3) > 0.3
    assert chance_to_reach([0.2, 0.3], [1.0, math.inf], 0.5) == 0.0
    assert chance_to_reach([0.2], [1.0], 0.5) == 1.0


def test_a_hopeless_trial_is_stopped_and_told_its_chance() -> None:
    given = make_study({"/optimizer/lr": {"kind": "log_uniform", "low": 1e-4, "high": 1.0}}, pruner="early_verdict")
    point = {"/optimizer/lr": 0.1}
    done = [Trial(at, point, TrialState.FINISHED, (1.0, 0.5, 0.3), 0.1 + at / 100) for at in range(3)]
    bad = Trial(3, point, TrialState.WAITING, (2.3, 2.29, 2.28))
    good = Trial(4, point, TrialState.WAITING, (1.0, 0.4, 0.2))
    decisions = decide(given, [*done, bad, good])
    assert (decisions[3].verdict, decisions[4].verdict) == ("stop", "continue")
    assert decisions[3].why.endswith("of ending below the best, 0.1")
    assert {each.verdict for each in decide(given, [*done[:2], bad, good]).values()} == {"continue"}
