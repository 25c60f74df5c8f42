"""The activations of the spec by name."""

import torch
from torch import Tensor, nn

from service.spec.models.leaf import ACTIVATIONS as NAMES


class Hardsigmoid(nn.Module):
    """clamp(x/6 + 1/2, 0, 1), entry by entry; torch's own has no second derivative."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return torch.clamp(x / 6 + 0.5, 0, 1)


def torchs(name: str) -> type[nn.Module]:
    """The class that torch has by this name, or our own where torch's lacks something."""
    found: type[nn.Module] = Hardsigmoid if name == "Hardsigmoid" else getattr(nn, name)
    return found


ACTIVATIONS: dict[str, type[nn.Module]] = {word: torchs(name) for word, name in NAMES.items()}
