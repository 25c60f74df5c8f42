"""Schedules against torch's own schedulers, and their endpoints against the sentences that describe them."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as torch_schedulers

from service.spec.experiment import Experiment
from service.spec.schedules import ScheduleBase, curve
from service.spec.schedules.compose import Warmup
from service.spec.schedules.cosine import Cosine
from service.spec.schedules.decay import Exponential
from service.spec.schedules.stepwise import Constant, MultiStep, Step

BASE, TOTAL = 0.3, 120
Make = Callable[[torch.optim.Optimizer], torch_schedulers.LRScheduler]
S = torch_schedulers


def warm(optimizer: torch.optim.Optimizer, start: float, steps: int, after: Make) -> torch_schedulers.LRScheduler:
    rise = S.LinearLR(optimizer, start_factor=start, total_iters=steps)
    return S.SequentialLR(optimizer, [rise, after(optimizer)], milestones=[steps])


TWINS: list[tuple[ScheduleBase, Make]] = [
    (Constant(), lambda o: S.ConstantLR(o, factor=1.0)),
    (Step(step_size=7), lambda o: S.StepLR(o, 7)),
    (Step(step_size=30, gamma=0.9), lambda o: S.StepLR(o, 30, gamma=0.9)),
    (Step(step_size=1, gamma=1.0), lambda o: S.StepLR(o, 1, gamma=1.0)),
    (MultiStep(milestones=(1, 2, 50, 119)), lambda o: S.MultiStepLR(o, [1, 2, 50, 119])),
    (MultiStep(milestones=(500,), gamma=0.5), lambda o: S.MultiStepLR(o, [500], gamma=0.5)),
    (Exponential(gamma=0.97), lambda o: S.ExponentialLR(o, 0.97)),
    (Cosine(), lambda o: S.CosineAnnealingLR(o, TOTAL)),
    (Cosine(T_max=40, eta_min=0.01), lambda o: S.CosineAnnealingLR(o, 40, eta_min=0.01)),
    (Warmup(steps=10, start_factor=0.1), lambda o: S.LinearLR(o, start_factor=0.1, total_iters=10)),
    (
        Warmup(steps=20, start_factor=0.25, after=Cosine(T_max=100)),
        lambda o: warm(o, 0.25, 20, lambda o: S.CosineAnnealingLR(o, 100)),
    ),
    (
        Warmup(steps=20, start_factor=0.5, after=Step(step_size=30)),
        lambda o: warm(o, 0.5, 20, lambda o: S.StepLR(o, 30)),
    ),
]


def torchs_rates(make: Make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(("schedule", "make"), TWINS, ids=lambda value: str(getattr(value, "kind", "")))
# SequentialLR passes the epoch on to its parts, which torch itself deprecates
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
def test_rates_are_those_of_torchs_scheduler(schedule: ScheduleBase, make: Make) -> None:
    ours = curve(schedule, BASE, list(range(1, TOTAL + 1)), TOTAL)
    assert ours == pytest.approx(torchs_rates(make, TOTAL), abs=1e-12, rel=0)


def test_a_cosine_is_base_at_the_first_update_and_eta_min_after_the_last() -> None:
    schedule = Cosine(eta_min=0.05)
    assert schedule.rate(BASE, 0, 50) == BASE
    assert schedule.rate(BASE, 50, 50) == pytest.approx(0.05, abs=1e-15)
    assert schedule.rate(BASE, 25, 50) == pytest.approx((BASE + 0.05) / 2, abs=1e-15)


def test_a_warmup_reaches_the_base_rate_at_its_last_update_unless_it_names_a_start() -> None:
    plain = Warmup(steps=4)
    assert [plain.rate(1.0, s, 10) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    from_zero = Warmup(steps=4, start_factor=0.0)
    assert [from_zero.rate(1.0, s, 10) for s in range(6)] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_schedule_behind_a_warmup_counts_from_there_to_the_end() -> None:
    schedule = Warmup(steps=20, after=Cosine(eta_min=0.1))
    assert schedule.rate(BASE, 20, 100) == BASE
    assert schedule.rate(BASE, 100, 100) == pytest.approx(0.1, abs=1e-15)


def test_a_step_falls_right_after_its_size_and_a_milestone_at_its_number() -> None:
    assert curve(Step(step_size=3), 1.0, [3, 4], 10) == [1.0, 0.1]
    assert curve(MultiStep(milestones=(3,)), 1.0, [3, 4], 10) == [1.0, 0.1]


EPOCHS: dict[str, Any] = {
    "dataset": {"kind": "iris"},  # 120 rows to train on: 8 updates an epoch
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": BASE},
    "batch_size": 16,
    "epochs": 5,
    "schedule_unit": "epoch",
}


def test_a_schedule_counted_in_epochs_holds_its_rate_through_each() -> None:
    spec = Experiment.model_validate(EPOCHS | {"schedule": {"kind": "cosine"}})
    rates = [spec.rate(step) for step in range(1, 41)]
    for epoch in range(5):
        assert set(rates[8 * epoch : 8 * epoch + 8]) == {BASE * (1 + math.cos(math.pi * epoch / 5)) / 2}
