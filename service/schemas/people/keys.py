"""API keys."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from service.levels import Scope
from service.schemas.common import Utc, View
from service.spec.component import Part
from service.spec.experiment import NewName

MAX_LIFETIME_S = 10 * 366 * 86400
MAX_OVERLAP_S = 30 * 86400
NOTICE_S = 14 * 86400  # a key's end is announced so long before


def expires_soon(expires_at: datetime | None) -> bool:
    """Whether a key ends so soon that its owner should make another."""
    return expires_at is not None and (expires_at - datetime.now(UTC)).total_seconds() < NOTICE_S


MAX_RUNS, MAX_SECONDS = 1_000_000, 1e9


class NewKey(Part):
    """A key to create, for the member who asks or for a service account."""

    name: NewName = Field(description="where it is used, so that it can be told which one to revoke")
    scope: Scope = Field("admin", description="what it may do at most: read, submit (and read), or all its member may")
    lifetime_s: Annotated[float, Field(gt=0, le=MAX_LIFETIME_S)] | None = Field(
        None, description="seconds until it expires; left out: the server's default, of 90 days; null: never"
    )
    member: str | None = Field(
        None, min_length=1, max_length=128, description="a service account of the project; only its admins may name one"
    )
    runs_per_day: Annotated[int, Field(ge=0, le=MAX_RUNS)] | None = Field(
        None, description="runs that it may queue in a day (UTC), trials of its studies among them; null: no limit"
    )
    device_s_per_day: Annotated[float, Field(gt=0, le=MAX_SECONDS)] | None = Field(
        None, description="seconds of a device that its runs may train in a day (UTC); null: no limit"
    )


class Rotation(Part):
    """How a key is replaced."""

    overlap_s: float = Field(86400.0, ge=0, le=MAX_OVERLAP_S, description="seconds that the old key still opens")


class KeyView(View):
    """A key of the project, without its secret."""

    id: str = Field(description="the beginning of the key, up to the dot")
    name: str = Field(description="empty: it was made by the operator, or before keys had names")
    member: str
    scope: Scope
    created_at: Utc
    last_used_at: Utc | None = Field(description="to the minute; null: never, or not since this was recorded")
    expires_at: Utc | None = Field(description="null: never")
    revoked_at: Utc | None
    runs_per_day: int | None = Field(description="null: no limit")
    device_s_per_day: float | None = Field(description="null: no limit")
    open: bool = Field(description="neither revoked nor expired")
    expires_soon: bool = Field(description="open, and ends within 14 days")
    current: bool = Field(description="the one that this request was made with")


class MadeKey(KeyView):
    """A new key."""

    key: str = Field(description="send it as `Authorization: Bearer ...`; it is never shown again")
