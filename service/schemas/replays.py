"""Replays of a run."""

from pydantic import Field

from service.schemas.common import Number, View
from service.schemas.runs import RunView


class DifferenceView(View):
    """The first step at which a series differs; null: there is no value at that step."""

    series: str
    step: int
    was: Number | None
    now: Number | None


class ReplayVerdictView(View):
    """What comparing a replay with its run shows."""

    identical: bool | None = Field(description="every loss and rate to the last bit; null: nothing to compare yet")
    compared_steps: int
    first_difference: DifferenceView | None
    cause: str | None = Field(description="why it probably differs, from what both machines said of themselves")


class ReplayView(ReplayVerdictView):
    """A replay and its verdict."""

    run: RunView
    complete: bool = Field(description="false: it still trains, and the verdict is about the steps so far")


class ReplaysView(View):
    """A run's replays, oldest first."""

    items: list[ReplayView]
