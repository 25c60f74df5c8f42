"""Reading the audit: newest first, filtered, a page at a time; and erasing what is old, as the owner of the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from service.db.tables import audit, project


@dataclass(frozen=True)
class AuditFilter:
    """Which rows; a project of None means all, and rows of none."""

    project_id: str | None
    actor: str | None = None
    action: str | None = None  # `noun.verb`, or a noun for all its verbs
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as SQL."""
        wanted: Mapping[ColumnElement[Any], Any] = {
            audit.c.project_id: self.project_id,
            audit.c.actor: self.actor,
            audit.c.target: self.target,
        }
        made = [column == value for column, value in wanted.items() if value is not None]
        if self.action is not None:
            exact = "." in self.action
            made.append(audit.c.action == self.action if exact else audit.c.action.startswith(f"{self.action}."))
        if self.since is not None:
            made.append(audit.c.at >= self.since)
        if self.until is not None:
            made.append(audit.c.at < self.until)
        return made


@dataclass(frozen=True)
class AuditEntry:
    """A row of the audit."""

    id: int
    at: datetime
    project: str | None
    actor: str
    account_id: str | None
    key_id: str | None
    address: str | None
    request_id: str | None
    action: str
    target: str | None
    data: dict[str, Any]


def page(connection: Connection, chosen: AuditFilter, limit: int, before: int | None = None) -> list[AuditEntry]:
    """Return the newest `limit` rows whose id is below `before`."""
    columns = [audit.c[name] for name in AuditEntry.__dataclass_fields__ if name != "project"]
    query = select(*columns, project.c.name.label("project")).outerjoin(project, project.c.id == audit.c.project_id)
    query = query.where(*chosen.conditions()).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [AuditEntry(**row) for row in connection.execute(query).mappings()]


def add_all(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows that were counted apart from any transaction, as refused requests are."""
    connection.execute(insert(audit), [dict(row) for row in rows])


def erase_old(connection: Connection, days: int) -> int:
    """Delete rows older than so many days; only the owner of the tables may."""
    old = func.clock_timestamp() - timedelta(days=days)
    return connection.execute(delete(audit).where(audit.c.at < old)).rowcount
