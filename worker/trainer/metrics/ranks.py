"""Metrics of how a class's score ranks the rows of a part, exact, from all scores (N, K) and labels (N,)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from worker.trainer.metrics.classes import average_classes


class RankMetric(ABC):
    """A measure of each class against the rest, averaged; it keeps the scores of the part on the device."""

    def __init__(self, classes: int, average: str = "macro") -> None:
        self.average, self.scores, self.labels = average, list[Tensor](), list[Tensor]()

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Keep a batch."""
        self.scores.append(scores)
        self.labels.append(labels)

    @abstractmethod
    def measure(self, below: Tensor, below_or_equal: Tensor, positive: Tensor) -> Tensor:
        """Return the measure of a class from how many rows score below each row (N,), or equal it, by score."""

    @abstractmethod
    def is_defined(self, rows: Tensor, total: int) -> Tensor:
        """Return for which classes there is a measure."""

    def compute(self) -> Tensor:
        """Return the average; NaN if a score is NaN."""
        scores, labels = torch.cat(self.scores), torch.cat(self.labels)
        odds = ranked_scores(scores)
        measured, rows = [], []
        for number in range(scores.shape[1]):
            ordered, order = odds[:, number].sort(stable=True)
            positive = (labels == number)[order]
            below = torch.searchsorted(ordered, ordered)
            below_or_equal = torch.searchsorted(ordered, ordered, right=True)
            measured.append(self.measure(below, below_or_equal, positive))
            rows.append(positive.sum())
        classes = torch.stack(rows)
        defined = self.is_defined(classes, len(labels))
        values = torch.where(scores.isnan().any() | ~defined, torch.nan, torch.stack(measured))
        return average_classes(values, classes, defined, self.average)


class AreaUnderROC(RankMetric):
    """The area under the ROC curve, by the ranks of a class's rows (Mann & Whitney 1947); equal scores count half."""

    def measure(self, below: Tensor, below_or_equal: Tensor, positive: Tensor) -> Tensor:
        """Return the area."""
        mean_ranks = (below + below_or_equal + 1).double() / 2
        rows = positive.sum().double()
        beaten = (mean_ranks * positive).sum() - rows * (rows + 1) / 2
        return beaten / (rows * (len(positive) - rows))

    def is_defined(self, rows: Tensor, total: int) -> Tensor:
        """Classes with some of the rows."""
        return (rows > 0) & (rows < total)


class AveragePrecision(RankMetric):
    """The mean over a class's rows of the precision at their score."""

    def measure(self, below: Tensor, below_or_equal: Tensor, positive: Tensor) -> Tensor:
        """Return the mean."""
        before = torch.cat([torch.zeros_like(below[:1]), positive.cumsum(0)])  # rows of the class before each place
        found = before[-1] - before.gather(0, below)
        precision = found.double() / (len(positive) - below)
        return (precision * positive).sum() / positive.sum()

    def is_defined(self, rows: Tensor, total: int) -> Tensor:
        """Classes with rows."""
        return rows > 0


def ranked_scores(scores: Tensor) -> Tensor:
    """Return scores (N, K) in float64 that rank as the probabilities do: for two classes they cannot saturate."""
    wide = scores.double()
    if wide.shape[1] == 2:
        return wide - wide.flip(1)
    return wide.log_softmax(1)
