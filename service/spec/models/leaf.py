"""A leaf: one torch module without children, described without torch by its parameters and its output."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Annotated, Literal

from pydantic import Field

from service.spec.layout import Parameter

Activation = Annotated[
    Literal[
        "relu",
        "leaky_relu",
        "gelu",
        "silu",
        "tanh",
        "sigmoid",
        "identity",
        "elu",
        "selu",
        "softplus",
        "mish",
        "hardsigmoid",
        "hardtanh",
    ],
    Field(description="activation function of the hidden layers"),
]
ACTIVATIONS: dict[str, str] = {  # name in a spec -> torch's class
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",  # slope 0.01 below zero
    "gelu": "GELU",  # exact, not the tanh approximation
    "silu": "SiLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "identity": "Identity",
    "elu": "ELU",
    "selu": "SELU",
    "softplus": "Softplus",
    "mish": "Mish",
    "hardsigmoid": "Hardsigmoid",  # clamp(x/6 + 1/2, 0, 1)
    "hardtanh": "Hardtanh",  # clamp(x, -1, 1)
}
# Which of its two tensors a module keeps for the backward pass (autograd keeps both only where it needs both).
KEEPS_OUTPUT = {"ReLU", "Tanh", "Sigmoid", "Softmax", "LogSoftmax"}
KEEPS_NOTHING = {"Identity", "Flatten", "AvgPool1d", "AvgPool2d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d"}


@dataclass(frozen=True)
class Leaf:
    """A module: `own` are its trainable tensors in torch's order, `out` is the shape of its output per row."""

    name: str
    module: str
    out: tuple[int, ...]
    own: tuple[tuple[str, tuple[int, ...]], ...] = ()
    depth: int = 0
    sparse: bool = False  # whether its gradient has only the rows that were looked up
    extra: int = 0  # numbers per row that it keeps for the backward pass besides its input or output
    together: int = 0  # values of one row that are normalised together; of BatchNorm, those of a channel

    def parameters(self) -> Iterator[Parameter]:
        """Yield its tensors under their full names."""
        for name, shape in self.own:
            yield Parameter(f"{self.name}.{name}" if self.name else name, shape, self.module, self.depth, self.sparse)


def affine(name: str, inputs: int, outputs: int, bias: bool, depth: int, lead: tuple[int, ...] = ()) -> Leaf:
    """Return a Linear over the last dimension; `lead` are the dimensions before it."""
    own = [("weight", (outputs, inputs)), *([("bias", (outputs,))] if bias else [])]
    return Leaf(name, "Linear", (*lead, outputs), tuple(own), depth)


def convolution(
    name: str, planes: int, count: int, kernel: Sequence[int], size: Sequence[int], depth: int, bias: bool = True
) -> Leaf:
    """Return a Conv1d or Conv2d, by the length of `kernel`; `size` is that of its output."""
    own = [("weight", (count, planes, *kernel)), *([("bias", (count,))] if bias else [])]
    return Leaf(name, f"Conv{len(kernel)}d", (count, *size), tuple(own), depth)


def scaling(name: str, module: str, features: int, out: tuple[int, ...], depth: int, groups: int = 1) -> Leaf:
    """Return a normalisation with a scale per feature, and a shift unless it is RMSNorm."""
    names = ("weight",) if module == "RMSNorm" else ("weight", "bias")
    own = tuple((each, (features,)) for each in names)
    return Leaf(name, module, out, own, depth, together=normalised_together(module, out, groups))


def normalised_together(module: str, out: tuple[int, ...], groups: int = 1) -> int:
    """Return how many values of one row (`out`) a module normalises together; 0: it is no normalisation."""
    if module == "GroupNorm":
        return math.prod(out) // groups
    if module in ("LayerNorm", "RMSNorm"):
        return out[-1]
    return math.prod(out[1:]) if "Norm" in module else 0


def dropout(name: str, out: tuple[int, ...]) -> Leaf:
    """Return a Dropout, which keeps its mask for the backward pass."""
    return Leaf(name, "Dropout", out, extra=math.prod(out))


def number_leaves(prefix: str, leaves: Iterable[Leaf], first: int = 0) -> Iterator[Leaf]:
    """Yield the leaves named by position, as nn.Sequential does."""
    for at, leaf in enumerate(leaves, first):
        yield replace(leaf, name=f"{prefix}.{at}")


def count_activations(leaves: Iterable[Leaf], inputs: int) -> int:
    """Return the numbers per row that a chain of `leaves` keeps for the backward pass, without the row (`inputs`)."""
    total, size, counted = 0, inputs, True
    for leaf in leaves:
        keeps_output = leaf.module in KEEPS_OUTPUT
        if not (counted or keeps_output or leaf.module in KEEPS_NOTHING):
            total += size
        if leaf.module not in KEEPS_NOTHING:
            size, counted = math.prod(leaf.out), keeps_output
            total += leaf.extra + (size if keeps_output else 0)
        else:
            size = math.prod(leaf.out)
    return total


def count_with_recomputation(leaves: Iterable[Leaf], inputs: int, block_of: Callable[[Leaf], str | None]) -> int:
    """Like `count_activations`, with the inputs of blocks kept only, and one block at a time computed again."""
    kept, largest, size = 0, 0, inputs
    for block, members in groupby(leaves, block_of):
        own = list(members)
        whole = count_activations(own, size)
        if block is None:
            kept += whole
        else:
            kept, largest = kept + size, max(largest, whole)
        size = math.prod(own[-1].out)
    return kept + largest
