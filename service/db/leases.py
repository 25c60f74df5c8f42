"""The run protocol as a worker sees it: claim, fence, flush, checkpoint, end.

One transaction each; READ COMMITTED is enough.

A worker makes its lease (a random id) before it claims; every later write of that worker first updates the run
`WHERE lease = mine AND state = 'running'`. No row updated means the run has gone to another: `Fenced`, write nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from service.db import events, metrics
from service.db.chunks import Chunk
from service.errors import Fenced
from service.lifecycle import ATTEMPT_BUDGET, CRASH_BUDGET, State, Wish, backoff_s
from service.nonfinite import dumps

KEPT = 2  # checkpoints kept of a run: a damaged newest one leaves the one before


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk: what makes it real is its row."""

    step: int
    folder: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Claim:
    """A run this worker holds."""

    run_id: str
    attempt: int
    lease: str
    seed: int
    spec: dict[str, Any]
    total_steps: int
    checkpoint: SavedCheckpoint | None

    @property
    def start_step(self) -> int:
        """The step of the state the attempt starts from; 0: from the beginning."""
        return self.checkpoint.step if self.checkpoint else 0


CLAIM = text(
    """
    WITH chosen AS (
        SELECT id FROM run
        WHERE state = 'queued' AND pool = ANY(:pools) AND not_before <= clock_timestamp()
        ORDER BY priority DESC, queued_at, id
        FOR UPDATE SKIP LOCKED LIMIT 1)
    UPDATE run r SET state = 'running', attempt = r.attempt + 1, lease = :lease, beat = 0, worker = :worker,
        step = r.checkpoint_step, started_at = coalesce(r.started_at, clock_timestamp())
    FROM chosen WHERE r.id = chosen.id RETURNING r.id
    """
)
HELD = text(
    """
    SELECT r.id, r.attempt, r.seed, r.total_steps, e.spec, c.step, c.folder, c.sha256, c.size_bytes
    FROM run r JOIN experiment e ON e.id = r.experiment_id
    LEFT JOIN checkpoint c ON c.run_id = r.id AND c.step = r.checkpoint_step AND NOT c.damaged
        AND c.attempt = (SELECT max(attempt) FROM checkpoint
                         WHERE run_id = r.id AND step = r.checkpoint_step AND NOT damaged)
    WHERE r.lease = :lease AND r.state = 'running'
    """
)
CUT = text(
    """
    UPDATE attempt SET cut_step = :step,
        ended_at = coalesce(ended_at, clock_timestamp()), ending = coalesce(ending, 'lost')
    WHERE run_id = :run_id AND attempt < :attempt AND (cut_step IS NULL OR cut_step > :step)
    """
)
OPEN_ATTEMPT = text(
    """
    INSERT INTO attempt (run_id, attempt, lease, worker, start_step)
    VALUES (:run_id, :attempt, :lease, :worker, :step)
    """
)
FENCE = text(
    """
    UPDATE run SET beat = beat + 1, step = greatest(step, :step)
    WHERE id = :run_id AND lease = :lease AND state = 'running' RETURNING desired
    """
)


def claim(connection: Connection, pools: Sequence[str], worker: str, lease: str, again: bool = False) -> Claim | None:
    """Take the first waiting run of these pools; `again` with the same lease finds what it may already hold."""
    if again and (held := _held(connection, lease)):
        return held
    if connection.execute(CLAIM, {"pools": list(pools), "lease": lease, "worker": worker}).one_or_none() is None:
        return None
    taken = _held(connection, lease)
    assert taken is not None
    if taken.attempt > 1:
        connection.execute(CUT, {"run_id": taken.run_id, "attempt": taken.attempt, "step": taken.start_step})
        metrics.resummarise(connection, taken.run_id)
        events.add(connection, taken.run_id, "cut", {"from_step": taken.start_step, "attempt": taken.attempt})
    connection.execute(
        OPEN_ATTEMPT,
        {
            "run_id": taken.run_id,
            "attempt": taken.attempt,
            "lease": lease,
            "worker": worker,
            "step": taken.start_step,
        },
    )
    tell_state(connection, taken.run_id, State.RUNNING, {"attempt": taken.attempt, "worker": worker})
    return taken


def _held(connection: Connection, lease: str) -> Claim | None:
    row = connection.execute(HELD, {"lease": lease}).one_or_none()
    if row is None:
        return None
    saved = None if row.step is None else SavedCheckpoint(row.step, row.folder, row.sha256, row.size_bytes)
    return Claim(row.id, row.attempt, lease, row.seed, row.spec, row.total_steps, saved)


def fence(connection: Connection, held: Claim, step: int = 0) -> Wish:
    """First statement of every later transaction of a worker: a sign of life, and what people wish; or `Fenced`."""
    row = connection.execute(FENCE, {"run_id": held.run_id, "lease": held.lease, "step": step}).one_or_none()
    if row is None:
        raise Fenced(f"run {held.run_id} is no longer held by this attempt")
    return Wish(row.desired)


NOTE = text(
    "UPDATE attempt SET environment = cast(:environment AS jsonb) WHERE run_id = :run_id AND attempt = :attempt"
)


def flush(
    connection: Connection,
    held: Claim,
    chunks: Mapping[str, Chunk],
    environment: Mapping[str, Any] | None = None,
) -> Wish:
    """Write points, and once what the attempt runs on; safe to repeat with the same arguments."""
    wish = fence(connection, held, max((chunk.last_step for chunk in chunks.values()), default=0))
    if environment is not None:
        row = {"environment": dumps(environment), "run_id": held.run_id, "attempt": held.attempt}
        connection.execute(NOTE, row)
    if chunks:
        ids = metrics.series_ids(connection, held.run_id, list(chunks))
        metrics.append(connection, held.run_id, held.attempt, {ids[name]: chunk for name, chunk in chunks.items()})
    return wish


SAVE = text(
    """
    INSERT INTO checkpoint (run_id, attempt, step, folder, sha256, size_bytes)
    VALUES (:run_id, :attempt, :step, :folder, :sha256, :size_bytes) ON CONFLICT DO NOTHING
    """
)
ADVANCE = text(
    """
    UPDATE run SET checkpoint_step = :step, crash_count = 0, lost_count = 0
    WHERE id = :run_id AND checkpoint_step <= :step
    """
)
RETIRE = text(
    """
    UPDATE checkpoint SET removed_at = clock_timestamp()
    WHERE run_id = :run_id AND removed_at IS NULL AND (attempt, step) NOT IN (
        SELECT attempt, step FROM checkpoint WHERE run_id = :run_id AND NOT damaged AND removed_at IS NULL
        ORDER BY step DESC, attempt DESC LIMIT :kept)
    RETURNING folder
    """
)
RETIRED = text("SELECT folder FROM checkpoint WHERE run_id = :run_id AND removed_at IS NOT NULL")
OLDEST_KEPT = text(
    "SELECT coalesce(min(step), 0) FROM checkpoint WHERE run_id = :run_id AND removed_at IS NULL AND NOT damaged"
)


def save_checkpoint(
    connection: Connection, held: Claim, saved: SavedCheckpoint, chunks: Mapping[str, Chunk]
) -> tuple[Wish, list[str]]:
    """Make a checkpoint real with all points up to its step. Returns folders that may go once this is committed."""
    wish = fence(connection, held, saved.step)
    run = {"run_id": held.run_id}
    if connection.execute(SAVE, run | {"attempt": held.attempt} | saved.__dict__).rowcount == 0:
        return wish, list(connection.execute(RETIRED, run).scalars())  # all of it was committed, the answer was lost
    flush(connection, held, chunks)
    connection.execute(ADVANCE, run | {"step": saved.step})
    retired = list(connection.execute(RETIRE, run | {"kept": KEPT}).scalars())
    safe_step = connection.execute(OLDEST_KEPT, run).scalar_one()
    metrics.compact(connection, held.run_id, held.attempt, safe_step)
    events.add(connection, held.run_id, "checkpoint", {"step": saved.step, "attempt": held.attempt})
    return wish, retired


DAMAGED = text("UPDATE checkpoint SET damaged = true WHERE run_id = :run_id AND folder = :folder AND NOT damaged")
FALL_BACK = text(
    """
    UPDATE run SET checkpoint_step = coalesce((SELECT max(step) FROM checkpoint
        WHERE run_id = :run_id AND NOT damaged AND removed_at IS NULL), 0)
    WHERE id = :run_id
    """
)


def quarantine(connection: Connection, held: Claim, folder: str) -> None:
    """Mark a checkpoint that cannot be read; the run goes back to the good one before, and queues again."""
    fence(connection, held)
    connection.execute(DAMAGED, {"run_id": held.run_id, "folder": folder})
    connection.execute(FALL_BACK, {"run_id": held.run_id})
    events.add(connection, held.run_id, "checkpoint_damaged", {"folder_name": folder.rsplit("/", 1)[-1]})
    _leave(connection, held, State.QUEUED, "checkpoint_damaged")


END = text(
    """
    UPDATE run SET state = :state, lease = NULL, desired = CASE WHEN :state = 'queued' THEN desired ELSE 'run' END,
        crash_count = crash_count + :crashes, failure = cast(:failure AS jsonb),
        not_before = clock_timestamp() + make_interval(secs => :wait_s),
        queued_at = CASE WHEN :state = 'queued' THEN clock_timestamp() ELSE queued_at END,
        finished_at = CASE WHEN :state IN ('succeeded', 'failed', 'cancelled') THEN clock_timestamp() END
    WHERE id = :run_id AND lease = :lease AND state = 'running'
    """
)
CLOSE_ATTEMPT = text(
    """
    UPDATE attempt SET ended_at = clock_timestamp(), ending = :ending, detail = :detail
    WHERE run_id = :run_id AND attempt = :attempt AND ended_at IS NULL
    """
)
ENDED = text("SELECT ending FROM attempt WHERE run_id = :run_id AND attempt = :attempt AND lease = :lease")


def already_ended(connection: Connection, held: Claim) -> bool:
    """Whether this attempt's end is recorded: asked when the answer to a COMMIT was lost."""
    run = {"run_id": held.run_id, "attempt": held.attempt, "lease": held.lease}
    return connection.execute(ENDED, run).scalar_one_or_none() is not None


def finish(
    connection: Connection,
    held: Claim,
    state: State,
    chunks: Mapping[str, Chunk],
    failure: Mapping[str, Any] | None = None,
    detail: str | None = None,
) -> None:
    """End the run, with its last points: succeeded, cancelled, paused, or failed for good (`failure` says why).

    `detail` goes with the attempt: which stop rule ended it before its last step.
    """
    flush(connection, held, chunks)
    if state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        metrics.compact(connection, held.run_id, held.attempt, 2**62)
    _leave(connection, held, state, state.value, detail, failure)


def give_back(connection: Connection, held: Claim, chunks: Mapping[str, Chunk]) -> None:
    """Queue the run again without counting a failure: the worker drains."""
    flush(connection, held, chunks)
    _leave(connection, held, State.QUEUED, "drained")


def crashed(connection: Connection, held: Claim, kind: str, detail: str, evidence: Mapping[str, Any]) -> State:
    """The trainer died: queue again, or fail once the budget is spent; a wished cancel or pause is granted."""
    wish = fence(connection, held)
    row = connection.execute(
        text("SELECT crash_count + 1 AS crashes, attempt FROM run WHERE id = :id"), {"id": held.run_id}
    ).one()
    state = {Wish.CANCEL: State.CANCELLED, Wish.PAUSE: State.PAUSED, Wish.RUN: State.QUEUED}[wish]
    failure = None
    if state is State.QUEUED and (row.crashes >= CRASH_BUDGET or row.attempt >= ATTEMPT_BUDGET):
        state = State.FAILED
        failure = {
            "code": "crash_loop",
            "detail": f"The trainer died {row.crashes} times without a new checkpoint; the last time: {detail}",
            "evidence": {"last_kind": kind, **evidence},
        }
    _leave(connection, held, state, kind, detail, failure, crashes=1, wait_s=backoff_s(row.crashes))
    return state


def _leave(
    connection: Connection,
    held: Claim,
    state: State,
    ending: str,
    detail: str | None = None,
    failure: Mapping[str, Any] | None = None,
    crashes: int = 0,
    wait_s: float = 0.0,
) -> None:
    run = {"run_id": held.run_id}
    connection.execute(
        END,
        run
        | {"lease": held.lease, "state": state.value, "crashes": crashes, "wait_s": wait_s}
        | {"failure": None if failure is None else dumps(failure)},
    )
    connection.execute(CLOSE_ATTEMPT, run | {"attempt": held.attempt, "ending": ending, "detail": detail})
    data: dict[str, Any] = {"attempt": held.attempt, "ending": ending} | ({"detail": detail} if detail else {})
    tell_state(connection, held.run_id, state, data | ({"failure": dict(failure)} if failure else {}))


def tell_state(connection: Connection, run_id: str, state: State, data: dict[str, Any]) -> None:
    """Record a change of state in the transaction that makes it."""
    events.add(connection, run_id, "state", {"state": state.value, **data})
