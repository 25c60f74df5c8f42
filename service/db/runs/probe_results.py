"""What probes found that is more than a number: a document of a run at a step, superseded by a cut as points are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.db.access.projects import Principal
from service.db.runs import runs
from service.nonfinite import dumps

MAX_READINGS = 1000  # of a run: what comes later is not kept


@dataclass(frozen=True)
class StoredReading:
    """One document; `run_id` is the run's or that of a probe of it."""

    id: int
    run_id: str
    attempt: int
    step: int
    kind: str
    data: dict[str, Any]
    at: datetime


ADD = text(
    """
    INSERT INTO reading (run_id, attempt, step, kind, data)
    SELECT :run_id, :attempt, :step, :kind, cast(:data AS jsonb)
    WHERE (SELECT count(*) FROM reading WHERE run_id = :run_id) < :most
    ON CONFLICT DO NOTHING RETURNING id
    """
)
OF_RUN = text(
    """
    SELECT g.id, g.run_id, g.attempt, g.step, g.kind, g.data, g.at
    FROM reading g JOIN attempt a ON a.run_id = g.run_id AND a.attempt = g.attempt
    WHERE g.run_id IN (SELECT id FROM run WHERE id = :run_id OR parent_run_id = :run_id AND relation = 'probe')
        AND g.id > :after AND (cast(:kind AS text) IS NULL OR g.kind = :kind)
        AND (a.cut_step IS NULL OR g.step <= a.cut_step AND a.cut_step > a.start_step)
    ORDER BY g.id LIMIT :limit
    """
)


def add(connection: Connection, run_id: str, attempt: int, step: int, kind: str, data: Mapping[str, Any]) -> int | None:
    """Insert it behind the fence of the same transaction; None where it is there already, or the run has enough.

    An attempt reads a kind once a step, so to repeat this is harmless.
    """
    row = {"run_id": run_id, "attempt": attempt, "step": step, "kind": kind, "data": dumps(data), "most": MAX_READINGS}
    found: int | None = connection.execute(ADD, row).scalar_one_or_none()
    return found


def of_run(
    connection: Connection, principal: Principal, run_id: str, kind: str | None, after: int, limit: int
) -> list[StoredReading]:
    """Those of a run and of its probes with an id beyond `after`, oldest first.

    An attempt that was taken up again from where it had started left nothing: it reads that step again.
    """
    runs.get(connection, principal, run_id)
    asked = {"run_id": run_id, "kind": kind, "after": after, "limit": limit}
    return [StoredReading(**row) for row in connection.execute(OF_RUN, asked).mappings()]
