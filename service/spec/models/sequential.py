"""A model declared as a list of torch's layers."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.models.base import ActivationCheckpointing, ModelBase
from service.spec.models.layers import EmbeddingLayer, Layer, LayerBase, Shape, ShapeMismatch
from service.spec.models.layers.norms import LastNormBase
from service.spec.models.layers.plain import ActivationLayer, Dropout, LinearLayer, PReLU, SoftmaxLayer
from service.spec.models.leaf import Leaf, normalised_together


class Sequential(ModelBase):
    """A list of torch layers. Input sizes are inferred; the last layer must give the outputs."""

    target = "worker.trainer.models.sequential:sequential"
    ranks = (1, 2, 3)

    kind: Literal["sequential"] = "sequential"
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=200, description="the layers in order")]
    activation_checkpointing: ActivationCheckpointing = False

    def block_of(self, leaf: Leaf) -> str:
        """Return the stretch of layers that a leaf is in."""
        return str(int(leaf.name) // block_length(len(self.layers)))

    def leaves(self, shape: Shape, outputs: int) -> Iterator[Leaf]:
        """Yield the leaves of one nn.Sequential; raise `ShapeMismatch` if a layer does not fit the one before it."""
        depth = -1
        for at, layer in enumerate(self.layers):
            given, shape = shape, layer.gives(shape)
            own = layer.own(given)
            depth += bool(own) and (len(own[0][1]) > 1 or depth < 0)  # a scale and shift belong to the layer before
            extra = math.prod(shape) * {"Dropout": 1, "MaxPool1d": 2, "MaxPool2d": 2}.get(layer.layer, 0)
            sparse, taken = (
                getattr(layer, "sparse", False),
                normalised_together(layer.layer, shape, getattr(layer, "num_groups", 1)),
            )
            yield Leaf(str(at), layer.layer, shape, own, max(depth, 0), sparse, extra, taken)

    def task_problems(self, task: str, vocabulary: int) -> Iterator[Problem]:
        """Yield a problem for tokens without an embedding, an embedding of numbers, or language positions that mix."""
        if task == "objective":
            yield from super().task_problems(task, vocabulary)
            return
        first, mixing = self.layers[0], _mixing(self.layers)
        if vocabulary and not (isinstance(first, EmbeddingLayer) and first.num_embeddings >= vocabulary):
            detail = f"rows of /dataset are token ids: begin with an Embedding of num_embeddings {vocabulary}."
            yield Problem("/layers/0", "contradiction", detail)
        for at, layer in enumerate(self.layers):
            if isinstance(layer, EmbeddingLayer) and (at or not vocabulary):
                detail = f"layer {at} (Embedding) takes token ids, and gets numbers: use Linear."
                yield Problem(f"/layers/{at}", "contradiction", detail)

        if task == "language" and mixing is not None:
            named = self.layers[mixing].layer
            detail = f"layer {mixing} ({named}) mixes positions, of which each predicts its next: choose transformer."
            yield Problem(f"/layers/{mixing}", "contradiction", detail)
        elif task != "language" and vocabulary and mixing is None:
            detail = f"/dataset is a {task} task with one answer a row, not one a position: add a Flatten."
            yield Problem("/layers", "contradiction", detail)

    def shape_problems(self, shape: Shape, outputs: int) -> Iterator[Problem]:
        """Yield the first layer that does not fit and why, or that the output has the wrong shape."""
        at, wanted = 0, output_shape(self.layers, shape, outputs)
        try:
            for at, layer in enumerate(self.layers):  # noqa: B007  # `at` is where it stopped
                shape = layer.gives(shape)
        except ShapeMismatch as misfit:
            yield Problem(f"/layers/{at}", "shape_mismatch", f"layer {at} ({self.layers[at].layer}) {misfit}.")
            return
        if shape != wanted:
            fix = _fix(self.layers[-1], shape, outputs, len(wanted))
            detail = f"the last layer ({layer.layer}) gives {list(shape)} a row, and {list(wanted)} is needed: {fix}."
            yield Problem(f"/layers/{at}", "shape_mismatch", detail)


def block_length(layers: int) -> int:
    """Return how many layers activation checkpointing computes again as one: the root needs least memory."""
    return math.isqrt(layers - 1) + 1


def output_shape(layers: Sequence[LayerBase], shape: Shape, outputs: int) -> Shape:
    """Return the shape that the last layer must give per row: the outputs, or those at every position of tokens."""
    each = isinstance(layers[0], EmbeddingLayer) and _mixing(layers) is None
    return (*shape, outputs) if each else (outputs,)


def _mixing(layers: Sequence[LayerBase]) -> int | None:
    """Return the position of the first layer that mixes positions; None if none does."""
    alone = (EmbeddingLayer, LinearLayer, ActivationLayer, SoftmaxLayer, PReLU, Dropout, LastNormBase)
    return next((at for at, layer in enumerate(layers) if not isinstance(layer, alone)), None)


def _fix(last: LayerBase, shape: Shape, outputs: int, rank: int) -> str:
    if len(shape) > rank:
        return f"end with Flatten and Linear with out_features {outputs}"
    if last.layer == "Linear":
        return f"set out_features to {outputs}"
    return f"end with Linear with out_features {outputs}"
