"""Curves."""

from typing import Literal

from pydantic import Field

from service.schemas.common import Number, View

Axis = Literal["step", "epoch"]


class SeriesView(View):
    """Columns of one series. Exact: `step`, `value`. Reduced: one entry per bucket; min, max, mean of the finite."""

    epoch: list[float] | None = Field(None, description="of each step, or of each bucket's last one; with x=epoch")
    step: list[int] | None = None
    value: list[Number] | None = None
    first_step: list[int] | None = None
    last_step: list[int] | None = None
    min: list[Number | None] | None = None
    max: list[Number | None] | None = None
    mean: list[Number | None] | None = None
    last: list[Number] | None = Field(None, description="exactly the last value, finite or not")
    count: list[int] | None = None
    nonfinite: list[int] | None = None


class Reduction(View):
    """How the curves were reduced."""

    method: Literal["none", "buckets"]
    bucket_steps: int = Field(
        description="steps a bucket spans, counted from step 0, whole at the window's ends too; 1: the exact points"
    )
    points: int = Field(description="entries of the longest series")


class RunSeries(View):
    """Curves of one run."""

    run_id: str
    x: Axis
    series: dict[str, SeriesView]
    reduction: Reduction


class RunOfMany(View):
    """One run's part of an answer for several."""

    run_id: str
    series: dict[str, SeriesView]


class ManySeries(View):
    """Curves of several runs, all with one bucket width."""

    x: Axis
    runs: list[RunOfMany]
    reduction: Reduction


class AxisView(View):
    """An axis as a function of the step: straight between the given steps and beyond them."""

    steps: list[int] = Field(description="ascending")
    values: list[float] = Field(description="of the axis at each of these steps")


class RunAxes(View):
    """What other axes a run's steps have."""

    run_id: str
    epoch: AxisView | None = Field(description="null: the plug-in that the spec names is not installed; samples too")
    samples: AxisView | None = Field(description="training rows seen; exact at the ends of epochs")
    wall_s: AxisView | None = Field(description="seconds since the first start; null: it has not started")
    device_s: AxisView | None = Field(description="the same without the time between attempts")


class SeriesAxes(View):
    """The axes of several runs, in the order in which they were asked for."""

    items: list[RunAxes]


class SeriesNames(View):
    """The series that a project's runs have."""

    names: list[str] = Field(description="sorted; filters, orders, columns and comparisons take them")
