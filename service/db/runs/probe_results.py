"""Readings of probes: documents of a run at a step, superseded by a cut as points are."""

from collections.abc import Collection, Mapping
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

OBSERVED = """
    WITH observed AS (
        SELECT id AS observed_id, id FROM run WHERE id = ANY(:run_ids)
        UNION ALL
        SELECT parent_run_id, id FROM run WHERE parent_run_id = ANY(:run_ids) AND relation = 'probe')
"""
OF_RUNS = text(
    f"""
    {OBSERVED} SELECT o.observed_id, g.id, g.run_id, g.attempt, g.step, g.kind, g.data, g.at
    FROM observed o JOIN reading g ON g.run_id = o.id JOIN attempt a ON a.run_id = g.run_id AND a.attempt = g.attempt
    WHERE a.cut_step IS NULL OR g.step <= a.cut_step AND a.cut_step > a.start_step
    ORDER BY g.id
    """  # noqa: S608  pieces of this file; every value is bound
)
NEWEST = text(
    f"{OBSERVED} SELECT o.observed_id, max(g.id) AS id FROM observed o JOIN reading g ON g.run_id = o.id GROUP BY 1"  # noqa: S608
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


def of_runs(connection: Connection, run_ids: Collection[str]) -> dict[str, list[StoredReading]]:
    """Return the visible readings of each run and of its probes, oldest first; at most `MAX_READINGS` of each."""
    found: dict[str, list[StoredReading]] = {run_id: [] for run_id in run_ids}
    for row in connection.execute(OF_RUNS, {"run_ids": list(run_ids)}).mappings():
        fields = dict(row)
        found[fields.pop("observed_id")].append(StoredReading(**fields))
    return {run_id: readings[:MAX_READINGS] for run_id, readings in found.items()}


def newest_ids(connection: Connection, run_ids: Collection[str]) -> dict[str, int]:
    """Return the id of the newest reading of each run or of its probes; a run without any is left out."""
    return {row.observed_id: row.id for row in connection.execute(NEWEST, {"run_ids": list(run_ids)})}
