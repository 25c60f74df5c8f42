"""Signing in, and where somebody is signed in."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.schemas.common import Utc, View

MAX_PASSWORD = 1000  # characters of a request; service.access.password_rules judges shorter ones


class SignIn(BaseModel):
    """A sign-in: with a key, or with a name or e-mail address and a password."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str | None = Field(None, min_length=1, max_length=200, description="an API key, `key_....secret`")
    name: str | None = Field(None, min_length=1, max_length=254, description="of the account, or its e-mail address")
    password: str | None = Field(None, min_length=1, max_length=MAX_PASSWORD)

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        given = (self.key is not None, self.name is not None, self.password is not None)
        if given not in ((True, False, False), (False, True, True)):
            raise ValueError("holds neither `key` alone nor `name` and `password`")
        return self


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
