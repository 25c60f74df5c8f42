"""The network: a torch module that knows nothing of Saddle."""

import torch
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """x (B, D) -> (B, outputs)."""

    directions: Tensor

    def __init__(
        self, shape: tuple[int, ...], outputs: int, features: int = 64, scale: float = 8.0, hidden: int = 64
    ) -> None:
        super().__init__()
        self.register_buffer("directions", scale * torch.randn(shape[0], features))
        self.hidden, self.out = nn.Linear(2 * features, hidden), nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction."""
        angles = x @ self.directions
        found: Tensor = self.out(self.hidden(torch.cat([angles.sin(), angles.cos()], 1)).relu())
        return found
