"""Losses that torch lacks or has only for other inputs; each is the mean over the batch."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NO_IGNORE_INDEX = -100  # torch's default


class SoftmaxMSE(nn.Module):
    """Squared distance of softmax(logits) from the one-hot class."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """logits (B, K), classes (B,) -> their mean, between 0 and 2."""
        return (logits.softmax(1) - one_hot(classes, logits.shape[1])).square().sum(1).mean()


class OneHotMSE(nn.Module):
    """Squared distance of each output from 1 for the class, 0 for the others."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, classes: Tensor) -> Tensor:
        """outputs (B, K), classes (B,) -> their mean over rows and classes."""
        return (outputs - one_hot(classes, outputs.shape[1])).square().mean()


class KLDiv(nn.Module):
    """Kullback-Leibler divergence of softmax(logits) from the target distributions, in nats."""

    def __init__(self, log_target: bool = False, smoothing: float | None = None) -> None:
        super().__init__()
        self.log_target, self.smoothing = log_target, smoothing
        self.reduction = "mean"  # over rows; or "none"

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """logits (B, K), y (B, K) distributions or (B,) classes."""
        if not y.is_floating_point():
            smoothing = self.smoothing or 0.0
            y = one_hot(y, logits.shape[1]) * (1 - smoothing) + smoothing / logits.shape[1]
        found = logits.log_softmax(1)  # of log-probabilities: themselves
        if self.reduction == "none":
            return functional.kl_div(found, y, reduction="none", log_target=self.log_target).sum(1)
        return functional.kl_div(found, y, reduction="batchmean", log_target=self.log_target)


class Hinge(nn.Module):
    """max(0, margin - s z)^p for a logit z and a side s."""

    def __init__(self, p: int = 1, margin: float = 1.0) -> None:
        super().__init__()
        self.p, self.margin = p, margin

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """logits (B, 1), y (B, 1) of 0 and 1."""
        return (self.margin - sides(y) * logits).clamp(min=0).pow(self.p).mean()


class SoftMargin(nn.Module):
    """log(1 + exp(-s z)) for a logit z and a side s."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """logits (B, 1), y (B, 1) of 0 and 1."""
        return functional.softplus(-sides(y) * logits).mean()  # torch's soft_margin_loss overflows at z = -89


def one_hot(classes: Tensor, columns: int) -> Tensor:
    """(B,) -> (B, columns) of 0 and 1, in the default type; torch's own reads the classes and waits for the device."""
    return (classes.unsqueeze(1) == torch.arange(columns, device=classes.device)).to(torch.get_default_dtype())


def sides(y: Tensor) -> Tensor:
    """Return -1 for class 0, 1 for class 1."""
    return 2 * y - 1


class GaussianNLL(nn.Module):
    """Negative log-likelihood of a normal distribution whose mean and log-variance the model predicts."""

    def __init__(self, full: bool = False, eps: float = 1e-6) -> None:
        super().__init__()
        self.full, self.eps = full, eps

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """outputs (B, 2 D): means, then log-variances; y (B, D)."""
        mean, variance = outputs.chunk(2, 1)
        variance = variance.exp()
        variance = variance + (variance.clamp(min=self.eps) - variance).detach()  # keeps the gradient
        found = 0.5 * (variance.log() + (mean - y).square() / variance)  # torch's waits to check variance >= 0
        return found.mean() + (0.5 * math.log(2 * math.pi) if self.full else 0.0)


class ObjectiveValue(nn.Module):
    """The output of an objective, which is its own loss."""

    def __init__(self) -> None:  # nn.Module's would accept any argument
        super().__init__()

    def forward(self, value: Tensor, _targets: Tensor) -> Tensor:
        """Return the scalar unchanged."""
        return value


def loss_denominator(criterion: nn.Module, y: Tensor) -> Tensor | int:
    """Return what `criterion` divides its sum over these targets by: their number, or their classes' weights.

    Means over parts of a batch, weighted by it, add up to the mean over the batch.
    """
    inner = _inner(criterion)
    if not isinstance(inner, nn.CrossEntropyLoss | nn.NLLLoss) or y.is_floating_point():
        return y.shape[0]
    if inner.weight is not None:
        return torch.where(y != inner.ignore_index, inner.weight[y.clamp(min=0)], 0).sum()
    return y.shape[0] if inner.ignore_index == NO_IGNORE_INDEX else (y != inner.ignore_index).sum()


def partial_loss(criterion: nn.Module, outputs: Tensor, y: Tensor, whole: Tensor | int) -> Tensor:
    """Return what these targets contribute to a mean loss of denominator `whole`; 0 where none of them counts."""
    own = loss_denominator(criterion, y)
    if not isinstance(own, Tensor):
        found: Tensor = criterion(outputs, y)
        return found if own == whole else found * (own / whole)
    inner = _inner(criterion)
    inner.reduction = "sum"  # a mean over targets that are all ignored would be 0 / 0
    try:
        total: Tensor = criterion(outputs, y)
    finally:
        inner.reduction = "mean"
    return total / whole


def _inner(criterion: nn.Module) -> Any:
    """Return torch's loss, which `PerPosition` wraps for a language."""
    return getattr(criterion, "criterion", criterion)
