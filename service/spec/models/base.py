"""What every model declares: its fields, and its layers and parameters before it is built."""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Default, Json, under
from service.spec.inits import Init, TorchDefault
from service.spec.layout import CodedFeature, Parameter
from service.spec.models.leaf import Leaf, count_activations, count_with_recomputation

ActivationCheckpointing = Annotated[
    bool,
    Field(
        description="activation checkpointing: keep only the input of each block for the backward pass, which computes "
        "the block again; less memory, slower steps, equal results"
    ),
]


class ModelBase(Component):
    """A model. Its target is called with a row's shape and the number of outputs, then the fields."""

    ranks: ClassVar[tuple[int, ...]]  # dimensions that a row may have
    abstract = ("leaves",)
    renamed = {"fitting": "inferred_defaults"}
    init: Init = Field(TorchDefault(), description="initialisation of the weights")

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf] | None:
        """Return its leaf modules in torch's order; None if they are unknown until it is built."""
        raise NotImplementedError

    def layout(self, shape: tuple[int, ...], outputs: int) -> tuple[Parameter, ...] | None:
        """Return every trainable parameter, ordered and named as in torch; None if unknown until it is built."""
        leaves = self.leaves(shape, outputs)
        return None if leaves is None else tuple(each for leaf in leaves for each in leaf.parameters())

    def parameters(self, shape: tuple[int, ...], outputs: int) -> int | None:
        """Return how many trainable numbers the model has; None if unknown until it is built."""
        layout = self.layout(shape, outputs)
        return None if layout is None else sum(parameter.count for parameter in layout)

    def activations(self, shape: tuple[int, ...], outputs: int) -> int | None:
        """Return about how many numbers per row are kept for the backward pass."""
        leaves = self.leaves(shape, outputs)
        if leaves is not None and getattr(self, "activation_checkpointing", False):
            return count_with_recomputation(leaves, math.prod(shape), self.block_of)
        return None if leaves is None else count_activations(leaves, math.prod(shape))

    def block_of(self, leaf: Leaf) -> str | None:
        """Return the block that activation checkpointing computes again as one; None: the leaf is in none."""
        return ".".join(leaf.name.split(".")[:2]) if leaf.name.startswith("blocks.") else None

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of the initialisation."""
        yield from under("/init", self.init.problems())

    def inferred_defaults(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Yield defaults for omitted fields where the usual ones do not fit rows of this shape and task."""
        yield from ()

    def task_problems(self, task: str, vocabulary: int) -> Iterator[Problem]:
        """Yield why the model does not fit the task; `vocabulary` is above 0 if rows are token ids."""
        if task == "objective":
            detail = f"/dataset/kind none has no rows to fit {self.kind} to: choose an objective, as quadratic."
            yield Problem("/kind", "contradiction", detail)
        elif task == "language" or vocabulary:
            detail = (
                f"rows of /dataset are token ids, which {self.kind} does not embed: choose transformer, gru or lstm."
            )
            yield Problem("/kind", "contradiction", detail)

    def code_defaults(self, coded: tuple[CodedFeature, ...]) -> Iterator[Default]:
        """Yield defaults of the fields that embed codes of categories."""
        yield from ()

    def code_problems(self, coded: tuple[CodedFeature, ...]) -> Iterator[Problem]:
        """Yield why the model does not embed these features of a row, which are codes of categories."""
        if coded:
            detail = (
                f"the feature {coded[0].name} of /dataset is a code that the step embed makes, and {self.kind} takes "
                "numbers: choose mlp, or one_hot in place of embed."
            )
            yield Problem("/kind", "contradiction", detail)

    def shape_problems(self, shape: tuple[int, ...], outputs: int) -> Iterator[Problem]:
        """Yield why the model does not fit rows of this shape, or this number of outputs."""
        if shape and len(shape) not in self.ranks:  # no shape: no data, which `task_problems` is about
            wanted = " or ".join(str(rank) for rank in self.ranks)
            yield Problem(
                "",
                "shape_mismatch",
                f"rows of shape {list(shape)} have {len(shape)} dimensions; needed: {wanted}.",
            )


Model_ = ModelBase  # the old name, kept for plug-ins until 0.3


def model_kwargs(model: ModelBase) -> Json:
    """Return the arguments of a model's constructor, without the initialisation, which is applied afterwards."""
    return {name: value for name, value in model.kwargs().items() if name != "init"}
