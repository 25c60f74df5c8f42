"""Statistics over seeds."""

from pydantic import Field

from service.schemas.common import Number, View


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
