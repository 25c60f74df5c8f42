"""The activations of the spec by name."""

import torch
from torch import Tensor, nn

from service.spec.models.leaf import ACTIVATIONS as NAMES


class Hardsigmoid(nn.Module):
    """clamp(x/6 + 1/2, 0, 1); torch's own has no second derivative."""

    def forward(self, x: Tensor) -> Tensor:
        """x (...) -> (...)."""
        return torch.clamp(x / 6 + 0.5, 0, 1)


def activation_class(name: str) -> type[nn.Module]:
    """Return torch's class of this name, or ours where torch's lacks a derivative."""
    found: type[nn.Module] = Hardsigmoid if name == "Hardsigmoid" else getattr(nn, name)
    return found


ACTIVATIONS: dict[str, type[nn.Module]] = {word: activation_class(name) for word, name in NAMES.items()}
