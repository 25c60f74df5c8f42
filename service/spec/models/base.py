"""What every model has: its fields, and what is known of it before it is built."""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from service.errors import Problem
from service.spec.component import Component, Default
from service.spec.inits import Init, TorchDefault
from service.spec.layout import Parameter
from service.spec.models.leaf import Leaf, count_activations


class ModelBase(Component):
    """What every model has. Its target is called with a row's shape and the number of outputs, then the fields."""

    ranks: ClassVar[tuple[int, ...]]  # how many dimensions one row may have
    abstract = ("leaves",)
    init: Init = TorchDefault()

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf] | None:
        """Its modules without children in torch's order; None: only the library that has the model knows."""
        raise NotImplementedError

    def layout(self, shape: tuple[int, ...], outputs: int) -> tuple[Parameter, ...] | None:
        """Every trainable parameter in torch's order and under torch's name; None: known only once it is built."""
        leaves = self.leaves(shape, outputs)
        return None if leaves is None else tuple(each for leaf in leaves for each in leaf.parameters())

    def parameters(self, shape: tuple[int, ...], outputs: int) -> int | None:
        """How many trainable numbers the model has; None: known only once it is built."""
        layout = self.layout(shape, outputs)
        return None if layout is None else sum(parameter.count for parameter in layout)

    def activations(self, shape: tuple[int, ...], outputs: int) -> int | None:
        """About how many numbers per row are kept for the backward pass."""
        leaves = self.leaves(shape, outputs)
        return None if leaves is None else count_activations(leaves, math.prod(shape))

    def problems(self) -> Iterator[Problem]:
        """Those of the initialisation."""
        yield from (problem.under("/init") for problem in self.init.problems())

    def fitting(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Yield defaults that fit rows of this shape and this task where the usual ones do not."""
        yield from ()

    def task_problems(self, task: str, vocabulary: int) -> Iterator[Problem]:
        """What does not fit what is asked of the rows; `vocabulary` is above 0 where they are token ids."""
        if task == "objective":
            detail = f"/dataset/kind none has no rows to fit {self.kind} to: choose an objective, as quadratic."
            yield Problem("/kind", "contradiction", detail)
        elif task == "language" or vocabulary:
            detail = (
                f"rows of /dataset are token ids, which {self.kind} does not embed: choose transformer, gru or lstm."
            )
            yield Problem("/kind", "contradiction", detail)

    def shape_problems(self, shape: tuple[int, ...], outputs: int) -> Iterator[Problem]:
        """What does not fit rows of this shape, or this number of outputs."""
        if shape and len(shape) not in self.ranks:  # no shape: no data, which `task_problems` is about
            wanted = " or ".join(str(rank) for rank in self.ranks)
            yield Problem(
                "",
                "shape_mismatch",
                f"rows of shape {list(shape)} have {len(shape)} dimensions; needed: {wanted}.",
            )


Model_ = ModelBase  # the old name, kept for plug-ins until 0.3


def model_kwargs(model: ModelBase) -> dict[str, Any]:
    """The fields a model's constructor takes; the initialisation is applied afterwards, by the builder."""
    return {name: value for name, value in model.kwargs().items() if name != "init"}
