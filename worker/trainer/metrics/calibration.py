"""Metrics of predicted probabilities, from scores (N, K) and labels (N,)."""

import torch
from torch import Tensor
from torch.nn import functional


class CalibrationError:
    """The expected calibration error of the largest probability, in `n_bins` bins of equal width."""

    def __init__(self, classes: int, n_bins: int = 15) -> None:
        self.n_bins, self.rows = n_bins, 0
        self.excess = torch.zeros(n_bins, dtype=torch.float64)  # probability less accuracy, added up in each bin

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        probability, found = scores.double().softmax(1).max(1)
        bins = (probability * self.n_bins).ceil().long().clamp(1, self.n_bins) - 1
        self.excess.scatter_add_(0, bins, probability - (found == labels).double())
        self.rows += len(labels)

    def compute(self) -> Tensor:
        """Return the error."""
        return self.excess.abs().sum() / self.rows


class Perplexity:
    """The exponential of the mean negative log-likelihood."""

    def __init__(self, classes: int) -> None:
        self.total, self.rows = torch.zeros((), dtype=torch.float64), 0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        self.total = self.total + functional.cross_entropy(scores, labels, reduction="none").double().sum()
        self.rows += len(labels)

    def compute(self) -> Tensor:
        """Return the perplexity."""
        return (self.total / self.rows).exp()
