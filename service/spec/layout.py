"""A model's layout: its trainable parameters by torch's own names, known without torch; and what it must embed."""

import math
from dataclasses import dataclass
from typing import NamedTuple


class CodedFeature(NamedTuple):
    """A number of a row that stands for a category, 0 to codes - 1, so that a model must embed it."""

    position: int  # among the numbers of a row, from 0
    codes: int
    name: str


@dataclass(frozen=True)
class Parameter:
    """One trainable tensor of a model."""

    name: str  # as in torch's named_parameters(): "layers.0.weight"
    shape: tuple[int, ...]
    module: str  # the torch.nn class that owns it: "Linear", "BatchNorm1d"; "" for a bare Parameter
    depth: int  # 0 is nearest the input
    sparse: bool = False  # whether its gradient is: the weight of an Embedding(sparse=True)

    @property
    def count(self) -> int:
        """The numbers it holds."""
        return math.prod(self.shape)
