"""Metrics of predicted classes."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.losses.base import CLASS_TASKS
from service.spec.metrics.base import MAX_SERIES, MetricBase

MACRO = "macro: mean over the classes that occur; weighted: the same, weighted by their rows"
Averaging = Annotated[
    Literal["macro", "micro", "weighted", "binary", "none"],
    Field(
        description=f"{MACRO}; micro: over all rows at once; binary: of class 1 of two; none: a series for each class"
    ),
]
RankAveraging = Annotated[
    Literal["macro", "weighted", "binary", "none"],
    Field(description=f"{MACRO}; binary: of class 1 of two; none: a series for each class"),
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
    top_k: Annotated[
        int,
        Field(
            ge=2, le=1000, description="number of highest scores; the accuracy of the highest one is always recorded"
        ),
    ]

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


class AveragedBase(MetricBase):
    """A measure of each class, averaged."""

    direction = "max"
    tasks = CLASS_TASKS
    takes_classes = True

    average: Averaging = "macro"

    def names(self, classes: int) -> tuple[str, ...]:
        """Return for example f1_macro; f1 for binary; f1/0, f1/1, ... for none."""
        if self.average == "none":
            return tuple(f"{self.kind}/{number}" for number in range(min(classes, MAX_SERIES)))
        return (self.kind if self.average == "binary" else f"{self.kind}_{self.average}",)

    def class_problems(self, classes: int) -> Iterator[Problem]:
        """Yield a problem for `binary` with other than two classes, and for a series of each of too many."""
        if self.average == "binary" and classes != 2:
            detail = f"binary is for two classes, and the dataset has {classes}: use macro or weighted."
            yield Problem("/average", "contradiction", detail, limit=["macro", "weighted"])
        if self.average == "none" and classes > MAX_SERIES:
            detail = f"none is for at most {MAX_SERIES} classes, and the dataset has {classes}: use macro or weighted."
            yield Problem("/average", "too_large", detail, limit=MAX_SERIES)


class ClassScoreBase(AveragedBase):
    """A score of each class from its counts. A class without the rows that it divides by has the score 0."""


class RankBase(AveragedBase):
    """A measure of how a class's score ranks its rows before the others; it keeps the scores of the whole part."""

    keeps_scores = True

    average: RankAveraging = "macro"


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


class AreaUnderROC(RankBase):
    """Area under the ROC curve, one class against the rest: the chance that a row of the class has the higher score.

    Classes without rows, or with all, do not count.
    """

    target = "worker.trainer.metrics.ranks:AreaUnderROC"
    formula = "P(score of a row of the class > score of another row) + P(equal) / 2"

    kind: Literal["auc"] = "auc"


class AveragePrecision(RankBase):
    """Average precision, one class against the rest: the area under the steps of precision over recall.

    Classes without rows do not count.
    """

    target = "worker.trainer.metrics.ranks:AveragePrecision"
    formula = "sum over thresholds of (recall - previous recall) precision"

    kind: Literal["average_precision"] = "average_precision"


class CalibrationError(MetricBase):
    """Expected calibration error: how far the accuracy is from the largest probability, in bins of equal width."""

    target = "worker.trainer.metrics.calibration:CalibrationError"
    direction = "min"
    tasks = (*CLASS_TASKS, "language")
    takes_classes = True
    formula = "sum over bins of share |accuracy - mean probability|; a bin holds low < p <= high"
    paper = "Guo et al. 2017, arXiv:1706.04599"

    kind: Literal["calibration_error"] = "calibration_error"
    n_bins: Annotated[int, Field(ge=2, le=1000, description="number of bins")] = 15


class Perplexity(MetricBase):
    """Perplexity: the exponential of the mean negative log-likelihood of every token, whatever the loss leaves out."""

    target = "worker.trainer.metrics.calibration:Perplexity"
    direction = "min"
    tasks = ("language",)
    takes_classes = True
    formula = "exp(-mean log p(token))"

    kind: Literal["perplexity"] = "perplexity"
