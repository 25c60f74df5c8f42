"""The loop against a plain PyTorch loop written out here: equal to the last bit."""

import hashlib
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import schedulefree
import torch
from torch import nn

from worker.trainer.data.split import split_dataset
from worker.trainer.loop import Step, evaluate_start, prepare, train
from worker.trainer.optim.lecture import LectureAdagrad, LectureRMSprop

CPU = torch.device("cpu")


def training(optimizer: Any) -> Any:
    optimizer.train()
    return optimizer


# The worker's policy is fused=True for Adam and AdamW on the CPU; all others equal torch's default flags bit for bit.
OPTIMIZERS: dict[str, tuple[dict[str, Any], Callable[[Any], torch.optim.Optimizer]]] = {
    "sgd": ({"kind": "sgd"}, lambda p: torch.optim.SGD(p, lr=1.0)),
    "momentum": (
        {"kind": "sgd", "momentum": 0.9, "dampening": 0.1, "weight_decay": 1e-2},
        lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9, dampening=0.1, weight_decay=1e-2),
    ),
    "nesterov": (
        {"kind": "sgd", "momentum": 0.9, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9, nesterov=True),
    ),
    "adam": (
        {"kind": "adam", "betas": (0.8, 0.99), "weight_decay": 1e-3, "amsgrad": True},
        lambda p: torch.optim.Adam(p, lr=1.0, betas=(0.8, 0.99), weight_decay=1e-3, amsgrad=True, fused=True),
    ),
    "adamw": ({"kind": "adamw"}, lambda p: torch.optim.AdamW(p, lr=1.0, fused=True)),
    "rmsprop": (
        {"kind": "rmsprop", "momentum": 0.5, "centered": True},
        lambda p: torch.optim.RMSprop(p, lr=1.0, momentum=0.5, centered=True),
    ),
    "adagrad": ({"kind": "adagrad", "lr_decay": 0.1}, lambda p: torch.optim.Adagrad(p, lr=1.0, lr_decay=0.1)),
    "adamax": ({"kind": "adamax", "betas": (0.8, 0.99)}, lambda p: torch.optim.Adamax(p, lr=1.0, betas=(0.8, 0.99))),
    "nadam": (
        {"kind": "nadam", "weight_decay": 0.1, "decoupled_weight_decay": True},
        lambda p: torch.optim.NAdam(p, lr=1.0, weight_decay=0.1, decoupled_weight_decay=True),
    ),
    "radam": ({"kind": "radam", "weight_decay": 0.01}, lambda p: torch.optim.RAdam(p, lr=1.0, weight_decay=0.01)),
    "adadelta": ({"kind": "adadelta", "rho": 0.8}, lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.8)),
    "rprop": (
        {"kind": "rprop", "etas": (0.4, 1.3), "step_sizes": (1e-5, 1.0)},
        lambda p: torch.optim.Rprop(p, lr=1.0, etas=(0.4, 1.3), step_sizes=(1e-5, 1.0)),
    ),
    "asgd": ({"kind": "asgd", "lambd": 0.01, "t0": 5.0}, lambda p: torch.optim.ASGD(p, lr=1.0, lambd=0.01, t0=5.0)),
    "adafactor": (
        {"kind": "adafactor", "eps": (1e-20, 1e-2), "weight_decay": 0.1},
        lambda p: torch.optim.Adafactor(p, lr=1.0, eps=(1e-20, 1e-2), weight_decay=0.1),
    ),
    "lecture_adagrad": ({"kind": "lecture_adagrad"}, lambda p: LectureAdagrad(p, lr=1.0)),
    "lecture_rmsprop": ({"kind": "lecture_rmsprop", "alpha": 0.9}, lambda p: LectureRMSprop(p, lr=1.0, alpha=0.9)),
    "schedule_free_sgd": (
        {"kind": "schedule_free_sgd", "warmup_steps": 5},
        lambda p: training(schedulefree.SGDScheduleFree(p, lr=1.0, warmup_steps=5, foreach=False)),
    ),
    "schedule_free_adamw": (
        {"kind": "schedule_free_adamw", "weight_decay": 0.01},
        lambda p: training(schedulefree.AdamWScheduleFree(p, lr=1.0, weight_decay=0.01, foreach=False)),
    ),
    "lion": (
        {"kind": "pytorch_optimizer", "name": "lion", "settings": {"betas": (0.8, 0.9), "weight_decay": 0.1}},
        lambda p: import_module("pytorch_optimizer").Lion(p, lr=1.0, betas=(0.8, 0.9), weight_decay=0.1),
    ),
}
TOTAL, BASE = 40, 0.02

# Each rate at update s written out, the base rate included, so that the plain optimizer has lr=1.
SCHEDULES: dict[str, tuple[dict[str, Any], Callable[[int], float]]] = {
    "constant": ({"kind": "constant"}, lambda s: BASE),
    "step": ({"kind": "step", "step_size": 7, "gamma": 0.5}, lambda s: BASE * 0.5 ** (s // 7)),
    "multistep": (
        {"kind": "multistep", "milestones": (5, 21)},
        lambda s: BASE * 0.1 ** ((s >= 5) + (s >= 21)),
    ),
    "exponential": ({"kind": "exponential", "gamma": 0.97}, lambda s: BASE * 0.97**s),
    "cosine": (
        {"kind": "cosine", "eta_min": 0.001},
        lambda s: 0.001 + (BASE - 0.001) * (1 + math.cos(math.pi * s / TOTAL)) / 2,
    ),
    "warmup": (
        {"kind": "warmup", "steps": 10, "after": {"kind": "cosine", "T_max": 15}},
        lambda s: BASE * ((s + 1) / 10) if s < 10 else BASE * (1 + math.cos(math.pi * (s - 10) / 15)) / 2,
    ),
}


# Every schedule with the first ones, three with every optimizer.
PAIRS = [
    (o, s) for o in OPTIMIZERS for s in SCHEDULES if o in list(OPTIMIZERS)[:7] or s in ("constant", "step", "cosine")
]


def plain(spec: Any, seed: int, make: Callable[[Any], torch.optim.Optimizer], rate: Callable[[int], float]) -> Any:
    """The textbook loop: its losses and rates."""
    rows = split_dataset(spec.dataset).train
    x, y = torch.from_numpy(rows.x), torch.from_numpy(rows.y)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    optimizer = make(model.parameters())
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses, rates = [], []
    for epoch in range(100):
        draw = int.from_bytes(hashlib.sha256(f"order:{seed}:{epoch}".encode()).digest()[:8], "big") >> 1
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(draw))
        for start in range(0, len(x), 16):
            chosen = order[start : start + 16]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
            loss.backward()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
            if len(losses) == TOTAL:
                return losses, rates
    raise AssertionError("not reached")


def curve(spec: Any, seed: int = 0) -> list[Step]:
    return list(train(prepare(spec, seed, CPU)))


@pytest.mark.parametrize(("optimizer", "schedule"), PAIRS)
def test_the_recorded_curve_is_a_plain_loops_to_the_last_bit(optimizer: str, schedule: str, experiment: Any) -> None:
    document, make = OPTIMIZERS[optimizer]
    shape, rate = SCHEDULES[schedule]
    spec = experiment(
        model={"kind": "mlp", "hidden": (8,), "dropout": 0.2},
        optimizer=document | {"lr": BASE},
        schedule=shape,
        steps=TOTAL,
    )
    losses, rates = plain(spec, 7, make, rate)
    steps = curve(spec, seed=7)
    assert [step.step for step in steps] == list(range(1, TOTAL + 1))
    assert [step.lr for step in steps] == rates
    assert [step.loss.item() for step in steps] == losses
    assert math.isfinite(losses[-1])


def test_the_loss_goes_down(experiment: Any) -> None:
    steps = curve(experiment(epochs=20))
    assert steps[-1].loss < steps[0].loss / 3


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(experiment: Any) -> None:
    first, again, other = (curve(experiment(), seed) for seed in (3, 3, 4))
    assert [s.loss.item() for s in first] == [s.loss.item() for s in again]
    assert first[0].loss != other[0].loss


@pytest.mark.parametrize("every", [1, 3, 40])
def test_evaluating_does_not_change_the_training(every: int, experiment: Any) -> None:
    model = {"kind": "mlp", "hidden": (8,), "dropout": 0.3, "norm": "batch"}
    never = curve(experiment(model=model, dataset={"kind": "iris", "validation": 0.2}, evaluate={"every_steps": 10**6}))
    often = curve(experiment(model=model, dataset={"kind": "iris", "validation": 0.2}, evaluate={"every_steps": every}))
    assert [s.loss.item() for s in often] == [s.loss.item() for s in never]


def test_validation_is_measured_at_its_cadence_and_at_the_last_step(experiment: Any) -> None:
    steps = curve(experiment(evaluate={"every_steps": 15}))
    assert [s.step for s in steps if s.metrics] == [15, 30, 40]
    assert set(steps[14].metrics or {}) == {"val/loss", "val/accuracy"}
    once_an_epoch = curve(experiment(epochs=3))
    assert [s.step for s in once_an_epoch if s.metrics] == [8, 16, 24]  # 120 rows, 16 a batch


def test_validation_readings_are_the_loss_and_the_share_of_right_rows(experiment: Any) -> None:
    spec = experiment(loss={"kind": "cross_entropy", "label_smoothing": 0.1})
    training = prepare(spec, 0, CPU)
    last = list(train(training))[-1]
    rows = split_dataset(spec.dataset).validation
    x, y = torch.from_numpy(rows.x), torch.from_numpy(rows.y)
    logits = training.model.eval()(x)
    assert last.metrics is not None
    expected = nn.functional.cross_entropy(logits, y, label_smoothing=0.1).item()
    assert float(last.metrics["val/loss"]) == pytest.approx(expected, rel=1e-6)
    assert float(last.metrics["val/accuracy"]) == (logits.argmax(1) == y).float().mean().item()


def test_validation_in_pieces_is_validation_at_once(experiment: Any) -> None:
    training = prepare(experiment(), 0, CPU)
    assert training.validation is not None
    whole = training.validation.measure(training.model, training.criterion)
    training.validation.rows = 7  # 30 rows: four pieces of 7 and one of 2
    pieces = training.validation.measure(training.model, training.criterion)
    assert {k: float(v) for k, v in pieces.items()} == pytest.approx({k: float(v) for k, v in whole.items()}, rel=1e-6)


def test_a_regression_and_a_binary_loss_see_one_output_a_row(experiment: Any) -> None:
    regression = curve(experiment(dataset={"kind": "diabetes"}, loss={"kind": "mse"}, optimizer={"kind": "adam"}))
    assert set(regression[-1].metrics or {}) == {"val/loss"}
    binary = curve(
        experiment(
            dataset={"kind": "breast_cancer"}, loss={"kind": "bce_with_logits"}, optimizer={"kind": "adam", "lr": 0.02}
        )
    )
    assert float((binary[-1].metrics or {})["val/accuracy"]) > 0.8


def test_without_a_validation_part_nothing_is_measured(experiment: Any) -> None:
    assert all(s.metrics is None for s in curve(experiment(dataset={"kind": "iris", "validation": 0.0})))


@pytest.mark.parametrize("clip", [{"norm": 0.05}, {"value": 0.01}])
def test_clipping_records_the_norm_before_and_bounds_the_step(clip: dict[str, float], experiment: Any) -> None:
    training = prepare(experiment(clip=clip, steps=1, dataset={"kind": "iris", "validation": 0.0}), 0, CPU)
    before = [p.detach().clone() for p in training.model.parameters()]
    (step,) = train(training)
    gradients = [(b - p.detach()) / 0.1 for b, p in zip(before, training.model.parameters(), strict=True)]
    largest = max(g.abs().max().item() for g in gradients)
    total = torch.cat([g.flatten() for g in gradients]).norm().item()
    assert step.metrics is not None
    assert float(step.metrics["grad_norm"]) > 0.1
    assert total == pytest.approx(0.05, rel=1e-3) if "norm" in clip else largest == pytest.approx(0.01, rel=1e-3)


def test_stopping_is_not_asking_and_asking_again_goes_on(experiment: Any) -> None:
    training = prepare(experiment(), 0, CPU)
    losses = []
    for step in train(training):
        losses.append(step.loss.item())
        if step.step == 13:
            break
    assert training.step == 13
    losses += [step.loss.item() for step in train(training)]
    assert losses == [s.loss.item() for s in curve(experiment())]


def test_step_0_is_evaluated_where_asked_and_changes_nothing(experiment: Any) -> None:
    """The loss and accuracy of the initialised model; not again where a run resumes."""
    changes = {"dataset": {"kind": "iris", "validation": 0.2}, "model": {"kind": "mlp", "dropout": 0.3}}
    plain, asked = experiment(**changes), experiment(evaluate={"start": True, "train": True}, **changes)
    training = prepare(asked, 3, CPU)
    validation = training.validation
    assert validation is not None
    found = {name: float(value) for name, value in evaluate_start(training).items()}
    with torch.no_grad():
        outputs = training.model.eval()(validation.x[:])
        of_training = training.model(training.batches.x[:])
    training.model.train()
    assert found["train/loss"] == pytest.approx(nn.functional.cross_entropy(of_training, training.batches.y[:]).item())
    assert found["val/loss"] == nn.functional.cross_entropy(outputs, validation.y[:]).item()
    assert found["val/accuracy"] == (outputs.argmax(1) == validation.y[:]).float().mean().item()
    assert [s.loss.item() for s in train(training)] == [s.loss.item() for s in curve(plain, 3)]
    assert evaluate_start(training) == {}
    assert evaluate_start(prepare(plain, 3, CPU)) == {}
    assert plain.hash == experiment(evaluate={"start": False}, **changes).hash != asked.hash


def test_the_point_of_an_objective_before_the_first_step_is_its_start(experiment: Any) -> None:
    nothing = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}, "batch_size": "full"}
    spec = experiment(model={"kind": "absolute", "start": (3.0,)}, evaluate={"start": True}, **nothing)
    assert {name: float(value) for name, value in evaluate_start(prepare(spec, 0, CPU)).items()} == {"x/0": 3.0}


def test_the_value_of_an_objective_after_an_update_is_the_loss_of_the_next(experiment: Any) -> None:
    nothing = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}, "batch_size": "full"}
    asked = {"evaluate": {"every_steps": 1, "start": True, "train": True}, "epochs": None, "steps": 6} | nothing
    training = prepare(experiment(model={"kind": "rosenbrock"}, optimizer={"kind": "sgd", "lr": 1e-4}, **asked), 0, CPU)
    values = [float(evaluate_start(training)["train/loss"])]
    steps = list(train(training))
    values += [float(step.metrics["train/loss"]) for step in steps]
    assert values[:-1] == [step.loss.item() for step in steps]
    assert values[-1] == training.model(training.batches.x).item() != values[-2]
