"""Routes of API keys: list those of the project, make one, revoke one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from service.api.deps import ConnectionDep, PrincipalDep, body, takes
from service.api.paging import Cursor, Limit, cut
from service.api.views import Page, Utc, View
from service.db import keys
from service.db.keys import StoredKey
from service.db.projects import Principal
from service.spec.component import Part
from service.spec.experiment import NewName

router = APIRouter(prefix="/v1/keys", tags=["keys"])
KeyId = Annotated[str, Path(pattern="^key_[0-9a-hjkmnp-tv-z]{26}$")]
LONGEST_S = 10 * 366 * 86400


class NewKey(Part):
    """A key to be made, for the member whose key asks."""

    name: NewName = Field(description="where it is used, so that it can be told which one to revoke")
    lifetime_s: Annotated[float, Field(gt=0, le=LONGEST_S)] | None = Field(
        None, description="seconds until it expires; null: never"
    )


class KeyView(View):
    """A key of the project, without its secret."""

    id: str
    name: str = Field(description="empty: it was made by the operator, or before keys had names")
    member: str
    created_at: Utc
    expires_at: Utc | None = Field(description="null: never")
    revoked_at: Utc | None
    open: bool = Field(description="neither revoked nor expired")
    current: bool = Field(description="the one that this request was made with")

    @classmethod
    def of(cls, stored: StoredKey, principal: Principal) -> "KeyView":
        """From what is stored."""
        return cls(**stored.__dict__, current=stored.id == principal.key_id)


class MadeKey(KeyView):
    """A new key."""

    key: str = Field(description="send it as `Authorization: Bearer ...`; it is never shown again")


@router.get("", operation_id="list_keys")
def list_keys(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    closed: Annotated[bool, Query(description="revoked and expired ones too")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KeyView]:
    """The project's keys, newest first."""
    found = keys.page(connection, principal, limit + 1, cursor, closed)
    items, following = cut(found, limit, request, response)
    return Page(items=[KeyView.of(each, principal) for each in items], next_cursor=following)


@router.post("", operation_id="post_key", status_code=201, openapi_extra=takes(NewKey))
def post_key(
    wanted: Annotated[NewKey, Depends(body(NewKey))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
) -> MadeKey:
    """Make a further key for the member whose key asks. Only this answer holds it."""
    key = keys.create(connection, principal, wanted.name, wanted.lifetime_s)
    stored = keys.get(connection, principal, key.partition(".")[0])
    response.headers.update({"Location": f"/v1/keys/{stored.id}", "Cache-Control": "no-store"})
    return MadeKey(**KeyView.of(stored, principal).model_dump(), key=key)


@router.get("/{key_id}", operation_id="get_key")
def get_key(key_id: KeyId, principal: PrincipalDep, connection: ConnectionDep) -> KeyView:
    """One key of the project."""
    return KeyView.of(keys.get(connection, principal, key_id), principal)


@router.post("/{key_id}/revoke", operation_id="revoke_key", status_code=202)
def revoke_key(key_id: KeyId, principal: PrincipalDep, connection: ConnectionDep) -> KeyView:
    """End a key: it opens nothing from the next request on. 409 for the key that asks."""
    keys.revoke(connection, principal, key_id)
    return KeyView.of(keys.get(connection, principal, key_id), principal)
