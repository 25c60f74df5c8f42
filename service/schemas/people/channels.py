"""Channels: where messages go, on which events; and what became of each message."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from service.schemas.common import Json, Utc, View
from service.spec.component import Part
from service.spec.experiment import NewName

ChannelKind = Literal["webhook", "slack", "email"]
EventKind = Literal[
    "run_succeeded", "run_failed", "run_diverged", "finding_fault", "queue_stuck", "quota_near", "mention"
]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)
DEFAULT_EVENTS: tuple[EventKind, ...] = ("run_failed", "run_diverged", "queue_stuck", "quota_near", "mention")
MAX_BUNDLE_S = 86400
Events = Annotated[tuple[EventKind, ...], Field(max_length=len(EVENT_KINDS), description="kinds that are told")]
Bundle = Annotated[
    int,
    Field(
        ge=0,
        le=MAX_BUNDLE_S,
        description="seconds between two messages on one experiment, which then tell all that happened since;"
        " 0: a message for each event",
    ),
]
Address = Annotated[str, Field(max_length=2000)]
ADDRESS = "an http(s) URL, or an e-mail address; empty for e-mail: the address of your account"


class NewChannel(Part):
    """A channel to make."""

    kind: ChannelKind = Field(description="webhook: signed JSON; slack: JSON with `text`; email: plain text")
    address: Address = Field("", description=ADDRESS)
    name: NewName = Field("channel", description="shown in lists")
    shared: bool = Field(False, description="the project's, which its admins manage; else yours")
    own_only: bool = Field(False, description="only what concerns experiments of your own; not for a shared channel")
    events: Events = DEFAULT_EVENTS
    bundle_s: Bundle = 300


class ChannelChange(Part):
    """What of a channel to change."""

    name: NewName | None = None
    address: Address | None = Field(None, description=ADDRESS)
    own_only: bool | None = None
    events: Events | None = None
    bundle_s: Bundle | None = None
    enabled: bool | None = Field(None, description="true: send again, after it was disabled; false: stop")


class ChannelView(View):
    """A channel without its secret."""

    id: str
    kind: ChannelKind
    name: str
    address: str = Field(description="of a Slack-compatible one only the host: who knows the rest can write to it")
    member: str = Field(description="who made it")
    shared: bool
    own_only: bool
    events: list[EventKind]
    bundle_s: int
    failures: int = Field(description="attempts in a row that failed")
    failing_since: Utc | None
    disabled_at: Utc | None = Field(description="nothing is sent since then")
    disabled_why: str | None
    created_at: Utc


class ChannelsView(View):
    """Channels, newest first."""

    items: list[ChannelView]


class MadeChannel(ChannelView):
    """A channel with the secret that signs its messages."""

    secret: str | None = Field(description="whsec_ and 32 bytes in base64; null where nothing is signed; shown once")


class DeliveryView(View):
    """A message, sent or not."""

    id: str = Field(description="the header webhook-id: the same in each attempt")
    events: list[Json]
    state: Literal["open", "sent", "failed"]
    attempts: int
    created_at: Utc
    due_at: Utc = Field(description="of the next attempt, while it is open")
    ended_at: Utc | None
    status: int | None = Field(description="HTTP status of the last answer, or the code of the mail server")
    detail: str | None = Field(description="what went wrong, or the beginning of the answer")


class DeliveriesView(View):
    """The newest messages of a channel."""

    items: list[DeliveryView]


class TriedView(View):
    """What a receiver said to a test message."""

    delivered: bool
    status: int | None
    detail: str | None = Field(description="what went wrong, or the beginning of the answer")
    seconds: float
