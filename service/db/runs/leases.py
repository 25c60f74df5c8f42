"""Writes of a worker while it holds a run: fence, points, readings, checkpoints. Each is one transaction.

A worker creates its lease (a random id) before it claims a run. Every later write first updates the run
`WHERE lease = :lease AND state = 'running'`. If that updates no row, another worker has the run: `Fenced` is raised and
nothing is written. READ COMMITTED is enough.
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

CHECKPOINTS_KEPT = 2  # per run: if the newest is damaged, the one before is used


FENCE = text(
    """
    UPDATE run SET beat = beat + 1, step = greatest(step, :step)
    WHERE id = :run_id AND lease = :lease AND state = 'running'
    RETURNING CASE WHEN desired = 'run' AND yields_to IS NOT NULL THEN 'yield' ELSE desired END AS desired
    """
)


def fence(connection: Connection, claim: Claim, step: int = 0) -> DesiredState:
    """Count a heartbeat, and return the desired state; raise `Fenced` if the lease is lost. Call it first."""
    row = connection.execute(FENCE, {"run_id": claim.run_id, "lease": claim.lease, "step": step}).one_or_none()
    if row is None:
        raise Fenced(f"run {claim.run_id} is no longer held by this attempt")
    return DesiredState(row.desired)


SET_ENVIRONMENT = text(
    "UPDATE attempt SET environment = cast(:environment AS jsonb) WHERE run_id = :run_id AND attempt = :attempt"
)

ADD_TO_ENVIRONMENT = text(
    "UPDATE attempt SET environment = environment || cast(:more AS jsonb) WHERE run_id = :run_id AND attempt = :attempt"
)


def add_to_environment(connection: Connection, claim: Claim, more: Mapping[str, Any]) -> None:
    """Add what is known at the end of an attempt to its environment; call it in a fenced transaction."""
    row = {"more": dumps(more), "run_id": claim.run_id, "attempt": claim.attempt}
    connection.execute(ADD_TO_ENVIRONMENT, row)


def flush(
    connection: Connection,
    claim: Claim,
    chunks: Mapping[str, Chunk],
    environment: Mapping[str, Any] | None = None,
) -> DesiredState:
    """Write points, and the environment if given; safe to repeat with the same arguments."""
    desired = fence(connection, claim, max((chunk.last_step for chunk in chunks.values()), default=0))
    if environment is not None:
        row = {"environment": dumps(environment), "run_id": claim.run_id, "attempt": claim.attempt}
        connection.execute(SET_ENVIRONMENT, row)
    if chunks:
        ids = write.series_ids(connection, claim.run_id, list(chunks))
        written = {ids[name]: chunk for name, chunk in chunks.items()}
        write.append(
            connection, claim.run_id, claim.attempt, written, [ids[name] for name in claim.minibatch_series(chunks)]
        )
    return desired


def save_reading(
    connection: Connection, claim: Claim, step: int, kind: str, data: Mapping[str, Any], chunks: Mapping[str, Chunk]
) -> DesiredState:
    """Write a probe's reading with the points up to its step, and add an event; safe to repeat."""
    desired = flush(connection, claim, chunks)
    added = probe_results.add(connection, claim.run_id, claim.attempt, step, kind, data)
    if added is not None:
        event = {"id": added, "kind": kind, "step": step}
        events.add(connection, claim.run_id, "reading", event, by=claim.holder, why=f"measured by the probe {kind}")
    return desired


SAVE = text(
    """
    INSERT INTO checkpoint (run_id, attempt, step, folder, sha256, size_bytes, reason, value)
    VALUES (:run_id, :attempt, :step, :folder, :sha256, :size_bytes, :reason, :value) ON CONFLICT DO NOTHING
    """
)
ADVANCE_CHECKPOINT = text(
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
    connection: Connection, claim: Claim, saved: SavedCheckpoint, chunks: Mapping[str, Chunk]
) -> tuple[DesiredState, list[str]]:
    """Write a checkpoint with all points up to its step; return also the folders to delete after the commit."""
    desired = fence(connection, claim, saved.step)
    run = {"run_id": claim.run_id}
    if connection.execute(SAVE, run | {"attempt": claim.attempt} | saved.__dict__).rowcount == 0:
        return desired, list(connection.execute(RETIRED, run).scalars())  # committed before, but the answer was lost
    flush(connection, claim, chunks)
    connection.execute(ADVANCE_CHECKPOINT, run | {"step": saved.step})
    retired = list(
        connection.execute(RETIRE, run | {"kept": CHECKPOINTS_KEPT, "keep_every": _keep_every(claim)}).scalars()
    )
    safe_step = connection.execute(OLDEST_KEPT, run).scalar_one()
    write.compact(connection, claim.run_id, claim.attempt, safe_step)
    data = {"step": saved.step, "attempt": claim.attempt}
    events.add(connection, claim.run_id, "checkpoint", data, by=claim.holder, why=saved.reason)
    return desired, retired


def _keep_every(claim: Claim) -> int | None:
    """Return the interval of the checkpoints that are never retired, if the spec sets one."""
    found: int | None = (claim.spec.get("checkpoint") or {}).get("keep_every")
    return found
