"""Every schedule against torch's own to the end and beyond, and its endpoints against what it says of itself."""

import inspect
import math
import random
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch.optim import lr_scheduler as S
from torch.optim.swa_utils import SWALR

from service.spec.schedules import Schedule, ScheduleBase
from service.spec.schedules.compose import Chained, Sequential, Warmup
from service.spec.schedules.cosine import SWA, Cosine, CosineRestarts
from service.spec.schedules.cyclic import Cyclic, OneCycle
from service.spec.schedules.decay import Exponential, InverseTime, Linear, Polynomial
from service.spec.schedules.feedback import Plateau, PlateauState
from service.spec.schedules.stepwise import Constant, ConstantFactor, MultiStep, Step
from service.spec.schedules.warmed import WSD, InverseSqrt

STEPS = 300
BASES = (0.3, 1e-3, 7.0)
Make = Callable[[torch.optim.Optimizer], S.LRScheduler]
KIND: TypeAdapter[ScheduleBase] = TypeAdapter(Schedule)
MEMBERS: tuple[type[ScheduleBase], ...] = get_args(get_args(Schedule)[0])

# SequentialLR passes the epoch on to its parts, which torch itself deprecates
pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")

TWINS: dict[str, list[tuple[ScheduleBase, Make]]] = {
    "constant": [(Constant(), lambda o: S.ConstantLR(o, factor=1.0))],
    "constant_factor": [
        (ConstantFactor(), S.ConstantLR),
        (ConstantFactor(factor=0.7, total_iters=299), lambda o: S.ConstantLR(o, 0.7, 299)),
        (ConstantFactor(factor=0.01, total_iters=1), lambda o: S.ConstantLR(o, 0.01, 1)),
    ],
    "step": [
        (Step(step_size=7), lambda o: S.StepLR(o, 7)),
        (Step(step_size=30, gamma=0.9), lambda o: S.StepLR(o, 30, gamma=0.9)),
    ],
    "multistep": [(MultiStep(milestones=(1, 2, 50, 299)), lambda o: S.MultiStepLR(o, [1, 2, 50, 299]))],
    "exponential": [(Exponential(gamma=0.97), lambda o: S.ExponentialLR(o, 0.97))],
    "linear": [
        (Linear(), S.LinearLR),
        (Linear(start_factor=1.0, end_factor=0.0, total_iters=177), lambda o: S.LinearLR(o, 1.0, 0.0, 177)),
        (Linear(start_factor=0.01, end_factor=0.5, total_iters=None), lambda o: S.LinearLR(o, 0.01, 0.5, 200)),
    ],
    "polynomial": [
        (Polynomial(), S.PolynomialLR),
        (Polynomial(total_iters=250, power=2.5), lambda o: S.PolynomialLR(o, 250, 2.5)),
        (Polynomial(total_iters=None, power=0.5), lambda o: S.PolynomialLR(o, 200, 0.5)),
        (Polynomial(total_iters=9, power=0.0), lambda o: S.PolynomialLR(o, 9, 0.0)),
    ],
    "inverse_time": [
        (
            InverseTime(decay_steps=10, decay_rate=0.5),
            lambda o: S.LambdaLR(o, lambda s: 1 / (1 + 0.5 * s / 10)),
        ),
        (
            InverseTime(decay_steps=10, decay_rate=2.0, staircase=True),
            lambda o: S.LambdaLR(o, lambda s: 1 / (1 + 2.0 * math.floor(s / 10))),
        ),
    ],
    "inverse_sqrt": [
        (
            InverseSqrt(warmup_steps=40, d_model=512),
            lambda o: S.LambdaLR(o, lambda s: 512**-0.5 * min((s + 1) ** -0.5, (s + 1) * 40**-1.5)),
        ),
        (
            InverseSqrt(warmup_steps=20),
            lambda o: S.LambdaLR(o, lambda s: (s + 1) / 20 if s < 20 else (20 / (s + 1)) ** 0.5),
        ),
    ],
    "wsd": [
        (
            WSD(shape="linear", decay_steps=50),
            lambda o: S.SequentialLR(o, [S.ConstantLR(o, 1.0), S.LinearLR(o, 1.0, 0.0, 50)], [150]),
        ),
        (
            WSD(shape="1-sqrt", warmup_steps=20, decay_steps=60, min_factor=0.1, total_steps=250),
            lambda o: S.LambdaLR(
                o,
                lambda s: (s + 1) / 20 if s < 20 else 1.0 if s < 190 else 1 - 0.9 * math.sqrt(min(1, (s - 190) / 60)),
            ),
        ),
    ],
    "cosine": [
        (Cosine(), lambda o: S.CosineAnnealingLR(o, 200)),
        (Cosine(T_max=40, eta_min=1e-4), lambda o: S.CosineAnnealingLR(o, 40, eta_min=1e-4)),
    ],
    "cosine_restarts": [
        (CosineRestarts(T_0=7), lambda o: S.CosineAnnealingWarmRestarts(o, 7)),
        (CosineRestarts(T_0=7, T_mult=3, eta_min=1e-4), lambda o: S.CosineAnnealingWarmRestarts(o, 7, 3, 1e-4)),
        (CosineRestarts(T_0=1, T_mult=2), lambda o: S.CosineAnnealingWarmRestarts(o, 1, 2)),
    ],
    "swa": [
        (SWA(swa_lr=0.05), lambda o: SWALR(o, 0.05)),
        (
            SWA(swa_lr=0.05, anneal_epochs=100, anneal_strategy="linear"),
            lambda o: SWALR(o, 0.05, 100, anneal_strategy="linear"),
        ),
        (SWA(swa_lr=0.05, anneal_epochs=0), lambda o: SWALR(o, 0.05, 0)),
    ],
    "cyclic": [
        (
            Cyclic(base_lr=1e-4, max_lr=0.1, step_size_up=13, cycle_momentum=True),
            lambda o: S.CyclicLR(o, 1e-4, 0.1, 13),
        ),
        (
            Cyclic(base_lr=0.0, max_lr=0.1, step_size_up=5, step_size_down=23, mode="triangular2", cycle_momentum=True),
            lambda o: S.CyclicLR(o, 0.0, 0.1, 5, 23, mode="triangular2"),
        ),
        (
            Cyclic(base_lr=0.01, max_lr=0.1, step_size_up=30, mode="exp_range", gamma=0.99, cycle_momentum=True),
            lambda o: S.CyclicLR(o, 0.01, 0.1, 30, mode="exp_range", gamma=0.99),
        ),
        (Cyclic(base_lr=0.01, max_lr=0.1), lambda o: S.CyclicLR(o, 0.01, 0.1, cycle_momentum=False)),
    ],
    "one_cycle": [
        (OneCycle(max_lr=0.2, total_steps=STEPS), lambda o: S.OneCycleLR(o, 0.2, STEPS, cycle_momentum=False)),
        (OneCycle(total_steps=STEPS, cycle_momentum=True), lambda o: S.OneCycleLR(o, o.param_groups[0]["lr"], STEPS)),
        (
            OneCycle(total_steps=STEPS, three_phase=True, pct_start=0.4, anneal_strategy="linear", cycle_momentum=True),
            lambda o: S.OneCycleLR(
                o, o.param_groups[0]["lr"], STEPS, three_phase=True, pct_start=0.4, anneal_strategy="linear"
            ),
        ),
        (
            OneCycle(max_lr=1.0, total_steps=STEPS, pct_start=0.001, div_factor=3.0, final_div_factor=10.0),
            lambda o: S.OneCycleLR(
                o, 1.0, STEPS, pct_start=0.001, div_factor=3.0, final_div_factor=10.0, cycle_momentum=False
            ),
        ),
    ],
    "warmup": [
        (
            Warmup(steps=20, start_factor=0.25, after=CosineRestarts(T_0=11)),
            lambda o: S.SequentialLR(
                o, [S.LinearLR(o, 0.25, 1.0, 20), S.CosineAnnealingWarmRestarts(o, 11)], milestones=[20]
            ),
        ),
        (
            Warmup(
                steps=20,
                start_factor=0.5,
                after=Sequential(schedules=(Constant(), Step(step_size=9)), milestones=(30,)),
            ),
            lambda o: S.SequentialLR(
                o, [S.LinearLR(o, 0.5, 1.0, 20), S.ConstantLR(o, 1.0), S.StepLR(o, 9)], milestones=[20, 50]
            ),
        ),
    ],
    "sequential": [
        (
            Sequential(
                schedules=(ConstantFactor(factor=0.1, total_iters=15), Exponential(gamma=0.9), Cosine(T_max=50)),
                milestones=(20, 100),
            ),
            lambda o: S.SequentialLR(
                o, [S.ConstantLR(o, 0.1, 15), S.ExponentialLR(o, 0.9), S.CosineAnnealingLR(o, 50)], milestones=[20, 100]
            ),
        ),
        (
            Sequential(
                schedules=(Polynomial(total_iters=50), Linear(), MultiStep(milestones=(3, 9))), milestones=(1, 250)
            ),
            lambda o: S.SequentialLR(
                o, [S.PolynomialLR(o, 50), S.LinearLR(o), S.MultiStepLR(o, [3, 9])], milestones=[1, 250]
            ),
        ),
        (
            Sequential(schedules=(Exponential(gamma=0.99), SWA(swa_lr=0.05)), milestones=(299,)),
            lambda o: S.SequentialLR(o, [S.ExponentialLR(o, 0.99), S.StepLR(o, 5)], milestones=[299]),
        ),
    ],
    "chained": [
        (
            Chained(schedules=(ConstantFactor(factor=0.1, total_iters=20), Exponential(gamma=0.9))),
            lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.1, 20), S.ExponentialLR(o, 0.9)]),
        ),
        (
            Chained(schedules=(Linear(total_iters=30), Step(step_size=50, gamma=0.5), Polynomial(total_iters=280))),
            lambda o: S.ChainedScheduler([S.LinearLR(o, total_iters=30), S.StepLR(o, 50, 0.5), S.PolynomialLR(o, 280)]),
        ),
        (
            Chained(schedules=(Cosine(T_max=STEPS), Exponential(gamma=0.999))),
            lambda o: S.ChainedScheduler([S.CosineAnnealingLR(o, STEPS), S.ExponentialLR(o, 0.999)]),
        ),
    ],
}
CASES = [(schedule, make) for pairs in TWINS.values() for schedule, make in pairs]
ids: Any = {"ids": lambda value: str(getattr(value, "kind", ""))}


def torchs(make: Make, base: float, kind: str = "sgd") -> tuple[list[float], list[float]]:
    """Rates and momenta of torch's scheduler."""
    weight = [torch.zeros(1, requires_grad=True)]
    sgd = kind == "sgd"
    optimizer = torch.optim.SGD(weight, lr=base, momentum=0.5) if sgd else torch.optim.Adam(weight, lr=base)
    scheduler, rates, momenta = make(optimizer), [], []
    for _ in range(STEPS):
        group = optimizer.param_groups[0]
        rates.append(float(group["lr"]))
        momenta.append(group["momentum"] if sgd else group["betas"][0])
        optimizer.step()
        scheduler.step()
    return rates, momenta


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("schedule", "make"), CASES, **ids)
def test_rates_are_those_of_torchs_scheduler_to_the_end_and_beyond(
    schedule: ScheduleBase, make: Make, base: float
) -> None:
    rates, _ = torchs(make, base)
    ours = [schedule.rate(base, s, 200) for s in range(STEPS)]
    assert ours == pytest.approx(rates, rel=1e-12, abs=1e-12 * max(rates))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(("schedule", "make"), [case for case in CASES if case[0].momentum_pointer], **ids)
def test_a_cycling_momentum_is_torchs(schedule: ScheduleBase, make: Make, optimizer: str) -> None:
    _, momenta = torchs(make, 0.3, optimizer)
    assert [schedule.momentum(s, STEPS) for s in range(STEPS)] == pytest.approx(momenta, rel=1e-12)


@pytest.mark.parametrize("schedule", [case[0] for case in CASES if not case[0].momentum_pointer], ids=lambda s: s.kind)
def test_momentum_is_left_alone_unless_a_schedule_is_asked(schedule: ScheduleBase) -> None:
    assert {schedule.momentum(s, 50) for s in range(60)} == {None}


def test_every_kind_is_compared() -> None:
    kinds = {member.model_fields["kind"].default for member in MEMBERS}
    assert kinds == set(TWINS) | {"plateau"}


# What differs from the twin on purpose: (kind, field) with a default of ours, or a name of ours.
OURS = {
    ("cosine", "T_max"): "null is the whole run",
    ("one_cycle", "max_lr"): "null is the optimizer's lr",
    ("one_cycle", "cycle_momentum"): "momentum is not changed unasked",
    ("cyclic", "cycle_momentum"): "momentum is not changed unasked",
    ("plateau", "watch"): "torch is handed the value",
    ("sequential", "schedules"): "schedulers in torch",
    ("chained", "schedules"): "schedulers in torch",
}
IN_TORCH = [member for member in MEMBERS if member.torch_scheduler and member is not Warmup]


@pytest.mark.parametrize("member", IN_TORCH, ids=lambda m: m.__name__)
def test_fields_are_torchs_arguments_with_torchs_defaults(member: type[ScheduleBase]) -> None:
    twin = SWALR if member.torch_scheduler == "SWALR" else getattr(S, member.torch_scheduler)
    theirs, kind = dict(inspect.signature(twin).parameters), member.model_fields["kind"].default
    theirs.pop("schedulers", None)
    fields = {name: field for name, field in member.model_fields.items() if name != "kind"}
    for name, field in fields.items():
        if (kind, name) not in OURS:
            default = inspect.Parameter.empty if field.is_required() else field.default
            assert theirs[name].default == default, name
    assert set(theirs) - set(fields) <= set(member.left_out)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: m.__name__)
def test_every_schedule_has_a_formula_and_survives_json(member: type[ScheduleBase]) -> None:
    assert member.formula
    for schedule, _ in TWINS.get(member.model_fields["kind"].default, []):
        assert KIND.validate_json(schedule.model_dump_json()) == schedule


# Endpoints


@pytest.mark.parametrize("shape", ["linear", "1-sqrt", "cosine"])
def test_wsd_is_1_after_its_warmup_and_until_its_decay_and_ends_at_its_floor(shape: Any) -> None:
    wsd = WSD(warmup_steps=10, decay_steps=20, shape=shape, min_factor=0.25)
    assert wsd.rate(2.0, 9, 100) == 2.0
    assert {wsd.rate(2.0, s, 100) for s in range(9, 81)} == {2.0}
    assert wsd.rate(2.0, 81, 100) < 2.0
    assert wsd.rate(2.0, 100, 100) == wsd.rate(2.0, 1000, 100) == 0.5


def test_wsd_decays_over_a_fifth_of_the_run_unless_it_is_told() -> None:
    assert WSD().rate(1.0, 80, 100) == 1.0
    assert WSD(shape="linear").rate(1.0, 90, 100) == 0.5


def test_the_inverse_square_root_peaks_at_its_last_warmup_update() -> None:
    assert InverseSqrt(warmup_steps=50).rate(0.3, 49, 1) == 0.3
    assert InverseSqrt(warmup_steps=50).rate(0.3, 199, 1) == pytest.approx(0.15, rel=1e-15)
    noam = InverseSqrt(warmup_steps=4000, d_model=512)
    assert noam.rate(1.0, 3999, 1) == pytest.approx(1 / math.sqrt(512 * 4000), rel=1e-15)


@pytest.mark.parametrize("three_phase", [True, False])
def test_one_cycle_begins_peaks_and_ends_where_it_says_and_rests_there(three_phase: bool) -> None:
    cycle = OneCycle(max_lr=1.0, pct_start=0.25, three_phase=three_phase)
    assert cycle.rate(9.0, 0, 100) == pytest.approx(1 / 25, rel=1e-14)
    assert cycle.rate(9.0, 24, 100) == pytest.approx(1.0, rel=1e-15)
    assert cycle.rate(9.0, 99, 100) == cycle.rate(9.0, 100, 100) == cycle.rate(9.0, 10**6, 100) == 1 / 25 / 1e4
    assert max(cycle.rate(9.0, s, 100) for s in range(100)) <= 1.0


@given(
    length=st.integers(1, 60),
    pct=st.floats(0.01, 0.5),
    three=st.booleans(),
    s=st.integers(0, 80),
    strategy=st.sampled_from(["cos", "linear"]),
)
def test_one_cycle_stays_between_its_last_rate_and_its_peak(
    length: int, pct: float, three: bool, s: int, strategy: Any
) -> None:
    cycle = OneCycle(pct_start=pct, three_phase=three, anneal_strategy=strategy, cycle_momentum=True)
    assert 0.5 / 25 / 1e4 * (1 - 1e-9) <= cycle.rate(0.5, s, length) <= 0.5 * (1 + 1e-12)
    momentum = cycle.momentum(s, length)
    assert momentum is not None
    assert 0.85 - 1e-12 <= momentum <= 0.95 + 1e-12


def test_swa_ends_exactly_at_its_rate_and_a_restart_exactly_at_the_base() -> None:
    assert SWA(swa_lr=0.05, anneal_epochs=7).rate(0.3, 7, 0) == 0.05
    restarts = CosineRestarts(T_0=5, T_mult=2)
    assert [s for s in range(100) if restarts.rate(0.3, s, 0) == 0.3] == [0, 5, 15, 35, 75]


def test_a_long_triangular2_run_does_not_overflow() -> None:
    assert Cyclic(base_lr=0.1, max_lr=1.0, step_size_up=1, mode="triangular2").rate(1.0, 10**6 + 1, 0) == 0.1


FALLING: list[ScheduleBase] = [
    Exponential(gamma=0.9),
    Step(step_size=3, gamma=0.5),
    Polynomial(total_iters=None, power=2.0),
    Linear(start_factor=1.0, end_factor=0.1, total_iters=None),
    InverseTime(decay_steps=3, decay_rate=0.2),
    WSD(),
    Chained(schedules=(Exponential(gamma=0.9), Polynomial(total_iters=50))),
]


@pytest.mark.parametrize("schedule", FALLING, ids=lambda s: s.kind)
@given(base=st.floats(1e-6, 10), total=st.integers(1, 500), s=st.integers(0, 600))
def test_what_decays_never_rises(schedule: ScheduleBase, base: float, total: int, s: int) -> None:
    now, later = schedule.rate(base, s, total), schedule.rate(base, s + 1, total)
    assert 0 <= later <= now <= base


SCALING = [case[0] for case in CASES if not case[0].absolute_field]


@pytest.mark.parametrize("schedule", SCALING, ids=lambda s: s.kind)
def test_what_says_it_only_scales_is_proportional_to_the_base(schedule: ScheduleBase) -> None:
    for s in range(0, 250, 7):
        assert schedule.rate(3.0, s, 200) == pytest.approx(3 * schedule.rate(1.0, s, 200), rel=1e-14)


def test_parts_of_a_sequence_without_a_length_fill_their_turn() -> None:
    both = Sequential(
        schedules=(Cosine(), Linear(start_factor=1.0, end_factor=0.5, total_iters=None)), milestones=(40,)
    )
    assert both.rate(1.0, 20, 100) == pytest.approx(0.5, rel=1e-15)
    assert both.rate(1.0, 40, 100) == 1.0
    assert both.rate(1.0, 70, 100) == 0.75
    assert both.rate(1.0, 100, 100) == 0.5


def test_a_momentum_follows_the_schedule_that_has_its_turn() -> None:
    cycle = OneCycle(cycle_momentum=True)
    assert Warmup(steps=10, after=cycle).momentum(3, 110) == 0.95
    assert Warmup(steps=10, after=cycle).momentum(10 + 29, 110) == pytest.approx(0.85, rel=1e-15)
    sequence = Sequential(schedules=(Constant(), cycle), milestones=(10,))
    assert sequence.momentum(9, 110) is None
    assert sequence.momentum(39, 110) == pytest.approx(0.85, rel=1e-15)


# The one with feedback


def plateaus(plateau: Plateau, base: float, metrics: list[float]) -> list[float]:
    state, rates = PlateauState(), []
    for metric in metrics:
        state = plateau.advance(state, metric)
        assert PlateauState.of(state.document()) == state
        rates.append(plateau.rate_of(state, base))
    return rates


def torchs_plateau(plateau: Plateau, base: float, metrics: list[float]) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=base)
    arguments = {name: value for name, value in plateau.kwargs().items() if name != "watch"}
    scheduler, rates = S.ReduceLROnPlateau(optimizer, **arguments), []
    for metric in metrics:
        scheduler.step(metric)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


def test_a_plateau_is_torchs_over_random_metrics() -> None:
    draw = random.Random(5)
    odd = [math.nan, math.inf, -math.inf, 0.0]
    reduced = 0
    for _ in range(300):
        threshold_mode = draw.choice(["rel", "abs"])
        plateau = Plateau(
            mode=draw.choice(["min", "max"]),
            factor=draw.choice([0.1, 0.5, 0.99]),
            patience=draw.randint(0, 4),
            threshold=draw.choice([0.0, 1e-4, 0.1]),
            threshold_mode=threshold_mode,
            cooldown=draw.randint(0, 3),
            min_lr=draw.choice([0.0, 1e-3, 0.05]),
            eps=draw.choice([0.0, 1e-8, 1e-2]),
        )
        metrics = [draw.choice(odd) if draw.random() < 0.05 else draw.gauss(1 / (1 + i), 0.1) for i in range(80)]
        rates = plateaus(plateau, 0.3, metrics)
        assert rates == torchs_plateau(plateau, 0.3, metrics)
        reduced += len(set(rates)) > 1
    assert reduced > 200


def test_nan_never_improves_and_an_improvement_resets_the_count() -> None:
    plateau = Plateau(patience=1, factor=0.5)
    assert plateaus(plateau, 1.0, [3.0, math.nan, 2.0, math.nan, math.nan]) == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_a_plateau_names_what_it_watches_behind_a_warmup_too() -> None:
    assert (Plateau().pure, Plateau().watched_series) == (False, "val/loss")
    behind = Warmup(steps=4, after=Plateau(watch="val/accuracy", mode="max"))
    assert (behind.pure, behind.watched_series, behind.watched_pointer) == (False, "val/accuracy", "/after/watch")
    assert all(case[0].pure for case in CASES)


# Refused by bounds, by contradictions, by the run's length; and what is only odd

BAD: list[tuple[dict[str, Any], str]] = [
    ({"kind": "step", "step_size": 0}, "step_size"),
    ({"kind": "step", "step_size": 3, "gamma": -1.0}, "gamma"),
    ({"kind": "step", "step_size": 3, "gamma": 10.0}, "gamma"),
    ({"kind": "exponential", "gamma": 0.0}, "gamma"),
    ({"kind": "exponential", "gamma": math.nan}, "gamma"),
    ({"kind": "cosine", "T_max": 0}, "T_max"),
    ({"kind": "cosine_restarts", "T_0": 0}, "T_0"),
    ({"kind": "cosine_restarts", "T_0": 3, "T_mult": 0}, "T_mult"),
    ({"kind": "cyclic", "base_lr": 0.1, "max_lr": 1.0, "step_size_up": 0}, "step_size_up"),
    ({"kind": "polynomial", "power": -1.0}, "power"),
    ({"kind": "polynomial", "total_iters": 0}, "total_iters"),
    ({"kind": "linear", "total_iters": 0}, "total_iters"),
    ({"kind": "linear", "start_factor": 0.0}, "start_factor"),
    ({"kind": "constant_factor", "factor": 0.0}, "factor"),
    ({"kind": "one_cycle", "pct_start": 1.0}, "pct_start"),
    ({"kind": "one_cycle", "div_factor": 0.0}, "div_factor"),
    ({"kind": "plateau", "factor": 1.0}, "factor"),
    ({"kind": "plateau", "factor": -0.5}, "factor"),
    ({"kind": "chained", "schedules": [{"kind": "swa", "swa_lr": 0.1}]}, "schedules"),
    ({"kind": "sequential", "schedules": [{"kind": "constant"}, {"kind": "plateau"}], "milestones": [3]}, "schedules"),
    ({"kind": "warmup", "steps": 3, "after": {"kind": "warmup", "steps": 3}}, "after"),
]


@pytest.mark.parametrize(("document", "field"), BAD, ids=lambda v: v if isinstance(v, str) else v["kind"])
def test_what_torch_takes_without_a_word_is_out_of_bounds_here(document: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        KIND.validate_json(TypeAdapter(dict).dump_json(document, by_alias=True))
    assert field in [part for error in caught.value.errors() for part in error["loc"]]


CONTRADICTIONS: list[tuple[ScheduleBase, str]] = [
    (MultiStep(milestones=(4, 2)), "/milestones"),
    (MultiStep(milestones=(4, 4)), "/milestones"),
    (Cyclic(base_lr=0.2, max_lr=0.1), "/base_lr"),
    (Cyclic(base_lr=0.0, max_lr=0.1, gamma=0.9), "/gamma"),
    (Cyclic(base_lr=0.0, max_lr=0.1, base_momentum=0.95), "/base_momentum"),
    (OneCycle(three_phase=True, pct_start=0.6), "/pct_start"),
    (OneCycle(div_factor=2.0, final_div_factor=0.1), "/final_div_factor"),
    (Plateau(threshold=1.0), "/threshold"),
    (Sequential(schedules=(Constant(), Constant(), Constant()), milestones=(4, 2)), "/milestones"),
    (Sequential(schedules=(Constant(), Constant()), milestones=(4, 5)), "/milestones"),
    (Sequential(schedules=(Constant(), MultiStep(milestones=(2, 1))), milestones=(4,)), "/schedules/1/milestones"),
    (Chained(schedules=(Constant(), Cosine(eta_min=0.1))), "/schedules/1/eta_min"),
    (Warmup(steps=3, after=Cyclic(base_lr=0.2, max_lr=0.1)), "/after/base_lr"),
]


@pytest.mark.parametrize(("schedule", "pointer"), CONTRADICTIONS, **ids)
def test_a_contradiction_is_named_where_it_is(schedule: ScheduleBase, pointer: str) -> None:
    assert [problem.pointer for problem in schedule.problems()] == [pointer]


@pytest.mark.parametrize("schedule", [case[0] for case in CASES], ids=lambda s: s.kind)
def test_what_torch_means_too_is_no_contradiction(schedule: ScheduleBase) -> None:
    assert list(schedule.problems()) == []


MISFITS: list[tuple[ScheduleBase, list[str]]] = [
    (Warmup(steps=101), ["/steps"]),
    (Warmup(steps=100), []),
    (OneCycle(total_steps=99), ["/total_steps"]),
    (OneCycle(total_steps=100), []),
    (Warmup(steps=50, after=OneCycle(total_steps=50)), []),
    (Warmup(steps=50, after=OneCycle(total_steps=49)), ["/after/total_steps"]),
    (WSD(warmup_steps=50, decay_steps=51), ["/decay_steps"]),
    (WSD(warmup_steps=81), ["/warmup_steps"]),
    (WSD(warmup_steps=50, decay_steps=50), []),
    (
        Sequential(schedules=(OneCycle(total_steps=30), OneCycle(total_steps=60)), milestones=(30,)),
        ["/schedules/1/total_steps"],
    ),
    (Sequential(schedules=(Constant(), OneCycle(total_steps=1)), milestones=(100,)), []),
    (Chained(schedules=(Constant(), WSD(warmup_steps=100))), ["/schedules/1/warmup_steps"]),
]


@pytest.mark.parametrize(("schedule", "pointers"), MISFITS, **ids)
def test_a_schedule_that_does_not_fit_the_run_is_refused(schedule: ScheduleBase, pointers: list[str]) -> None:
    assert [problem.pointer for problem in schedule.run_problems(100)] == pointers


ODD: list[tuple[ScheduleBase, list[tuple[str, str]]]] = [
    (Cosine(), []),
    (Cosine(T_max=100), []),
    (Cosine(T_max=99), [("/T_max", "rises_again")]),
    (Cosine(T_max=101), [("/T_max", "cut_short")]),
    (Cosine(eta_min=0.4), [("/eta_min", "rises")]),
    (CosineRestarts(T_0=100), [("/T_0", "never_due")]),
    (MultiStep(milestones=(100,)), [("/milestones", "never_due")]),
    (Step(step_size=100), [("/step_size", "never_due")]),
    (ConstantFactor(total_iters=101), [("/total_iters", "cut_short")]),
    (Linear(), []),
    (Linear(total_iters=101), [("/total_iters", "cut_short")]),
    (Linear(start_factor=1.0, end_factor=0.0, total_iters=99), [("/total_iters", "stops_learning")]),
    (Polynomial(), [("/total_iters", "stops_learning")]),
    (Polynomial(total_iters=100), []),
    (OneCycle(), []),
    (OneCycle(max_lr=0.3), []),
    (OneCycle(max_lr=0.2), [("/max_lr", "ignored")]),
    (OneCycle(total_steps=101), [("/total_steps", "cut_short")]),
    (Cyclic(base_lr=0.1, max_lr=0.3, step_size_up=10), []),
    (Cyclic(base_lr=0.1, max_lr=0.2), [("/max_lr", "ignored"), ("/step_size_up", "cut_short")]),
    (SWA(swa_lr=0.1, anneal_epochs=101), [("/anneal_epochs", "cut_short")]),
    (WSD(total_steps=101), [("/total_steps", "cut_short")]),
    (WSD(total_steps=99), [("/total_steps", "rests")]),
    (InverseSqrt(), [("/warmup_steps", "cut_short")]),
    (Plateau(min_lr=0.3), [("/min_lr", "no_effect")]),
    (Plateau(watch="val/accuracy"), [("/mode", "probably_reversed")]),
    (Plateau(watch="val/accuracy", mode="max"), []),
    (Warmup(steps=50, after=Cosine(T_max=49)), [("/after/T_max", "rises_again")]),
    (Sequential(schedules=(Cosine(T_max=9), Constant()), milestones=(10,)), [("/schedules/0/T_max", "rises_again")]),
    (Sequential(schedules=(Constant(), Cosine(T_max=9)), milestones=(100,)), [("/milestones", "never_due")]),
    (Chained(schedules=(Cosine(T_max=9), Constant())), [("/schedules/0/T_max", "rises_again")]),
]


@pytest.mark.parametrize(("schedule", "expected"), ODD, **ids)
def test_what_is_probably_not_meant_is_said(schedule: ScheduleBase, expected: list[tuple[str, str]]) -> None:
    assert [(odd.pointer, odd.code) for odd in schedule.warnings(0.3, 100)] == expected
