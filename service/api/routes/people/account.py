"""Routes of one's own account."""

from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Request

from service.access.password_rules import check_password
from service.api.dependencies import ConnectionDep, PrincipalDep, RuntimeDep, body, json_body, open_transaction
from service.api.one_thread import OneThread
from service.api.sign_in import with_password
from service.db.access import accounts, audit, invitations, sessions
from service.db.access.accounts import Account
from service.db.access.principal import Principal
from service.db.session import Connection
from service.schemas.people.accounts import AccountChange, AccountView, PasswordChange

router = APIRouter(prefix="/v1/account", tags=["people"], route_class=OneThread)


@router.get("", operation_id="get_account")
def get_account(principal: PrincipalDep, runtime: RuntimeDep, connection: ConnectionDep) -> AccountView:
    """Return your account."""
    return _view(connection, principal.account_id, runtime.settings.open_projects)


@router.patch("", operation_id="patch_account", openapi_extra=json_body(AccountChange))
def patch_account(
    change: Annotated[AccountChange, Depends(body(AccountChange))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
) -> AccountView:
    """Change the e-mail address that you may sign in with."""
    accounts.set_email(connection, principal.account_id, change.email)
    audit.record(connection, principal, "account.change", principal.account_id)
    return _view(connection, principal.account_id, runtime.settings.open_projects)


@router.put("/password", operation_id="put_password", openapi_extra=json_body(PasswordChange))
async def put_password(
    change: Annotated[PasswordChange, Depends(body(PasswordChange))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    request: Request,
) -> AccountView:
    """Change your password, which ends your other sessions."""
    async with open_transaction(runtime) as connection:
        account = await anyio.to_thread.run_sync(accounts.get, connection, principal.account_id)
    if account.password_hash is not None:
        await with_password(runtime, account.name, change.current or "", request, "/current")
    check_password(change.password, names_of(account))
    hashed = await runtime.passwords.hash(change.password)
    async with open_transaction(runtime) as connection:
        await anyio.to_thread.run_sync(set_password, connection, principal, account.id, hashed)
        return await anyio.to_thread.run_sync(_view, connection, account.id, runtime.settings.open_projects)


def set_password(connection: Connection, principal: Principal, account_id: str, hashed: str) -> None:
    """Store a password; end every session of the account but the principal's, and other links to a new password."""
    accounts.set_password(connection, account_id, hashed)
    invitations.end_password_links(connection, account_id)
    ended = sessions.end_others(connection, principal)
    audit.record(connection, principal, "password.change", account_id, sessions_ended=ended)


def names_of(account: Account) -> tuple[str, ...]:
    """Return what the account's password must not be."""
    return account.name, *(account.email or "").split("@")[:1]


def _view(connection: Connection, account_id: str, open_projects: bool) -> AccountView:
    found = accounts.get(connection, account_id)
    return AccountView.of(
        found,
        server_admin=found.admin,
        makes_projects=found.admin or open_projects,
        has_password=found.password_hash is not None,
        providers=accounts.identities(connection, account_id),
    )
