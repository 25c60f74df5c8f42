"""The run protocol while a worker holds a run: fence, flush, checkpoint. Claiming is in claims, ending in endings.

One transaction each; READ COMMITTED is enough.

A worker makes its lease (a random id) before it claims; every later write of that worker first updates the run
`WHERE lease = mine AND state = 'running'`. No row updated means the run has gone to another: `Fenced`, write nothing.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from service.db.metrics import write
from service.db.metrics.codec import Chunk
from service.db.runs import events, probe_results
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.states import ENDED
from service.errors import Fenced
from service.lifecycle import DesiredState
from service.nonfinite import dumps

CHECKPOINTS_KEPT = 2  # checkpoints kept of a run: a damaged newest one leaves the one before


FENCE = text(
    """
    UPDATE run SET beat = beat + 1, step = greatest(step, :step)
    WHERE id = :run_id AND lease = :lease AND state = 'running' RETURNING desired
    """
)


def fence(connection: Connection, held: Claim, step: int = 0) -> DesiredState:
    """First statement of every later transaction of a worker: a sign of life, and what people wish; or `Fenced`."""
    row = connection.execute(FENCE, {"run_id": held.run_id, "lease": held.lease, "step": step}).one_or_none()
    if row is None:
        raise Fenced(f"run {held.run_id} is no longer held by this attempt")
    return DesiredState(row.desired)


NOTE = text(
    "UPDATE attempt SET environment = cast(:environment AS jsonb) WHERE run_id = :run_id AND attempt = :attempt"
)


def flush(
    connection: Connection,
    held: Claim,
    chunks: Mapping[str, Chunk],
    environment: Mapping[str, Any] | None = None,
) -> DesiredState:
    """Write points, and once what the attempt runs on; safe to repeat with the same arguments."""
    desired = fence(connection, held, max((chunk.last_step for chunk in chunks.values()), default=0))
    if environment is not None:
        row = {"environment": dumps(environment), "run_id": held.run_id, "attempt": held.attempt}
        connection.execute(NOTE, row)
    if chunks:
        ids = write.series_ids(connection, held.run_id, list(chunks))
        written = {ids[name]: chunk for name, chunk in chunks.items()}
        write.append(
            connection, held.run_id, held.attempt, written, [ids[name] for name in held.minibatch_series(chunks)]
        )
    return desired


def save_reading(
    connection: Connection, held: Claim, step: int, kind: str, data: Mapping[str, Any], chunks: Mapping[str, Chunk]
) -> DesiredState:
    """Write what a probe found, with the points up to there, and tell its readers; safe to repeat."""
    desired = flush(connection, held, chunks)
    added = probe_results.add(connection, held.run_id, held.attempt, step, kind, data)
    if added is not None:
        told = {"id": added, "kind": kind, "step": step}
        events.add(connection, held.run_id, "reading", told, by=held.holder, why=f"the probe {kind} has looked")
    return desired


SAVE = text(
    """
    INSERT INTO checkpoint (run_id, attempt, step, folder, sha256, size_bytes, reason, value)
    VALUES (:run_id, :attempt, :step, :folder, :sha256, :size_bytes, :reason, :value) ON CONFLICT DO NOTHING
    """
)
ADVANCE = text(
    """
    UPDATE run SET checkpoint_step = :step, crash_count = 0, lost_count = 0,
        device_count = 0, device_worker = NULL
    WHERE id = :run_id AND checkpoint_step <= :step AND task IS NULL
    """
)
RETIRE = text(
    f"""
    UPDATE checkpoint SET removed_at = clock_timestamp()
    WHERE run_id = :run_id AND removed_at IS NULL AND (attempt, step) NOT IN (
        SELECT attempt, step FROM checkpoint WHERE run_id = :run_id AND NOT damaged AND removed_at IS NULL
        ORDER BY step DESC, attempt DESC LIMIT :kept)
    AND (damaged OR (attempt, step) NOT IN (
            SELECT attempt, step FROM checkpoint WHERE run_id = :run_id AND NOT damaged AND reason = 'best'
            ORDER BY created_at DESC LIMIT 1)
        AND (cast(:keep_every AS bigint) IS NULL OR step % cast(:keep_every AS bigint) <> 0)
        AND NOT EXISTS (SELECT 1 FROM run child WHERE child.parent_run_id = checkpoint.run_id
            AND child.origin_attempt = checkpoint.attempt AND child.origin_step = checkpoint.step
            AND NOT (child.relation = 'probe' AND child.state IN {ENDED})))
    RETURNING folder
    """  # noqa: S608  names of states
)
RETIRED = text("SELECT folder FROM checkpoint WHERE run_id = :run_id AND removed_at IS NOT NULL")
OLDEST_KEPT = text(
    "SELECT coalesce(min(step), 0) FROM checkpoint WHERE run_id = :run_id AND removed_at IS NULL AND NOT damaged"
)


def save_checkpoint(
    connection: Connection, held: Claim, saved: SavedCheckpoint, chunks: Mapping[str, Chunk]
) -> tuple[DesiredState, list[str]]:
    """Make a checkpoint real with all points up to its step. Returns folders that may go once this is committed."""
    desired = fence(connection, held, saved.step)
    run = {"run_id": held.run_id}
    if connection.execute(SAVE, run | {"attempt": held.attempt} | saved.__dict__).rowcount == 0:
        return desired, list(connection.execute(RETIRED, run).scalars())  # all of it was committed, the answer was lost
    flush(connection, held, chunks)
    connection.execute(ADVANCE, run | {"step": saved.step})
    retired = list(
        connection.execute(RETIRE, run | {"kept": CHECKPOINTS_KEPT, "keep_every": _keep_every(held)}).scalars()
    )
    safe_step = connection.execute(OLDEST_KEPT, run).scalar_one()
    write.compact(connection, held.run_id, held.attempt, safe_step)
    data = {"step": saved.step, "attempt": held.attempt}
    events.add(connection, held.run_id, "checkpoint", data, by=held.holder, why=saved.reason)
    return desired, retired


def _keep_every(held: Claim) -> int | None:
    """Every how many steps a checkpoint is kept for good, where the spec says so."""
    found: int | None = (held.spec.get("checkpoint") or {}).get("keep_every")
    return found
