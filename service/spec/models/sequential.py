"""A model as a list of torch's layers: declared, not programmed."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.models.base import Model_
from service.spec.models.layers import EmbeddingLayer, Layer, Layer_, Misfit, Shape
from service.spec.models.leaf import Leaf


class Sequential(Model_):
    """One layer after the other; sizes that go in are inferred, and the last layer gives the outputs."""

    target = "worker.models.sequential:sequential"
    ranks = (1, 2, 3)

    kind: Literal["sequential"] = "sequential"
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=200)]

    def leaves(self, shape: Shape, outputs: int) -> Iterator[Leaf]:
        """One nn.Sequential; `Misfit` where a layer does not fit the one before it."""
        depth = -1
        for at, layer in enumerate(self.layers):
            given, shape = shape, layer.gives(shape)
            own = layer.own(given)
            depth += bool(own) and (len(own[0][1]) > 1 or depth < 0)  # a scale and a shift belong to the layer before
            extra = math.prod(shape) * {"Dropout": 1, "MaxPool1d": 2, "MaxPool2d": 2}.get(layer.layer, 0)
            yield Leaf(str(at), layer.layer, shape, own, max(depth, 0), getattr(layer, "sparse", False), extra)

    def task_problems(self, task: str, vocabulary: int) -> Iterator[Problem]:
        """Token ids are embedded first, and nothing else is."""
        if task in ("objective", "language"):
            yield from super().task_problems(task, vocabulary)
            return
        first = self.layers[0]
        if vocabulary and not (isinstance(first, EmbeddingLayer) and first.num_embeddings >= vocabulary):
            detail = f"rows of /dataset are token ids: begin with an Embedding of num_embeddings {vocabulary}."
            yield Problem("/layers/0", "contradiction", detail)
        for at, layer in enumerate(self.layers):
            if isinstance(layer, EmbeddingLayer) and (at or not vocabulary):
                detail = f"layer {at} (Embedding) takes token ids, and gets numbers: use Linear."
                yield Problem(f"/layers/{at}", "contradiction", detail)

    def shape_problems(self, shape: Shape, outputs: int) -> Iterator[Problem]:
        """The first layer that does not fit, by its position, and why; then whether the outputs come out."""
        at = 0
        try:
            for at, layer in enumerate(self.layers):  # noqa: B007  # `at` is where it stopped
                shape = layer.gives(shape)
        except Misfit as misfit:
            yield Problem(f"/layers/{at}", "shape_mismatch", f"layer {at} ({self.layers[at].layer}) {misfit}.")
            return
        if shape != (outputs,):
            fix = _fix(self.layers[-1], shape, outputs)
            detail = f"the last layer ({layer.layer}) gives {list(shape)} a row, and [{outputs}] is needed: {fix}."
            yield Problem(f"/layers/{at}", "shape_mismatch", detail)


def _fix(last: Layer_, shape: Shape, outputs: int) -> str:
    if len(shape) > 1:
        return f"end with Flatten and Linear with out_features {outputs}"
    if last.layer == "Linear":
        return f"set out_features to {outputs}"
    return f"end with Linear with out_features {outputs}"
