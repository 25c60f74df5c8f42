"""Checkpoints as people see them, and which of those on the disk no row needs. What workers write is in leases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select, text

from service.db.access.projects import Principal
from service.db.runs import runs
from service.db.tables import checkpoint
from service.errors import NotFound


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint as its row says; `removed_at` is set once it is no longer kept."""

    run_id: str
    attempt: int
    step: int
    reason: str
    value: float | None
    folder: str
    sha256: str
    size_bytes: int
    damaged: bool
    created_at: datetime
    removed_at: datetime | None


COLUMNS = [checkpoint.c[name] for name in StoredCheckpoint.__dataclass_fields__]


LISTED = 1000  # checkpoints of one run


def _stored(row: RowMapping) -> StoredCheckpoint:
    return StoredCheckpoint(**row)


def of_run(connection: Connection, principal: Principal, run_id: str) -> list[StoredCheckpoint]:
    """The checkpoints a run has or had, newest first."""
    runs.get(connection, principal, run_id)
    query = select(*COLUMNS).where(checkpoint.c.run_id == run_id)
    query = query.order_by(checkpoint.c.step.desc(), checkpoint.c.attempt.desc()).limit(LISTED)
    return [_stored(row) for row in connection.execute(query).mappings()]


def at(connection: Connection, principal: Principal, run_id: str, step: int) -> StoredCheckpoint:
    """The newest good one at a step, or `NotFound`, which says where there are some."""
    found = of_run(connection, principal, run_id)
    kept = [each for each in found if each.removed_at is None and not each.damaged]
    for each in kept:
        if each.step == step:
            return each
    there = [each for each in found if each.step == step]
    what = f"There is none at step {step}"
    if there:
        damaged = any(each.damaged for each in there)
        what = f"The one at step {step} " + ("was found damaged" if damaged else "is no longer kept")
    steps = ", ".join(str(number) for number in sorted({each.step for each in kept})) or "none"
    raise NotFound(f"{what}; kept are those at: {steps}.")


OVER = text(
    """
    SELECT run_id || '/a' || attempt || '-' || left(lease, 8) FROM attempt
    WHERE run_id = ANY(:run_ids) AND ended_at IS NOT NULL
    """
)
NAMED = text("SELECT folder FROM checkpoint WHERE run_id = ANY(:run_ids) AND removed_at IS NULL")
SOME = 500  # runs asked about in one statement


def orphans(connection: Connection, keys: Iterable[str]) -> list[str]:
    """Of `keys` (<run>/a<attempt>-<lease>/<folder>) those that no row names and whose attempt is over.

    Look at the disk first and ask afterwards: an attempt that is over names nothing new. What belongs to no attempt
    that this database knows is left alone: it may be another database's.
    """
    by_run: dict[str, list[str]] = {}
    for key in keys:
        by_run.setdefault(key.split("/", 1)[0], []).append(key)
    found: list[str] = []
    for first in range(0, len(by_run), SOME):
        run_ids = list(by_run)[first : first + SOME]
        over = set(connection.execute(OVER, {"run_ids": run_ids}).scalars())
        named = _ends(connection.execute(NAMED, {"run_ids": run_ids}).scalars().all())
        found += [
            key for run_id in run_ids for key in by_run[run_id] if key not in named and key.rpartition("/")[0] in over
        ]
    return found


def _ends(locations: Sequence[str]) -> set[str]:
    return {"/".join(location.rstrip("/").split("/")[-3:]) for location in locations}
