"""Readings of probes: documents of a run at a step, which a cut supersedes as it does points."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.db.runs import runs
from service.nonfinite import dumps

MAX_READINGS = 1000  # per run; later ones are dropped


@dataclass(frozen=True)
class StoredReading:
    """A reading of a run or of one of its probe jobs."""

    id: int
    run_id: str
    attempt: int
    step: int
    kind: str
    data: dict[str, Any]
    at: datetime


LOOKS = "relation = 'probe' AND (task -> 'rows') IS NULL"  # with instruments: it does not predict rows
ADD = text(
    """
    INSERT INTO reading (run_id, attempt, step, kind, data)
    SELECT :run_id, :attempt, :step, :kind, cast(:data AS jsonb)
    WHERE (SELECT count(*) FROM reading WHERE run_id = :run_id) < :most
    ON CONFLICT DO NOTHING RETURNING id
    """
)
OF_RUN = text(
    f"""
    SELECT g.id, g.run_id, g.attempt, g.step, g.kind, g.data, g.at
    FROM reading g JOIN attempt a ON a.run_id = g.run_id AND a.attempt = g.attempt
    WHERE g.run_id IN (SELECT id FROM run WHERE id = :run_id OR parent_run_id = :run_id AND {LOOKS})
        AND g.id > :after AND (cast(:kind AS text) IS NULL OR g.kind = :kind)
        AND (a.cut_step IS NULL OR g.step <= a.cut_step AND a.cut_step > a.start_step)
    ORDER BY g.id LIMIT :limit
    """  # noqa: S608  pieces of this file; every value is bound
)

OBSERVED = f"""
    WITH observed AS (
        SELECT id AS observed_id, id FROM run WHERE id = ANY(:run_ids)
        UNION ALL
        SELECT parent_run_id, id FROM run WHERE parent_run_id = ANY(:run_ids) AND {LOOKS})
"""  # noqa: S608  as above
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
    """Insert a reading in a fenced transaction; return its id, or None if it exists or the run has `MAX_READINGS`.

    An attempt has one reading per kind and step, so this is safe to repeat.
    """
    row = {"run_id": run_id, "attempt": attempt, "step": step, "kind": kind, "data": dumps(data), "most": MAX_READINGS}
    found: int | None = connection.execute(ADD, row).scalar_one_or_none()
    return found


def of_run(
    connection: Connection, principal: Principal, run_id: str, kind: str | None, after: int, limit: int
) -> list[StoredReading]:
    """Return the readings of a run and its probe jobs with an id beyond `after`, oldest first.

    An attempt that was cut at its start has none: the next attempt measures that step again.
    """
    runs.get(connection, principal, run_id)
    values = {"run_id": run_id, "kind": kind, "after": after, "limit": limit}
    return [StoredReading(**row) for row in connection.execute(OF_RUN, values).mappings()]


def of_runs(connection: Connection, run_ids: Collection[str]) -> dict[str, list[StoredReading]]:
    """Return the visible readings of each run and its probe jobs, oldest first; at most `MAX_READINGS` per run."""
    found: dict[str, list[StoredReading]] = {run_id: [] for run_id in run_ids}
    for row in connection.execute(OF_RUNS, {"run_ids": list(run_ids)}).mappings():
        fields = dict(row)
        found[fields.pop("observed_id")].append(StoredReading(**fields))
    return {run_id: readings[:MAX_READINGS] for run_id, readings in found.items()}


def newest_ids(connection: Connection, run_ids: Collection[str]) -> dict[str, int]:
    """Return the newest reading's id of each run that has one, its probe jobs included."""
    return {row.observed_id: row.id for row in connection.execute(NEWEST, {"run_ids": list(run_ids)})}
