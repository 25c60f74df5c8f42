"""Figures over seeds as they are sent."""

import math
from collections.abc import Iterable, Sequence

from pydantic import Field

from service.analysis.aggregate import Aggregate, Band
from service.analysis.bootstrap import Interval
from service.api.views import Number, View


class Statistics(View):
    """Of one value per run; null where too few are finite. Both intervals are for the mean, at 95 %."""

    n: int = Field(description="finite values")
    diverged: int = Field(description="values that are not finite; in no other figure")
    mean: Number | None
    sd: Number | None
    median: Number | None
    q1: Number | None = Field(description="lower quartile; q3 - q1 is the interquartile range")
    q3: Number | None
    min: Number | None
    max: Number | None
    ci_low: Number | None = Field(description="Student's interval: right where the values are about normal")
    ci_high: Number | None
    bootstrap_low: Number | None = Field(description="BCa bootstrap: assumes no shape, and is too narrow for few seeds")
    bootstrap_high: Number | None

    @classmethod
    def of(cls, figures: Aggregate, interval: Interval | None) -> "Statistics":
        """As computed."""
        return cls(
            n=figures.n,
            diverged=figures.diverged,
            mean=figures.mean,
            sd=figures.sd,
            median=figures.median,
            q1=figures.q1,
            q3=figures.q3,
            min=figures.min,
            max=figures.max,
            ci_low=figures.low,
            ci_high=figures.high,
            bootstrap_low=interval and interval[0],
            bootstrap_high=interval and interval[1],
        )


class CurveBand(View):
    """The same at each x; null where no run of the group has a finite value."""

    x: list[float]
    n: list[int]
    mean: list[Number | None]
    sd: list[Number | None]
    median: list[Number | None]
    q1: list[Number | None]
    q3: list[Number | None]
    min: list[Number | None]
    max: list[Number | None]
    ci_low: list[Number | None]
    ci_high: list[Number | None]

    @classmethod
    def of(cls, x: Sequence[float], band: Band) -> "CurveBand":
        """As computed."""
        return cls(
            x=list(x),
            n=band.n.tolist(),
            mean=or_null(band.mean.tolist()),
            sd=or_null(band.sd.tolist()),
            median=or_null(band.median.tolist()),
            q1=or_null(band.q1.tolist()),
            q3=or_null(band.q3.tolist()),
            min=or_null(band.min.tolist()),
            max=or_null(band.max.tolist()),
            ci_low=or_null(band.low.tolist()),
            ci_high=or_null(band.high.tolist()),
        )


def or_null(values: Iterable[float]) -> list[float | None]:
    """Null for what is not there."""
    return [None if math.isnan(value) else value for value in values]
