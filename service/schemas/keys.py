"""API keys."""

from typing import Annotated

from pydantic import Field

from service.levels import Scope
from service.schemas.common import Utc, View
from service.spec.component import Part
from service.spec.experiment import NewName

MAX_LIFETIME_S = 10 * 366 * 86400


class NewKey(Part):
    """A key to create, for the member who asks."""

    name: NewName = Field(description="where it is used, so that it can be told which one to revoke")
    scope: Scope = Field("admin", description="what it may do at most: read, submit (and read), or all its member may")
    lifetime_s: Annotated[float, Field(gt=0, le=MAX_LIFETIME_S)] | None = Field(
        None, description="seconds until it expires; null: never"
    )


class KeyView(View):
    """A key of the project, without its secret."""

    id: str
    name: str = Field(description="empty: it was made by the operator, or before keys had names")
    member: str
    scope: Scope
    created_at: Utc
    expires_at: Utc | None = Field(description="null: never")
    revoked_at: Utc | None
    open: bool = Field(description="neither revoked nor expired")
    current: bool = Field(description="the one that this request was made with")


class MadeKey(KeyView):
    """A new key."""

    key: str = Field(description="send it as `Authorization: Bearer ...`; it is never shown again")
