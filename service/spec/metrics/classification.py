"""Metrics of predicted classes."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.losses.base import CLASS_TASKS
from service.spec.metrics.base import MetricBase

Averaging = Annotated[
    Literal["macro", "micro", "weighted", "binary"],
    Field(
        description="macro: mean over the classes that occur; weighted: the same, weighted by their rows; "
        "micro: over all rows at once; binary: of class 1 of two"
    ),
]


class TopKAccuracy(MetricBase):
    """Share of rows whose class is among the `top_k` of the highest scores. Of equal scores the first class is higher.

    The accuracy of the highest score is always recorded.
    """

    target = "worker.trainer.metrics.classes:TopKAccuracy"
    direction = "max"
    tasks = (*CLASS_TASKS, "language")
    takes_classes = True
    formula = "rows whose class is among the top k / rows"

    kind: Literal["accuracy"] = "accuracy"
    top_k: Annotated[int, Field(ge=2, le=1000, description="number of highest scores")]

    def names(self, classes: int) -> tuple[str, ...]:
        """Return accuracy_top5, or another number."""
        return (f"accuracy_top{self.top_k}",)

    def class_problems(self, classes: int) -> Iterator[Problem]:
        """Yield a problem if every row would count."""
        if self.top_k >= classes:
            detail = f"must be less than the {classes} classes, or every row counts as correct."
            yield Problem("/top_k", "too_large", detail, limit=classes - 1)


class BalancedAccuracy(MetricBase):
    """Mean over the classes of the share of their rows that are predicted correctly."""

    target = "worker.trainer.metrics.classes:BalancedAccuracy"
    direction = "max"
    tasks = CLASS_TASKS
    takes_classes = True
    formula = "mean over classes of recall"

    kind: Literal["balanced_accuracy"] = "balanced_accuracy"


class ClassScoreBase(MetricBase):
    """A score of each class, averaged. A class without the rows that it divides by has the score 0."""

    direction = "max"
    tasks = CLASS_TASKS
    takes_classes = True

    average: Averaging = "macro"

    def names(self, classes: int) -> tuple[str, ...]:
        """Return for example f1_macro, or f1 for binary."""
        return (self.kind if self.average == "binary" else f"{self.kind}_{self.average}",)

    def class_problems(self, classes: int) -> Iterator[Problem]:
        """Yield a problem for `binary` with other than two classes."""
        if self.average == "binary" and classes != 2:
            detail = f"binary is for two classes, and the dataset has {classes}: use macro, micro or weighted."
            yield Problem("/average", "contradiction", detail, limit=["macro", "micro", "weighted"])


class PrecisionScore(ClassScoreBase):
    """Precision: the share of the rows predicted as a class that are of it."""

    target = "worker.trainer.metrics.classes:Precision"
    formula = "correct / predicted"

    kind: Literal["precision"] = "precision"


class RecallScore(ClassScoreBase):
    """Recall: the share of the rows of a class that are predicted as it."""

    target = "worker.trainer.metrics.classes:Recall"
    formula = "correct / rows"

    kind: Literal["recall"] = "recall"


class F1Score(ClassScoreBase):
    """F1 score: the harmonic mean of precision and recall."""

    target = "worker.trainer.metrics.classes:F1"
    formula = "2 correct / (predicted + rows)"

    kind: Literal["f1"] = "f1"
