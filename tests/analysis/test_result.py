"""What a run came to, case by case, and how wide its final stretch is."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from service.analysis.result import FigureName, RunResult, final_stretch, run_result
from service.lifecycle import State
from service.spec.measures import better_direction, default_figure, default_series, has_scale_of_loss

NAN, INF = math.nan, math.inf
DIVERGED = {"code": "diverged"}


@dataclass(frozen=True)
class Run:
    state: State = State.SUCCEEDED
    failure: dict[str, Any] | None = None


@dataclass(frozen=True)
class Summary:
    n: int = 9
    last: float | None = 0.5
    final: float | None = None
    min: float | None = 0.25
    max: float | None = 2.0
    nonfinite: int = 0


@pytest.mark.parametrize(
    ("run", "summary", "name", "figure", "outcome", "value"),
    [
        (Run(), Summary(), "val/loss", "last", "value", 0.5),
        (Run(), Summary(final=0.6), "loss", "last", "value", 0.6),
        (Run(), Summary(final=0.6), "loss", "best", "value", 0.25),
        (Run(), Summary(), "val/accuracy", "best", "value", 2.0),
        (Run(), Summary(), "average/val/accuracy", "best", "value", 2.0),
        (Run(), Summary(), "val/accuracy", "min", "value", 0.25),
        (Run(State.FAILED, DIVERGED), Summary(), "loss", "best", "diverged", None),
        (Run(State.FAILED, DIVERGED), Summary(n=0), "loss", "best", "diverged", None),
        (Run(), Summary(nonfinite=1), "loss", "best", "diverged", None),
        (Run(State.CANCELLED), Summary(nonfinite=1), "val/loss", "last", "diverged", None),
        (Run(), Summary(last=INF, nonfinite=1), "grad_norm", "last", "diverged", None),
        (Run(), Summary(last=0.5, nonfinite=1), "grad_norm", "last", "value", 0.5),
        (Run(State.FAILED, {"code": "crash_loop"}), Summary(), "loss", "best", "incomplete", None),
        (Run(State.CANCELLED), Summary(), "loss", "last", "incomplete", None),
        (Run(), Summary(n=0, last=None, min=None, max=None), "loss", "last", "none", None),
    ],
)
def test_a_run_came_to(
    run: Run, summary: Summary, name: str, figure: FigureName, outcome: str, value: float | None
) -> None:
    found = run_result(run, {name: summary}, name, figure)
    assert (found.outcome, found.value, found.provisional) == (outcome, value, False)


def test_a_run_that_has_not_ended_has_its_present_value() -> None:
    for state in (State.QUEUED, State.RUNNING, State.PAUSED):
        assert run_result(Run(state), {"loss": Summary()}, "loss", "last") == RunResult("value", 0.5, True)
        assert run_result(Run(state), {}, "loss", "last") == RunResult("none", None, True)


@pytest.mark.parametrize(
    ("last_step", "width"),
    [(1, 1), (4, 1), (10, 2), (49, 9), (50, 10), (100, 10), (200, 10), (1_000, 50), (20_000, 1_000), (10**7, 1_000)],
)
def test_the_final_stretch_is_five_percent_within_its_bounds(last_step: int, width: int) -> None:
    assert last_step - final_stretch(last_step) + 1 == width


def test_the_series_that_speaks_by_default() -> None:
    assert default_series({"lr", "loss", "val/accuracy", "val/loss"}) == "val/loss"
    assert default_series({"loss", "val/accuracy"}) == "val/accuracy"
    assert default_series({"loss", "lr"}) == default_series(()) == "loss"
    figures = {name: default_figure(name) for name in ("val/loss", "loss", "grad_norm/0", "lr")}
    assert figures == {"val/loss": "best", "loss": "last", "grad_norm/0": "last", "lr": "best"}
    assert [better_direction(name) for name in ("test/accuracy", "val/loss", "accuracy_gap")] == ["max", "min", "min"]


@pytest.mark.parametrize("part", ["val", "test", "train", "average/val"])
def test_a_metric_has_its_own_direction_on_every_part(part: str) -> None:
    better = {"f1_macro": "max", "f1/3": "max", "r2": "max", "accuracy_top5": "max", "rmse": "min", "f12": "min"}
    assert {name: better_direction(f"{part}/{name}") for name in better} == better
    others = [f"{part}/loss", "loss", f"{part}/f12"]
    assert [
        name for name in (*others, f"{part}/rmse", f"{part}/f1", f"{part}/bits_per_byte") if has_scale_of_loss(name)
    ] == others
