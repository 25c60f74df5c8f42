"""The activations of the spec by name."""

from torch import nn

from service.spec.models.leaf import ACTIVATIONS as NAMES

ACTIVATIONS: dict[str, type[nn.Module]] = {word: getattr(nn, name) for word, name in NAMES.items()}
