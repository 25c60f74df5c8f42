"""Comparisons: stored questions, answered on every read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from service.db.access.principal import Principal
from service.db.tables import comparison
from service.errors import NotFound
from service.ids import new_id


@dataclass(frozen=True)
class StoredComparison:
    """A question as it was posted."""

    id: str
    question: dict[str, Any]
    created_at: datetime


def add(connection: Connection, principal: Principal, question: dict[str, Any]) -> str:
    """Store a question; return its id."""
    comparison_id = new_id("cmp")
    row = {
        "id": comparison_id,
        "project_id": principal.project_id,
        "owner_id": principal.member_id,
        "question": question,
    }
    connection.execute(insert(comparison).values(row))
    return comparison_id


def get(connection: Connection, principal: Principal, comparison_id: str) -> StoredComparison:
    """Return one question; `NotFound` also for another project's."""
    query = select(comparison).where(comparison.c.id == comparison_id, comparison.c.project_id == principal.project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no comparison {comparison_id}.")
    return StoredComparison(row.id, row.question, row.created_at)
