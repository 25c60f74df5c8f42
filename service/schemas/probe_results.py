"""Probe results that are not series."""

from pydantic import Field

from service.schemas.common import Json, Utc, View


class ReadingView(View):
    """The result of one look of a probe; `data` depends on the kind, and has NaN and the infinities as strings."""

    id: int
    run_id: str = Field(description="the run, or the probe of it that looked")
    attempt: int
    step: int = Field(description="the update behind which it looked; 0: before the first")
    kind: str
    data: Json
    at: Utc


class ReadingsView(View):
    """Readings of a run, oldest first, and where the next ones begin."""

    items: list[ReadingView]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this was the last")
