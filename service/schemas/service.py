"""The service's health, and the identity of the caller."""

from typing import Literal

from pydantic import Field

from service.schemas.common import Utc, View


class Live(View):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Ready(View):
    """Requests can be served."""

    status: Literal["ready"] = "ready"
    migration: str
    broker: str = "none"


class Me(View):
    """Who makes the request."""

    key_id: str = Field(description="empty: signed in without a key")
    session_id: str = Field(description="empty: not signed in, a key came with the request")
    account_id: str
    member: str
    role: str
    project: str
    project_id: str = Field(description="empty: in no project")
    level: str = Field(description="what this request may do: read, submit, admin (of the project) or server")
    key_expires_at: Utc | None = Field(None, description="null: never, or there is no key")
    key_expires_soon: bool = Field(False, description="within 14 days: rotate it")


class SignedOut(View):
    """The session has ended."""

    status: Literal["signed_out"] = "signed_out"
