"""Metrics of predicted values, in the target's own unit, before it was scaled; the mean over several targets."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.metrics.base import MAX_SERIES, Direction, MetricBase


class ValueMetricBase(MetricBase):
    """A metric of the difference between prediction and target."""

    direction: ClassVar[Direction] = "min"
    tasks = ("regression",)

    average: Literal["mean", "none"] = Field(
        "mean", description="of several values to predict: their mean, or none: a series for each, by position from 0"
    )

    @property
    def stem(self) -> str:
        """The name of the mean's series."""
        return self.kind

    def names(self, classes: int) -> tuple[str, ...]:
        """Return for example mae; mae/0, mae/1, ... for none."""
        if self.average == "mean":
            return (self.stem,)
        return tuple(f"{self.stem}/{number}" for number in range(min(classes, MAX_SERIES)))

    def class_problems(self, classes: int) -> Iterator[Problem]:
        """Yield a problem for a series of each of too many values."""
        if self.average == "none" and classes > MAX_SERIES:
            detail = f"none is for at most {MAX_SERIES} values, and the dataset has {classes} to predict: use mean."
            yield Problem("/average", "too_large", detail, limit=MAX_SERIES)


class R2Score(ValueMetricBase):
    """Coefficient of determination: 1 is exact, 0 is as good as the mean of the targets."""

    target = "worker.trainer.metrics.values:R2"
    direction = "max"
    formula = "1 - sum (y - prediction)^2 / sum (y - mean y)^2"

    kind: Literal["r2"] = "r2"


class MeanAbsoluteError(ValueMetricBase):
    """Mean absolute error."""

    target = "worker.trainer.metrics.values:MeanAbsoluteError"
    formula = "mean |y - prediction|"

    kind: Literal["mae"] = "mae"


class RootMeanSquaredError(ValueMetricBase):
    """Root of the mean squared error."""

    target = "worker.trainer.metrics.values:RootMeanSquaredError"
    formula = "sqrt(mean (y - prediction)^2)"

    kind: Literal["rmse"] = "rmse"


class MeanAbsolutePercentageError(ValueMetricBase):
    """Mean absolute error relative to the target, as a share (0.1 is 10 %). Targets near 0 make it huge."""

    target = "worker.trainer.metrics.values:MeanAbsolutePercentageError"
    formula = "mean |y - prediction| / max(|y|, 2.2e-16)"

    kind: Literal["mape"] = "mape"


class QuantileLoss(ValueMetricBase):
    """Quantile (pinball) loss: smallest where a share `alpha` of the targets lies below the prediction."""

    target = "worker.trainer.metrics.values:QuantileLoss"
    formula = "mean of alpha (y - prediction) where y is greater, else (1 - alpha) (prediction - y)"
    paper = "Koenker & Bassett 1978, Econometrica 46"

    kind: Literal["quantile_loss"] = "quantile_loss"
    alpha: Annotated[float, Field(gt=0, lt=1, description="the quantile")] = 0.5

    @property
    def stem(self) -> str:
        """quantile_loss_0.9, or another quantile."""
        return f"quantile_loss_{self.alpha:g}"
