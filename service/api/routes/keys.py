"""Routes of API keys: list, create, read, revoke."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, body, id_path, json_body
from service.api.paging import Cursor, Limit, page_of
from service.db.access import keys
from service.db.access.keys import StoredKey
from service.db.access.principal import Principal
from service.schemas.common import Page
from service.schemas.keys import KeyView, MadeKey, NewKey

router = APIRouter(prefix="/v1/keys", tags=["keys"])
KeyId = Annotated[str, id_path("key")]


@router.get("", operation_id="list_keys")
def list_keys(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    closed: Annotated[bool, Query(description="include revoked and expired keys")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[KeyView]:
    """List the project's keys, newest first."""
    found = keys.page(connection, principal, limit + 1, cursor, closed)
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[_view(each, principal) for each in items], next_cursor=next_cursor)


@router.post("", operation_id="post_key", status_code=201, openapi_extra=json_body(NewKey))
def post_key(
    wanted: Annotated[NewKey, Depends(body(NewKey))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
) -> MadeKey:
    """Create another key for the member who sends the request. Only this response contains it."""
    key = keys.create(connection, principal, wanted.name, wanted.lifetime_s, wanted.scope)
    stored = keys.get(connection, principal, key.partition(".")[0])
    response.headers.update({"Location": f"/v1/keys/{stored.id}", "Cache-Control": "no-store"})
    return MadeKey.of(stored, current=False, key=key)


@router.get("/{key_id}", operation_id="get_key")
def get_key(key_id: KeyId, principal: PrincipalDep, connection: ConnectionDep) -> KeyView:
    """Return one key of the project."""
    return _view(keys.get(connection, principal, key_id), principal)


@router.post("/{key_id}/revoke", operation_id="revoke_key", status_code=202)
def revoke_key(key_id: KeyId, principal: PrincipalDep, connection: ConnectionDep) -> KeyView:
    """Revoke a key, with effect from the next request. 409 for the key that sends the request."""
    keys.revoke(connection, principal, key_id)
    return _view(keys.get(connection, principal, key_id), principal)


def _view(stored: StoredKey, principal: Principal) -> KeyView:
    return KeyView.of(stored, current=stored.id == principal.key_id)
