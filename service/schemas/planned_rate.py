"""The planned rate, and points that a later attempt superseded."""

from pydantic import Field

from service.schemas.common import Number, View


class Applied(View):
    """An exact comparison at one step."""

    step: int
    planned: float
    applied: Number


class PlannedView(View):
    """The rate that the spec plans, and whether the applied one was it."""

    steps: list[int]
    rates: list[float]
    watches: str = Field(description="the series that lowers the rate while it trains; empty: the step alone decides")
    checked: list[Applied] = Field(description="at the last step and at the extremes of the applied rate")
    deviates: bool | None = Field(description="null: nothing to compare yet, or the plan may change while it trains")


class GhostView(View):
    """The superseded points of one attempt and one series, as means of buckets."""

    name: str
    attempt: int
    step: list[int]
    value: list[Number | None] = Field(description="null: nothing finite in the bucket")


class GhostsView(View):
    """Superseded points, by series and attempt."""

    items: list[GhostView]
