"""Activation checkpointing: the same numbers to the last bit, from fewer saved activations."""

from typing import Any

import pytest
import torch
from torch import Tensor

from service.spec.experiment import Experiment
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")
SEQUENTIAL = (
    {"layer": "Conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1},
    {"layer": "BatchNorm2d"},
    {"layer": "ReLU"},
    {"layer": "Conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1},
    {"layer": "BatchNorm2d"},
    {"layer": "ReLU"},
    {"layer": "Dropout", "p": 0.3},
    {"layer": "Flatten"},
    {"layer": "Linear", "out_features": 10},
)
MODELS: dict[str, dict[str, Any]] = {
    "transformer": {"kind": "transformer", "width": 16, "heads": 2, "layers": 4, "dropout": 0.2},
    "resnet": {"kind": "resnet", "width": 4, "stages": 2, "blocks": 2},
    "sequential": {"kind": "sequential", "layers": SEQUENTIAL},
}


def training_of(model: dict[str, Any], checkpointed: bool, **changes: Any) -> Training:
    plain: dict[str, Any] = {
        "dataset": {"kind": "digits"},
        "model": model | {"activation_checkpointing": checkpointed},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "adamw", "lr": 1e-2},
        "batch_size": 64,
        "steps": 6,
        "evaluate": {"every_steps": 3},
        "probes": ({"kind": "activations"},),
    }
    return prepare(Experiment.model_validate(plain | changes), 0, CPU)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("pieces", [1, 2])
def test_the_curves_are_those_of_the_plain_model(name: str, pieces: int) -> None:
    plain, checkpointed = (
        [
            (step.loss.item(), {series: float(value) for series, value in (step.metrics or {}).items()})
            for step in train(training_of(MODELS[name], checkpoint, accumulate=pieces))
        ]
        for checkpoint in (False, True)
    )
    assert plain == checkpointed
    assert any("val/loss" in metrics for _, metrics in plain)


def saved_bytes(training: Training) -> int:
    """Bytes that a forward pass keeps for the backward pass, parameters and rows aside."""
    own = {tensor.untyped_storage().data_ptr() for tensor in training.model.state_dict().values()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x, y = training.batches.batch(1)
    own.add(x.untyped_storage().data_ptr())
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        training.criterion(training.model.train()(x), y)
    return sum(kept.values())


@pytest.mark.parametrize("name", MODELS)
def test_fewer_activations_are_kept(name: str) -> None:
    plain, checkpointed = (saved_bytes(training_of(MODELS[name], checkpoint)) for checkpoint in (False, True))
    assert checkpointed < 0.5 * plain


@pytest.mark.parametrize("name", MODELS)
def test_the_estimate_of_memory_falls(name: str) -> None:
    plain, checkpointed = (
        spec.model.activations(spec.dataset.facts.shape, spec.outputs)
        for spec in (training_of(MODELS[name], checkpoint).spec for checkpoint in (False, True))
    )
    assert plain is not None
    assert checkpointed is not None
    assert checkpointed < plain


def test_outside_of_training_nothing_is_computed_twice() -> None:
    training = training_of(MODELS["resnet"], True)
    calls: list[bool] = []
    blocks = training.model.get_submodule("blocks")
    blocks[0].register_forward_hook(lambda *_: calls.append(True))  # type: ignore[index]
    training.model.eval()(training.batches.x[:4]).sum().backward()
    assert len(calls) == 1


def test_a_spec_from_before_it_keeps_its_hash() -> None:
    plain, checkpointed = (training_of(MODELS["resnet"], checkpoint).spec for checkpoint in (False, True))
    assert plain.hash == "b980abf6482594069066f31914368d00d4d199b823d5a605eb53c4796169b35b"
    assert plain.hash != checkpointed.hash
