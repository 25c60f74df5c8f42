"""Writes of a worker while it holds a run: fence, points, readings, checkpoints. Each is one transaction.

A worker creates its lease (a random id) before it claims a run. Every later write first updates the run
`WHERE lease = :lease AND state = 'running'`. If that updates no row, another worker has the run: `Fenced` is raised and
nothing is written. READ COMMITTED is enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    UPDATE run SET beat = beat + 1, step = greatest(step, given.reached)
    FROM unnest(cast(:run_ids AS text[]), cast(:leases AS text[]), cast(:steps AS bigint[]))
        AS given(run_id, held_by, reached)
    WHERE id = given.run_id AND lease = given.held_by AND state = 'running'
    RETURNING given.held_by AS lease,
        CASE WHEN desired = 'run' AND yields_to IS NOT NULL THEN 'yield' ELSE desired END AS desired
    """
)


def fence(connection: Connection, claim: Claim, step: int = 0) -> DesiredState:
    """Count a heartbeat, and return the desired state; raise `Fenced` if the lease is lost. Call it first."""
    return _of_one(claim, fence_all(connection, [(claim, step)]))


BEATS = text(
    """
    SELECT lease, beat FROM run
    WHERE id = ANY(cast(:run_ids AS text[])) AND lease = ANY(cast(:leases AS text[])) AND state = 'running'
    """
)


def beats(connection: Connection, claims: Sequence[Claim]) -> dict[str, int]:
    """Return the heartbeats counted so far, by the leases that hold. Only the holder's transactions raise them."""
    given = {"run_ids": [claim.run_id for claim in claims], "leases": [claim.lease for claim in claims]}
    return {row.lease: row.beat for row in connection.execute(BEATS, given)}


def fence_all(connection: Connection, claims: Sequence[tuple[Claim, int]]) -> dict[str, DesiredState]:
    """Count a heartbeat of each run, which has come to a step; return the desired states by the leases that hold."""
    given = {
        "run_ids": [claim.run_id for claim, _ in claims],
        "leases": [claim.lease for claim, _ in claims],
        "steps": [step for _, step in claims],
    }
    return {row.lease: DesiredState(row.desired) for row in connection.execute(FENCE, given)}


def _of_one(claim: Claim, found: Mapping[str, DesiredState]) -> DesiredState:
    if claim.lease not in found:
        raise Fenced(f"run {claim.run_id} is no longer held by this attempt")
    return found[claim.lease]


SET_ENVIRONMENT = text(
    """
    UPDATE attempt SET environment = given.environment
    FROM unnest(cast(:run_ids AS text[]), cast(:attempts AS int[]), cast(:environments AS jsonb[]))
        AS given(of_run, of_attempt, environment)
    WHERE run_id = given.of_run AND attempt = given.of_attempt
    """
)

ADD_TO_ENVIRONMENT = text(
    "UPDATE attempt SET environment = environment || cast(:more AS jsonb) WHERE run_id = :run_id AND attempt = :attempt"
)


def add_to_environment(connection: Connection, claim: Claim, more: Mapping[str, Any]) -> None:
    """Add what is known at the end of an attempt to its environment; call it in a fenced transaction."""
    row = {"more": dumps(more), "run_id": claim.run_id, "attempt": claim.attempt}
    connection.execute(ADD_TO_ENVIRONMENT, row)


@dataclass(frozen=True)
class Flush:
    """What an attempt writes as it goes on: points, and its environment once; nothing of it is a heartbeat."""

    claim: Claim
    chunks: Mapping[str, Chunk]
    environment: Mapping[str, Any] | None = None

    @property
    def step(self) -> int:
        """The last step of its points; 0 without points."""
        return max((chunk.last_step for chunk in self.chunks.values()), default=0)


def flush(
    connection: Connection,
    claim: Claim,
    chunks: Mapping[str, Chunk],
    environment: Mapping[str, Any] | None = None,
) -> DesiredState:
    """Write points, and the environment if given; safe to repeat with the same arguments."""
    return _of_one(claim, flush_all(connection, [Flush(claim, chunks, environment)]))


def flush_all(connection: Connection, flushes: Sequence[Flush]) -> dict[str, DesiredState]:
    """Write what several attempts have, in as many statements as for one; return the states by the leases that hold.

    Nothing is written for the others.
    """
    desired = fence_all(connection, [(each.claim, each.step) for each in flushes])
    held = [each for each in flushes if each.claim.lease in desired]
    _set_environments(connection, [each for each in held if each.environment is not None])
    _append(connection, [each for each in held if each.chunks])
    return desired


def _set_environments(connection: Connection, flushes: Sequence[Flush]) -> None:
    if flushes:
        given = {
            "run_ids": [each.claim.run_id for each in flushes],
            "attempts": [each.claim.attempt for each in flushes],
            "environments": [dumps(each.environment) for each in flushes],
        }
        connection.execute(SET_ENVIRONMENT, given)


def _append(connection: Connection, flushes: Sequence[Flush]) -> None:
    if not flushes:
        return
    ids = write.series_ids_of_all(connection, {each.claim.run_id: each.chunks for each in flushes})
    new = []
    for each in flushes:
        run_id, averaged = each.claim.run_id, set(each.claim.minibatch_series(each.chunks))
        new += [
            write.NewChunk(run_id, each.claim.attempt, ids[run_id][name], chunk, name in averaged)
            for name, chunk in each.chunks.items()
        ]
    write.append(connection, new)


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
    if chunks:
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
