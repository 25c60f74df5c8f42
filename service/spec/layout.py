"""A model's layout: its trainable parameters by torch's own names, known without torch."""

import math
from dataclasses import dataclass


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
