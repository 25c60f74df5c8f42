"""The service's health, and the identity of the caller."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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
    """The owner of the key."""

    key_id: str
    member: str
    role: str
    project: str
    project_id: str
    level: str = Field(description="what this request may do: read, submit, admin (of the project) or server")
    key_expires_at: Utc | None = Field(None, description="null: never, or there is no key")
    key_expires_soon: bool = Field(False, description="within 14 days: rotate it")


class SignIn(BaseModel):
    """A sign-in with a key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(min_length=1, max_length=200, description="an API key, `key_....secret`")


class SignedOut(View):
    """The browser no longer has a key."""

    status: Literal["signed_out"] = "signed_out"
