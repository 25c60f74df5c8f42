"""Routes of all accounts of the server, for its admins."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, id_path
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.db.access import accounts, audit, invitations
from service.db.access.accounts import Account
from service.db.messages import channels
from service.db.session import Connection
from service.errors import Conflict, NotFound
from service.schemas.common import Page
from service.schemas.people.accounts import PasswordLink, ServerAccountView

router = APIRouter(prefix="/v1/admin/accounts", tags=["people"], route_class=OneThread)
AccountId = Annotated[str, id_path("acc")]
LINK_S = 86400.0  # seconds that a link to a new password works


@router.get("", operation_id="list_accounts")
def list_accounts(
    connection: ConnectionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> Page[ServerAccountView]:
    """List every account of the server, newest first."""
    found = accounts.page(connection, limit + 1, cursor)
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[ServerAccountView.of(each) for each in items], next_cursor=next_cursor)


@router.post("/{account_id}/disable", operation_id="disable_account", status_code=202)
def disable_account(account_id: AccountId, principal: PrincipalDep, connection: ConnectionDep) -> ServerAccountView:
    """Stop an account at once: its sessions end, keys and password open nothing, its address is free. Runs go on."""
    found = _look(connection, account_id)
    if account_id == principal.account_id:
        raise Conflict("You cannot disable your own account: another server admin can.")
    if accounts.disable(connection, account_id):
        channels.stop_of(connection, "the account of its maker was disabled", account_id=account_id)
        audit.record(connection, replace(principal, project_id=""), "account.disable", account_id, email=found.email)
    return ServerAccountView.of(_look(connection, account_id))


@router.post("/{account_id}/enable", operation_id="enable_account", status_code=202)
def enable_account(account_id: AccountId, principal: PrincipalDep, connection: ConnectionDep) -> ServerAccountView:
    """Let an account in again. Its keys work as before; sessions and stopped channels stay ended."""
    _look(connection, account_id)
    if accounts.enable(connection, account_id):
        audit.record(connection, replace(principal, project_id=""), "account.enable", account_id)
    return ServerAccountView.of(_look(connection, account_id))


def _look(connection: Connection, account_id: str) -> Account:
    found = accounts.look(connection, account_id)
    if found is None:
        raise NotFound(f"There is no account {account_id}.")
    return found


@router.post("/{account_id}/password_link", operation_id="post_password_link", status_code=201)
def post_password_link(account_id: AccountId, principal: PrincipalDep, connection: ConnectionDep) -> PasswordLink:
    """Make a link by which somebody sets a new password, within a day and once. Only this response contains it."""
    found = accounts.look(connection, account_id)
    if found is None or found.kind != "person":
        raise NotFound(f"There is no account {account_id} of a person.")
    token = invitations.create(connection, principal.member, LINK_S, account_id=account_id)
    audit.record(connection, principal, "password.link", account_id)
    return PasswordLink(token=token, expires_at=invitations.look(connection, token).expires_at)
