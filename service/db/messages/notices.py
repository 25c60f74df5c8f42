"""What a message tells, and which channels want to know."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Notice:
    """Something that people may want to be told."""

    kind: str  # an `EventKind`, or "channel_disabled", which goes to the other channels of its member
    project_id: str
    subject: str  # what it is about, as an experiment's id: messages bundle by it
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    owner_id: str | None = None  # the member whose it is; None: everybody's
    only_to: str | None = None  # a member: nobody else's channels get it

    def document(self) -> dict[str, Any]:
        """Return it as a message has it."""
        return {"kind": self.kind, "at": self.at.isoformat(), **self.data}


@dataclass(frozen=True)
class Subscription:
    """What a channel wants to know."""

    id: str
    project_id: str
    member_id: str
    shared: bool
    own_only: bool
    events: Sequence[str]
    bundle_s: int
    created_at: datetime


def wants(channel: Subscription, notice: Notice) -> bool:
    """Return whether the channel is told of it."""
    if channel.project_id != notice.project_id or notice.at < channel.created_at:
        return False
    if notice.kind == "channel_disabled":
        return channel.member_id == notice.only_to
    if notice.kind not in channel.events:
        return False
    if notice.only_to is not None:
        return channel.member_id == notice.only_to and not channel.shared
    return channel.shared or not channel.own_only or notice.owner_id in (None, channel.member_id)
