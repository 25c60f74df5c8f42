"""A training step as JSON: the weights before it, its rows, and the constructors of the model."""

import ast
import base64
import zlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from service.spec.component import Component
from worker.trainer.loop import Training
from worker.trainer.models.mlp import MLP

MAX_BYTES = 128 * 2**10  # bytes of text: a reading has twice that at most
TORCHS = "torch.nn:"


class StateBefore(NamedTuple):
    """The part of the state that a step's gradient depends on."""

    weights: dict[str, Tensor]
    random: Tensor


def copy_state(training: Training) -> StateBefore:
    """Copy the current state of `training`."""
    weights = {name: value.detach().cpu().clone() for name, value in training.model.state_dict().items()}
    return StateBefore(weights, torch.get_rng_state())


def pack_step(training: Training, state: StateBefore, step: int) -> dict[str, Any] | None:
    """Return the data for a script that repeats the step's forward and backward pass with torch alone, or None.

    The model must be a list of torch's own layers, the loss torch's, in fp32 on the CPU, without accumulation.
    """
    spec = training.spec
    layers, loss = layers_of(training.model), constructor(spec.loss)
    whole = spec.precision == "fp32" and spec.accumulate == 1 and training.device.type == "cpu"
    if layers is None or loss is None or not whole or type(training.criterion).__module__.startswith("worker."):
        return None
    x, y = training.batches.batch(step)
    flat = isinstance(training.model, MLP)
    prefix = "layers." if flat else ""
    arrays = {name.removeprefix(prefix): value for name, value in state.weights.items()}
    made: dict[str, Any] = {
        "layers": layers,
        "flatten": flat,
        "loss": loss,
        "weights": {name: encode_tensor(value) for name, value in arrays.items()},
        "x": encode_tensor(x.cpu()),
        "y": encode_tensor(y.cpu()),
        "random": encode_tensor(state.random),
    }
    size = sum(len(each["data"]) for each in (*made["weights"].values(), made["x"], made["y"], made["random"]))
    return made if size <= MAX_BYTES else None


def encode_tensor(value: Tensor) -> dict[str, Any]:
    """Encode a tensor: type, shape, and bytes as base85 of zlib."""
    array = value.contiguous().numpy()
    data = zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes(), 9)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": base64.b85encode(data).decode()}


def layers_of(model: nn.Module) -> list[str] | None:
    """Return constructor calls of the layers, from torch's `repr`; None if one is not torch's or incomplete."""
    body = model.layers if isinstance(model, MLP) else model
    if type(body) is not nn.Sequential:
        return None
    said = [f"{type(layer).__name__}({layer.extra_repr()})" for layer in body]
    if not all(_same(layer, text) for layer, text in zip(body, said, strict=True)):
        return None
    return said


def _same(layer: nn.Module, text: str) -> bool:
    """Whether the text builds a layer with the same parameters and buffers."""
    if type(layer).__module__.split(".")[:2] != ["torch", "nn"] or list(layer.children()):
        return False
    try:
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        named = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        made = type(layer)(*[ast.literal_eval(each) for each in call.args], **named)
        made.load_state_dict(layer.state_dict())
    except (AssertionError, SyntaxError, ValueError, TypeError, RuntimeError):
        return False
    return made.extra_repr() == layer.extra_repr()


def constructor(component: Component) -> str | None:
    """Return the constructor call of a component's torch class; None if it is not torch's or takes tensors."""
    if not component.target.startswith(TORCHS):
        return None
    arguments = component.kwargs()
    if any(arguments[name] is not None for name in getattr(component, "tensor_fields", ())):
        return None
    fields = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{component.target.removeprefix(TORCHS)}({fields})"
