"""The audit: who did what, when, from where, and by which key. Rows are only ever added."""

from typing import Any

from sqlalchemy import Connection, insert

from service.db.access.principal import Principal
from service.db.tables import audit


def record(
    connection: Connection, principal: Principal, action: str, target: str | None = None, /, **data: Any
) -> None:
    """Add a row in the transaction of what it tells about; `action` is `noun.verb`, `target` the id it happened to."""
    connection.execute(insert(audit).values(**by(principal), action=action, target=target, data=data))


def by(principal: Principal) -> dict[str, str | None]:
    """Return the columns of a row that say who acted; statements that add theirs with other rows bind them."""
    return {
        "project_id": principal.project_id or None,
        "account_id": principal.account_id or None,
        "actor": principal.member,
        "key_id": principal.key_id or None,
        "address": principal.address,
        "request_id": principal.request_id,
    }


def by_nobody(address: str | None, request_id: str | None) -> dict[str, str | None]:
    """Return the same columns for somebody without a valid key."""
    known = {"actor": "nobody", "address": address, "request_id": request_id}
    return {**dict.fromkeys(("project_id", "account_id", "key_id")), **known}
