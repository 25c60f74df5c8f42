"""Confirmations: which experiments train a comparison's contestants from fresh seeds.

One comparison has one confirmation: more of them, until one pleases, would bring the luck back. Deleting its
experiments takes it back.
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
    """Have others who want to confirm the same comparison wait until this transaction ends."""
    connection.execute(LOCK, {"comparison_id": comparison_id})


def of_comparison(connection: Connection, comparison_id: str) -> list[StoredConfirmation]:
    """The contestants in the order they were ranked in; none where nothing was confirmed. The caller may see it."""
    query = select(*COLUMNS).where(confirmation.c.comparison_id == comparison_id)
    rows = connection.execute(query.order_by(confirmation.c.created_at, confirmation.c.experiment_id)).mappings()
    return [StoredConfirmation(**row) for row in rows]


def add(connection: Connection, comparison_id: str, contestants: Sequence[StoredConfirmation]) -> None:
    """Store them, in the order they are ranked in."""
    rows = [{**each.__dict__, "comparison_id": comparison_id} for each in contestants]
    for row in rows:
        del row["created_at"]  # the server's clock, read for each row: their times have the same order
    connection.execute(insert(confirmation), rows)
