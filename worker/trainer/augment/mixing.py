"""Mixtures of a batch with the same batch in another order; draws come from torch's CPU generator."""

import torch
from torch import Tensor

from worker.trainer.data.batches import Batch, copy_to_device


def beta(alpha: float) -> float:
    """Draw a share from Beta(alpha, alpha)."""
    first, second = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64)).tolist()
    return float(first / (first + second)) if first + second else 0.5


class Mixup:
    """share * x + (1 - share) * other, rounded to bytes, and the classes alike."""

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = alpha

    def __call__(self, x: Tensor, y: Tensor) -> Batch:
        """Mix x (B, C, H, W) bytes and y (B, K) probabilities."""
        share, order = beta(self.alpha), copy_to_device(torch.randperm(len(x)), x.device)
        mixed = (x.float() * share + x[order].float() * (1 - share)).round_().to(torch.uint8)
        return mixed, y * share + y[order] * (1 - share)


class CutMix:
    """A rectangle of area 1 - share from another image; the classes by the area that remains."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def __call__(self, x: Tensor, y: Tensor) -> Batch:
        """Mix x (B, C, H, W) bytes and y (B, K) probabilities."""
        share, order = beta(self.alpha), copy_to_device(torch.randperm(len(x)), x.device)
        height, width = x.shape[-2:]
        side = (1 - share) ** 0.5
        row, column = int(torch.randint(height, ())), int(torch.randint(width, ()))
        half_height, half_width = int(side * height) // 2, int(side * width) // 2
        top, bottom = max(row - half_height, 0), min(row + half_height, height)
        left, right = max(column - half_width, 0), min(column + half_width, width)
        mixed = x.clone()
        mixed[..., top:bottom, left:right] = x[order][..., top:bottom, left:right]
        kept = 1 - (bottom - top) * (right - left) / (height * width)
        return mixed, y * kept + y[order] * (1 - kept)
