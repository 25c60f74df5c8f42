"""Signing in, and where somebody is signed in."""

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.common import Utc, View


class SignIn(BaseModel):
    """A sign-in with a key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(min_length=1, max_length=200, description="an API key, `key_....secret`")


class SessionView(View):
    """A browser that is signed in."""

    id: str
    device: str = Field(description="what the browser calls itself (User-Agent)")
    address: str | None = Field(description="where it was last seen")
    key_id: str | None = Field(description="the key that it was signed in with; null: with a password or a provider")
    created_at: Utc
    seen_at: Utc = Field(description="of the last request, to the minute")
    current: bool = Field(description="the one that this request was made with")


class EndedSessions(View):
    """Sessions that were ended."""

    ended: int
