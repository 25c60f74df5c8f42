"""Routes of API keys: list, create, read, rotate, revoke."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, RuntimeDep, body, id_path, json_body, optional_body
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.db.access import keys
from service.db.access.key_limits import LIMITS
from service.db.access.keys import StoredKey
from service.db.access.principal import Principal
from service.db.session import Connection
from service.schemas.common import Page
from service.schemas.people.keys import KeyView, MadeKey, NewKey, Rotation, expires_soon

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=OneThread)
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
    """List your keys, newest first; an admin gets all of the project."""
    found = keys.page(connection, principal, limit + 1, cursor, closed)
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[_view(each, principal) for each in items], next_cursor=next_cursor)


@router.post("", operation_id="post_key", status_code=201, openapi_extra=json_body(NewKey))
def post_key(
    wanted: Annotated[NewKey, Depends(body(NewKey))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
) -> MadeKey:
    """Create another key for the member who sends the request. Only this response contains it.

    403 for a key with limits of a day: it makes no other.
    """
    said = "lifetime_s" in wanted.model_fields_set
    lifetime_s = wanted.lifetime_s if said else runtime.settings.key_days * 86400
    limits = wanted.model_dump(include=set(LIMITS), exclude_none=True)
    key = keys.create(connection, principal, wanted.name, lifetime_s, wanted.scope, wanted.member, limits)
    return _made(key, principal, connection, response)


@router.get("/{key_id}", operation_id="get_key")
def get_key(key_id: KeyId, principal: PrincipalDep, connection: ConnectionDep) -> KeyView:
    """Return one key of the project."""
    return _view(keys.get(connection, principal, key_id), principal)


@router.post(
    "/{key_id}/rotate", operation_id="rotate_key", status_code=201, openapi_extra=json_body(Rotation, required=False)
)
def rotate_key(
    key_id: KeyId,
    wanted: Annotated[Rotation, Depends(optional_body(Rotation))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
) -> MadeKey:
    """Create a key of the same name, scope, lifetime and limits; the old one ends after the overlap.

    Of your own keys, and as an admin of a service account's.
    """
    return _made(keys.rotate(connection, principal, key_id, wanted.overlap_s), principal, connection, response)


@router.post("/{key_id}/revoke", operation_id="revoke_key", status_code=202)
def revoke_key(key_id: KeyId, principal: PrincipalDep, connection: ConnectionDep) -> KeyView:
    """Revoke a key, with effect from the next request. 409 for the key that sends the request."""
    keys.revoke(connection, principal, key_id)
    return _view(keys.get(connection, principal, key_id), principal)


def _view(stored: StoredKey, principal: Principal) -> KeyView:
    return KeyView.of(stored, current=stored.id == principal.key_id, expires_soon=_ends_soon(stored))


def _made(key: str, principal: Principal, connection: Connection, response: Response) -> MadeKey:
    stored = keys.get(connection, principal, key.partition(".")[0])
    response.headers.update({"Location": f"/v1/keys/{stored.id}", "Cache-Control": "no-store"})
    return MadeKey.of(stored, current=False, expires_soon=_ends_soon(stored), key=key)


def _ends_soon(stored: StoredKey) -> bool:
    return stored.open and expires_soon(stored.expires_at)
