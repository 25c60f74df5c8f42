"""Metrics of predicted classes, exact, from scores (N, K) and labels (N,).

They count in integers, on the device, without waiting for it. torchmetrics counts with one-hot rows or a bincount that
waits for the device, and its import takes 2.5 s.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class TopKAccuracy:
    """The share of rows whose class has one of the `top_k` highest scores."""

    def __init__(self, classes: int, top_k: int) -> None:
        self.top_k, self.correct, self.rows = top_k, torch.zeros((), dtype=torch.int64), 0

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Count rows with fewer than `top_k` scores above their own, NaN and equal scores of earlier classes too."""
        own = scores.gather(1, labels[:, None])
        earlier = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
        above = ~(scores <= own) | ((scores == own) & earlier)
        self.correct = self.correct + (above.sum(1) < self.top_k).sum()
        self.rows += len(labels)

    def compute(self) -> Tensor:
        """Return the share."""
        return self.correct.double() / self.rows


class ClassCounts(ABC):
    """Rows, predictions and correct predictions of each class."""

    def __init__(self, classes: int) -> None:
        self.rows, self.predicted, self.correct = torch.zeros(3, classes, dtype=torch.int64).unbind()

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Count a batch; integers add up to the same in any order."""
        found, one = scores.argmax(1), torch.ones_like(labels)
        self.rows.scatter_add_(0, labels, one)
        self.predicted.scatter_add_(0, found, one)
        self.correct.scatter_add_(0, labels, (found == labels).long())

    @abstractmethod
    def compute(self) -> Tensor:
        """Return the metric."""


class BalancedAccuracy(ClassCounts):
    """The mean recall of the classes that have rows."""

    def compute(self) -> Tensor:
        """Return the mean."""
        return mean_where(ratio(self.correct, self.rows), self.rows > 0)


class AveragedScore(ClassCounts):
    """A score of each class, averaged."""

    def __init__(self, classes: int, average: str = "macro") -> None:
        super().__init__(classes)
        self.average = average

    @abstractmethod
    def score(self, rows: Tensor, predicted: Tensor, correct: Tensor) -> Tensor:
        """Return the score of each class from its counts."""

    def compute(self) -> Tensor:
        """Return the average."""
        counts = self.rows, self.predicted, self.correct
        if self.average == "micro":
            return self.score(*(each.sum() for each in counts))
        scores = self.score(*counts)
        return average_classes(scores, self.rows, self.rows + self.predicted > 0, self.average)


class Precision(AveragedScore):
    """Correct predictions among the predictions of a class."""

    def score(self, rows: Tensor, predicted: Tensor, correct: Tensor) -> Tensor:
        """Return the precision."""
        return ratio(correct, predicted)


class Recall(AveragedScore):
    """Correct predictions among the rows of a class."""

    def score(self, rows: Tensor, predicted: Tensor, correct: Tensor) -> Tensor:
        """Return the recall."""
        return ratio(correct, rows)


class F1(AveragedScore):
    """The harmonic mean of precision and recall."""

    def score(self, rows: Tensor, predicted: Tensor, correct: Tensor) -> Tensor:
        """Return the F1 score."""
        return ratio(2 * correct, rows + predicted)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole in float64, and 0 where the whole is 0, as scikit-learn does."""
    return part.double() / whole.clamp(min=1)


def average_classes(scores: Tensor, rows: Tensor, counted: Tensor, average: str) -> Tensor:
    """Return the average over the classes that are counted, the score of class 1 for binary, or all for none."""
    if average == "none":
        return scores
    if average == "binary":
        return scores[1]
    return mean_where(scores, counted * rows if average == "weighted" else counted)


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the values that are counted, which may be weighted."""
    return torch.where(counted > 0, values * counted, 0.0).sum() / counted.sum()
