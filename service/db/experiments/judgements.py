"""Stored judgements of finished verifications and replays, so that later reads need no curves.

Each has a basis: the runs and rule versions that it was drawn from. It holds only while the basis is the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from service.db.tables import judgement

Basis = Sequence[str]


def load(connection: Connection, bases: Mapping[str, Basis]) -> dict[str, dict[str, Any]]:
    """Return the stored results by subject (a verification or a replay run), if their basis is the given one."""
    query = select(judgement).where(judgement.c.subject.in_(bases))
    rows = connection.execute(query).all() if bases else []
    return {row.subject: row.result for row in rows if row.basis == list(bases[row.subject])}


def store(connection: Connection, bases: Mapping[str, Basis], results: Mapping[str, Mapping[str, Any]]) -> None:
    """Store results by subject, in place of earlier ones."""
    rows = [{"subject": subject, "basis": bases[subject], "result": results[subject]} for subject in sorted(results)]
    if rows:
        statement = insert(judgement).values(rows)
        changed = {"basis": statement.excluded.basis, "result": statement.excluded.result}
        connection.execute(statement.on_conflict_do_update(index_elements=["subject"], set_=changed))
