"""Metrics of predicted values (N, D) in the target's own unit, in float64: of each of the D targets, or their mean."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

EPSILON = torch.finfo(torch.float64).eps


class MeanError(ABC):
    """The mean over all rows of an error of each value."""

    def __init__(self, average: str = "mean") -> None:
        self.average = average
        self.total, self.rows = torch.zeros((), dtype=torch.float64), 0

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch."""
        self.total = self.total + self.error(predictions, targets).sum(0)
        self.rows += len(targets)

    @abstractmethod
    def error(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the error of each value."""

    def compute(self) -> Tensor:
        """Return the mean, or that of each value."""
        return self.summary(self.total / self.rows)

    def summary(self, values: Tensor) -> Tensor:
        """Return the mean of the measures (D,) of the values, or each of them."""
        return values.mean() if self.average == "mean" else values


class MeanAbsoluteError(MeanError):
    """The mean absolute error."""

    def error(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the absolute difference."""
        return (predictions - targets).abs()


class MeanAbsolutePercentageError(MeanError):
    """The mean absolute error relative to the target."""

    def error(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the share; a target of 0 counts as the smallest number, as in scikit-learn."""
        return (predictions - targets).abs() / targets.abs().clamp(min=EPSILON)


class QuantileLoss(MeanError):
    """The mean pinball loss."""

    def __init__(self, alpha: float = 0.5, average: str = "mean") -> None:
        super().__init__(average)
        self.alpha = alpha

    def error(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each value."""
        above = targets - predictions
        return torch.maximum(self.alpha * above, (self.alpha - 1) * above)


class MeanSquaredError(MeanError):
    """The mean squared error."""

    def error(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the squared difference."""
        return (predictions - targets).square()


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean squared error of each target."""

    def compute(self) -> Tensor:
        """Return the roots, or their mean."""
        return self.summary((self.total / self.rows).sqrt())


class R2(MeanSquaredError):
    """The coefficient of determination.

    The squared deviations of the batches are merged (Chan et al. 1979), so that a mean far from 0 cancels no digits.
    """

    def __init__(self, average: str = "mean") -> None:
        super().__init__(average)
        self.first: Tensor | None = None  # row of targets, from which the mean is measured
        self.mean, self.squares = torch.zeros(2, dtype=torch.float64).unbind()

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Add a batch."""
        before = self.rows
        super().update(predictions, targets)
        if self.first is None:
            self.first = targets[0].clone()
            self.mean, self.squares = torch.zeros_like(self.first), torch.zeros_like(self.first)
        values = targets - self.first
        mean = values.mean(0)
        apart = mean - self.mean
        self.squares = (
            self.squares + (values - mean).square().sum(0) + apart.square() * (before * len(targets) / self.rows)
        )
        self.mean = self.mean + apart * (len(targets) / self.rows)

    def compute(self) -> Tensor:
        """Return 1 - unexplained; of constant targets 1 where they are predicted exactly, else 0; NaN of one row."""
        if self.rows < 2:
            return self.summary(torch.full_like(self.total, torch.nan))
        constant = torch.where(self.total == 0, 1.0, 0.0).double()
        return self.summary(torch.where(self.squares == 0, constant, 1 - self.total / self.squares))
