"""Confirmations: which experiments train a comparison's contestants from fresh seeds.

A comparison has one confirmation: repeating it until one pleases would select by luck again. Deleting its
experiments deletes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, text

from service.db.tables import confirmation


@dataclass(frozen=True)
class StoredConfirmation:
    """A contestant as it was chosen, and the experiment that trains it anew."""

    label: str
    trial_id: str
    trials: int  # it was chosen from
    experiment_id: str
    created_at: datetime | None = None


COLUMNS = [confirmation.c[name] for name in StoredConfirmation.__dataclass_fields__]
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:comparison_id, 2))")


def lock(connection: Connection, comparison_id: str) -> None:
    """Lock the comparison's confirmation until this transaction ends."""
    connection.execute(LOCK, {"comparison_id": comparison_id})


def of_comparison(connection: Connection, comparison_id: str) -> list[StoredConfirmation]:
    """Return the contestants by rank; none where nothing was confirmed. The caller checks access."""
    query = select(*COLUMNS).where(confirmation.c.comparison_id == comparison_id)
    rows = connection.execute(query.order_by(confirmation.c.created_at, confirmation.c.experiment_id)).mappings()
    return [StoredConfirmation(**row) for row in rows]


def add(connection: Connection, comparison_id: str, contestants: Sequence[StoredConfirmation]) -> None:
    """Store the contestants in the order of their ranks."""
    rows = [{**each.__dict__, "comparison_id": comparison_id} for each in contestants]
    for row in rows:
        del row["created_at"]  # the server's clock, read for each row: their times have the same order
    connection.execute(insert(confirmation).values(rows))
