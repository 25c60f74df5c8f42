"""An initialisation that torch lacks."""

from collections.abc import Sequence

import torch
from torch import Tensor


def values_(tensor: Tensor, values: Sequence[float]) -> Tensor:
    """Fill `tensor` with as many numbers as it holds, row by row."""
    with torch.no_grad():
        return tensor.copy_(torch.tensor(values, dtype=tensor.dtype).view_as(tensor))
