"""A step in a form that a file of text can hold: the weights before it, its rows, and how to build the model anew."""

import ast
import base64
import zlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from service.spec.component import Component
from worker.trainer.loop import Training
from worker.trainer.models.mlp import MLP

LARGEST = 128 * 2**10  # bytes of text: a reading has twice that at most
TORCHS = "torch.nn:"


class StateBefore(NamedTuple):
    """The state before a step, as far as its gradient depends on it."""

    weights: dict[str, Tensor]
    random: Tensor


def copy_state(training: Training) -> StateBefore:
    """A copy of where `training` stands."""
    weights = {name: value.detach().cpu().clone() for name, value in training.model.state_dict().items()}
    return StateBefore(weights, torch.get_rng_state())


def pack_step(training: Training, state: StateBefore, step: int) -> dict[str, Any] | None:
    """What a script with nothing but torch makes the step's forward and backward pass from; None: it cannot.

    That takes a model that is a list of torch's own layers, a loss of torch's, fp32 and a batch in one piece.
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
        "weights": {name: text_of(value) for name, value in arrays.items()},
        "x": text_of(x.cpu()),
        "y": text_of(y.cpu()),
        "random": text_of(state.random),
    }
    size = sum(len(each["data"]) for each in (*made["weights"].values(), made["x"], made["y"], made["random"]))
    return made if size <= LARGEST else None


def text_of(value: Tensor) -> dict[str, Any]:
    """A tensor as text: its type, its shape, and its bytes in base85 of zlib."""
    array = value.contiguous().numpy()
    data = zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes(), 9)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": base64.b85encode(data).decode()}


def layers_of(model: nn.Module) -> list[str] | None:
    """How each layer is made, as torch's own `repr` says it; None where one is not torch's, or says too little."""
    body = model.layers if isinstance(model, MLP) else model
    if type(body) is not nn.Sequential:
        return None
    said = [f"{type(layer).__name__}({layer.extra_repr()})" for layer in body]
    if not all(_same(layer, text) for layer, text in zip(body, said, strict=True)):
        return None
    return said


def _same(layer: nn.Module, text: str) -> bool:
    """Whether the text makes a layer with the same parameters and buffers."""
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
    """How torch's own class of a component is called; None where it is not torch's, or takes tensors."""
    if not component.target.startswith(TORCHS):
        return None
    arguments = component.kwargs()
    if any(arguments[name] is not None for name in getattr(component, "tensors", ())):
        return None
    fields = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{component.target.removeprefix(TORCHS)}({fields})"
