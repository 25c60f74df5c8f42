"""Runs trained as a pack against the same runs alone: to 1e-12 in double precision, closely in single precision."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from service.spec import packs
from service.spec.experiment import Experiment
from tests.worker.conftest import Make
from tests.worker.trainer.pack.together import alone, difference, stacked, together
from worker.trainer.pack.evaluation import evaluate_members
from worker.trainer.pack.optimizers import RULES

EXACT, SINGLE = 1e-12, 2e-4  # of the largest loss of a run
RUNS, STEPS = 3, 30
RATES = [{"lr": 0.003 * (run + 1)} for run in range(RUNS)]
IMAGES: dict[str, Any] = {"dataset": {"kind": "digits"}, "batch_size": 64}
SEQUENCES: dict[str, Any] = {"dataset": {"kind": "mnist1d"}, "batch_size": 64}
LAYERS: tuple[dict[str, Any], ...] = (
    {"layer": "Conv2d", "out_channels": 4, "kernel_size": 3},
    {"layer": "GroupNorm", "num_groups": 2},
    {"layer": "PReLU"},
    {"layer": "AvgPool2d", "kernel_size": 2},
    {"layer": "Dropout", "p": 0.2},
    {"layer": "Flatten"},
    {"layer": "RMSNorm"},
    {"layer": "Linear", "out_features": 10},
    {"layer": "LogSoftmax"},
)
OBJECTIVE: dict[str, Any] = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}}
STILL: dict[str, Any] = {"groups": ({"match": {"name": "*"}, "norm_statistics": "frozen", "name": "all"},)}
FROZEN: dict[str, Any] = {"model": {"kind": "mlp", "hidden": (8, 6), "activation": "relu"}}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"model": {"kind": "mlp", "hidden": (8, 6), "activation": "tanh"}},
    "mlp with dropout": {"model": {"kind": "mlp", "hidden": (8,), "dropout": 0.2}},
    "mlp with batch norm": {"model": {"kind": "mlp", "hidden": (8,), "norm": "batch"}},
    "mlp with layer norm": {"model": {"kind": "mlp", "hidden": (8,), "norm": "layer"}},
    "mlp by autograd": {"model": {"kind": "mlp", "hidden": (8, 6), "activation": "gelu"}},
    "mlp without bias": {"model": {"kind": "mlp", "hidden": (8, 6), "activation": "relu", "bias": False}},
    "mlp of frozen first layer": FROZEN | {"groups": ({"match": {"name": "layers.0.*"}, "freeze": True},)},
    "mlp of frozen last layers": FROZEN | {"groups": ({"match": {"name": "layers.[24].*"}, "freeze": True},)},
    "mlp of frozen biases": FROZEN | {"groups": ({"match": {"dim": 1}, "freeze": True},)},
    "mlp of frozen weights": FROZEN | {"groups": ({"match": {"dim": 2}, "freeze": True},)},
    "linear": {"model": {"kind": "linear"}},
    "sum of units": {"model": {"kind": "sum_of_units"}},
    "cnn": {"model": {"kind": "cnn", "channels": (4,)}, **IMAGES},
    "cnn with batch norm": {"model": {"kind": "cnn", "channels": (4,), "norm": "batch"}, **IMAGES},
    "cnn with running statistics": {"model": {"kind": "cnn", "channels": (4,), "norm": "batch"}, **STILL, **IMAGES},
    "cnn1d with group norm": {"model": {"kind": "cnn1d", "channels": (4, 8), "norm": "group"}, **SEQUENCES},
    "cnn1d with instance norm": {"model": {"kind": "cnn1d", "channels": (4,), "norm": "instance"}, **SEQUENCES},
    "resnet": {"model": {"kind": "resnet", "width": 4, "stages": 2}, **IMAGES},
    "transformer": {"model": {"kind": "transformer", "width": 8, "heads": 2, "layers": 1}, **IMAGES},
    "rnn": {"model": {"kind": "rnn", "hidden": 6, "layers": 2, "dropout": 0.3}, **IMAGES},
    "rnn of relu": {"model": {"kind": "rnn", "hidden": 6, "nonlinearity": "relu"}, **IMAGES},
    "gru": {"model": {"kind": "gru", "hidden": 6, "bidirectional": True}, **IMAGES},
    "layers": {"model": {"kind": "sequential", "layers": LAYERS}, "loss": {"kind": "nll"}, **IMAGES},
    "rosenbrock": {"model": {"kind": "rosenbrock", "spread": 0.1}, "optimizer": {"kind": "adam"}, **OBJECTIVE},
    "noisy": {"model": {"kind": "absolute", "spread": 1.0, "noise": 0.1}, **OBJECTIVE},
    "whole batches": {"batch_size": "full"},
}
OPTIMIZERS: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("sgd", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop", "adagrad")),
    *({"kind": kind} for kind in ("adadelta", "lecture_adagrad", "lecture_rmsprop")),
    {"kind": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"kind": "sgd", "momentum": 0.9, "dampening": 0.1},
    {"kind": "adam", "amsgrad": True, "weight_decay": 0.1},
    {"kind": "rmsprop", "centered": True, "momentum": 0.5, "eps": 1e-3},
    {"kind": "nadam", "decoupled_weight_decay": True, "weight_decay": 0.1},
]
EVALUATED: dict[str, dict[str, Any]] = {
    "iris": {"kind": "cross_entropy"},
    "wine": {"kind": "cross_entropy", "weight": "balanced", "label_smoothing": 0.1},
    "diabetes": {"kind": "mse"},
    "breast_cancer": {"kind": "bce_with_logits", "pos_weight": 2.0},
}
MOMENTUM = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}
CYCLIC = {"kind": "cyclic", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 7, "cycle_momentum": True}
CYCLE = {"kind": "one_cycle", "max_lr": 0.1, "cycle_momentum": True}
LATER = {"kind": "sequential", "schedules": ({"kind": "constant"}, CYCLIC), "milestones": (10,)}
DIFFERENT: dict[str, Sequence[dict[str, Any]]] = {
    "momentum": [{"optimizer": {"kind": "sgd", "lr": 0.01, "momentum": each}} for each in (0.0, 0.5, 0.9)],
    "betas": [{"optimizer": {"kind": "adam", "betas": (each, 0.99)}} for each in (0.0, 0.5, 0.9)],
    "clip of the norm": [{"clip": {"norm": each}} for each in (0.1, 0.5, 5.0)],
    "clip of values": [{"clip": {"value": each}} for each in (0.001, 0.05, 5.0)],
    "label smoothing": [{"loss": {"kind": "cross_entropy", "label_smoothing": each}} for each in (0.0, 0.1, 0.3)],
    "dropout": [{"model": {"kind": "mlp", "hidden": (8,), "dropout": each}} for each in (0.1, 0.3, 0.5)],
    "gain": [{"model": {"kind": "mlp", "init": {"kind": "xavier_normal", "gain": each}}} for each in (0.5, 1.0, 2.0)],
    "schedule": [{"schedule": {"kind": "step", "step_size": each}} for each in (5, 7, 11)],
    "one cycle": [{"schedule": {"kind": "one_cycle", "max_lr": each}} for each in (0.1, 0.2, 0.3)],
    "cycled momentum": [{"optimizer": MOMENTUM, "schedule": CYCLIC | {"max_lr": each}} for each in (0.1, 0.2, 0.3)],
    "cycled beta": [
        {"optimizer": {"kind": "adam"}, "schedule": CYCLE | {"max_lr": each, "base_momentum": 10 * each}}
        for each in (0.01, 0.02, 0.03)
    ],
    "schedules of any kind": [
        {"optimizer": MOMENTUM, "schedule": each} for each in (LATER, {"kind": "cosine"}, CYCLE, {"kind": "plateau"})
    ],
    "a momentum of the schedule's alone": [
        {"optimizer": MOMENTUM | {"momentum": 0.0}, "schedule": each} for each in (CYCLE, CYCLIC)
    ],
    "length": [{"steps": each, "schedule": {"kind": "cosine"}} for each in (40, 50, 60)],
    "no decay of biases": [
        {"no_decay": True, "optimizer": {"kind": "adamw", "lr": each}} for each in (0.01, 0.02, 0.03)
    ],
}

OFTEN_APART = ("momentum", "betas", "label smoothing")  # with and without: two packs


def of_rates(experiment: Make, **changes: Any) -> list[Experiment]:
    """The same spec with several rates."""
    optimizer = changes.pop("optimizer", {"kind": "sgd"})
    return [experiment(**changes, optimizer=optimizer | rate) for rate in RATES]


def check(specs: Sequence[Experiment], most: float) -> None:
    """Losses and weights agree."""
    losses, weights = difference(alone(specs, STEPS), together(specs, STEPS, blocks=3))
    assert losses <= most
    assert weights <= 100 * most


@pytest.mark.parametrize("name", MODELS)
def test_a_packed_model_learns_what_it_learns_alone(experiment: Make, name: str) -> None:
    check(of_rates(experiment, precision="fp64", **MODELS[name]), EXACT)


@pytest.mark.parametrize("name", MODELS)
def test_in_single_precision_only_rounding_differs(experiment: Make, name: str) -> None:
    check(of_rates(experiment, **MODELS[name]), SINGLE)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_packed_optimizer_makes_the_updates_of_torchs(experiment: Make, optimizer: dict[str, Any]) -> None:
    check(of_rates(experiment, precision="fp64", optimizer=optimizer), EXACT)


def test_every_rule_is_of_a_tested_optimizer() -> None:
    kinds = {each["kind"].replace("_", "") for each in OPTIMIZERS}
    assert {name.lower() for name in RULES} == kinds


def test_every_optimizer_that_can_be_packed_is_tested() -> None:
    assert {each["kind"] for each in OPTIMIZERS} == packs.OPTIMIZERS


@pytest.mark.parametrize("name", DIFFERENT)
def test_members_keep_their_own_numbers(experiment: Make, name: str) -> None:
    specs = [experiment(precision="fp64", **changes) for changes in DIFFERENT[name]]
    assert name in OFTEN_APART or len({packs.pack_key(spec) for spec in specs}) == 1
    check(specs, EXACT)


@pytest.mark.parametrize("name", [name for name in MODELS if "frozen" in name])
def test_frozen_layers_are_computed_by_hand_too(experiment: Make, name: str) -> None:
    packed, _ = stacked(of_rates(experiment, **MODELS[name]))
    weights = {name: each.clone() for name, each in packed.weights().items()}
    packed.run(2)
    assert packed.chain is not None
    frozen = {name for name, each in packed.weights().items() if torch.equal(each, weights[name])}
    assert frozen == weights.keys() - packed.slopes.keys()
    assert frozen


def test_members_that_leave_change_nothing_for_the_others(experiment: Make) -> None:
    specs = of_rates(
        experiment, precision="fp64", optimizer={"kind": "adam"}, model=MODELS["mlp with dropout"]["model"]
    )
    whole = alone(specs, STEPS)
    packed, _ = stacked(specs)
    packed.run(9)
    packed.keep([2, 0])
    left = packed.run(STEPS - 10).losses
    assert abs(left - whole.losses[10:, [2, 0]]).max() <= EXACT


def test_the_state_of_a_member_is_that_of_the_run_alone(experiment: Make) -> None:
    specs = of_rates(experiment, precision="fp64", optimizer={"kind": "nadam"}, clip={"norm": 0.5})
    for ours, theirs in zip(together(specs, STEPS).trainings, alone(specs, STEPS).trainings, strict=True):
        found, wanted = ours.state(), theirs.state()
        assert found["step"] == wanted["step"]
        torch.testing.assert_close(found["optimizers"], wanted["optimizers"], rtol=0, atol=1e-10)
        torch.testing.assert_close(found["mechanics"], wanted["mechanics"], rtol=0, atol=0)


@pytest.mark.parametrize("data", EVALUATED)
def test_members_are_evaluated_as_they_would_be_alone(experiment: Make, data: str) -> None:
    specs = of_rates(
        experiment, precision="fp64", dataset={"kind": data}, loss=EVALUATED[data], evaluate={"train": True}
    )
    packed, _ = stacked(specs)
    packed.run(9)
    for training, found in zip(packed.trainings, evaluate_members(packed), strict=True):
        wanted = training.pipeline.measure(training.validation, training.training_part)
        assert found.keys() == wanted.keys()
        assert all(abs(float(found[name]) - float(wanted[name])) <= EXACT for name in wanted)
