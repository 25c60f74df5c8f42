"""The run protocol while a worker holds a run: claim, fence, flush, checkpoint. How it ends is in endings.

One transaction each; READ COMMITTED is enough.

A worker makes its lease (a random id) before it claims; every later write of that worker first updates the run
`WHERE lease = mine AND state = 'running'`. No row updated means the run has gone to another: `Fenced`, write nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from service.db.metrics import write
from service.db.metrics.codec import Chunk
from service.db.runs import checkpoints, events, probe_results
from service.db.states import ENDED
from service.errors import Fenced
from service.lifecycle import DesiredState, State
from service.nonfinite import dumps
from service.spec.measures import is_per_minibatch, trains_on_minibatches

CHECKPOINTS_KEPT = 2  # checkpoints kept of a run: a damaged newest one leaves the one before


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk: what makes it real is its row."""

    step: int
    folder: str
    sha256: str
    size_bytes: int
    reason: str = "due"  # due, best, end, wish or escape
    value: float | None = None  # of the watched series, where it is the best


@dataclass(frozen=True)
class Claim:
    """A run this worker holds."""

    run_id: str
    attempt: int
    lease: str
    seed: int
    spec: dict[str, Any]
    total_steps: int
    checkpoint: SavedCheckpoint | None  # its own, or the one of its parent that it starts from
    forked: bool = False  # whether `checkpoint` is of another run, whose spec was another
    trained_s: float = 0.0  # in the attempts before
    limit_s: float | None = None  # longest training time
    worker: str = ""
    task: dict[str, Any] | None = None  # what to do with the state instead of training on from it
    references: Mapping[str, tuple[SavedCheckpoint, ...]] = field(default_factory=dict)  # that a probe compares with

    @property
    def start_step(self) -> int:
        """The step of the state that the attempt starts from; 0: the beginning."""
        return self.checkpoint.step if self.checkpoint else 0

    def minibatch_series(self, names: Iterable[str]) -> list[str]:
        """Return those of these series that have one value per minibatch."""
        return [name for name in names if is_per_minibatch(name)] if trains_on_minibatches(self.spec) else []

    @property
    def holder(self) -> str:
        """The holder's name in events."""
        return f"worker {self.worker}"


CLAIM = text(
    """
    WITH RECURSIVE contender AS (
        SELECT p.pool, first.needs, first.project_id FROM unnest(cast(:pools AS text[])) AS p(pool)
        CROSS JOIN LATERAL (SELECT needs, project_id FROM run WHERE state = 'queued' AND pool = p.pool
            ORDER BY needs, project_id LIMIT 1) first
        UNION ALL
        SELECT c.pool, next.needs, next.project_id FROM contender c
        CROSS JOIN LATERAL (SELECT needs, project_id FROM run
            WHERE state = 'queued' AND pool = c.pool AND (needs, project_id) > (c.needs, c.project_id)
            ORDER BY needs, project_id LIMIT 1) next),
    share AS (SELECT pool, project_id, count(*) AS runs FROM run WHERE state = 'running' GROUP BY pool, project_id),
    turn AS MATERIALIZED (
        SELECT c.pool, c.needs, c.project_id FROM contender c
        CROSS JOIN LATERAL (SELECT rank_at FROM run
            WHERE state = 'queued' AND pool = c.pool AND needs = c.needs AND project_id = c.project_id
                AND not_before <= clock_timestamp()
            ORDER BY rank_at, id LIMIT 1) head
        LEFT JOIN share s ON s.pool = c.pool AND s.project_id = c.project_id
        WHERE c.needs <@ cast(:packages AS text[])
        ORDER BY coalesce(s.runs, 0), head.rank_at, c.project_id),
    chosen AS (
        SELECT next.id FROM turn t
        CROSS JOIN LATERAL (SELECT id FROM run
            WHERE state = 'queued' AND pool = t.pool AND needs = t.needs AND project_id = t.project_id
                AND not_before <= clock_timestamp()
            ORDER BY rank_at, id FOR UPDATE SKIP LOCKED LIMIT 1) next
        LIMIT 1),
    taken AS (
        UPDATE run r SET state = 'running', attempt = r.attempt + 1, lease = :lease, beat = 0, worker = :worker,
            step = r.checkpoint_step, started_at = coalesce(r.started_at, clock_timestamp())
        FROM chosen WHERE r.id = chosen.id
        RETURNING r.id, r.experiment_id, r.project_id, r.attempt, r.seed, r.total_steps, r.worker, r.trained_s,
            r.limit_s, r.task, r.attempt = 1 AND r.parent_run_id IS NULL AS fresh),
    told AS (
        INSERT INTO event (project_id, run_id, kind, data) SELECT project_id, id, 'state', jsonb_build_object(
            'state', 'running', 'attempt', attempt, 'worker', worker, 'by', 'worker ' || worker, 'why', 'claimed')
        FROM taken WHERE fresh)
    SELECT t.id, t.attempt, t.seed, t.total_steps, t.worker, t.trained_s, t.limit_s, t.task, t.fresh, e.spec,
        NULL AS step, NULL AS forked
    FROM taken t JOIN experiment e ON e.id = t.experiment_id
    """
)
HELD = text(
    """
    WITH RECURSIVE line AS (
        SELECT r.parent_run_id, r.relation, r.origin_attempt, r.origin_step, r.origin_step AS start
        FROM run r WHERE r.lease = :lease AND r.state = 'running'
        UNION ALL
        SELECT p.parent_run_id, p.relation, p.origin_attempt, p.origin_step, l.start
        FROM line l JOIN run p ON p.id = l.parent_run_id
        WHERE (l.start > 0 OR l.relation <> 'fork') AND (l.origin_attempt IS NULL OR l.origin_step <> l.start)),
    origin AS (SELECT * FROM line WHERE origin_attempt IS NOT NULL AND origin_step = start)
    SELECT r.id, r.attempt, r.seed, r.total_steps, r.worker, r.trained_s, r.limit_s, r.task, e.spec,
        c.step, c.folder, c.sha256, c.size_bytes, c.reason, c.value,
        c.run_id <> r.id AND EXISTS (SELECT 1 FROM line WHERE relation = 'fork') AS forked
    FROM run r JOIN experiment e ON e.id = r.experiment_id
    LEFT JOIN LATERAL (
        SELECT c.* FROM checkpoint c LEFT JOIN origin o
            ON c.run_id = o.parent_run_id AND c.attempt = o.origin_attempt AND c.step = o.origin_step
        WHERE c.step = r.checkpoint_step
            AND (c.run_id = r.id AND r.task IS NULL AND NOT c.damaged OR o.origin_step IS NOT NULL)
        ORDER BY c.run_id = r.id DESC, c.attempt DESC LIMIT 1) c ON true
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


def claim(
    connection: Connection,
    pools: Sequence[str],
    worker: str,
    lease: str,
    again: bool = False,
    packages: Sequence[str] = (),
) -> Claim | None:
    """Take the next waiting run of these pools; `again` with the same lease finds what it may already hold.

    A run that needs a package is left to a worker that has it, and holds up none behind it: each set of packages has
    a queue of its own.
    Projects take turns: the one with the fewest running runs in the pool is next, with the first of its own queue.
    """
    if again and (held := _held(connection, lease)):
        return held
    asked = {"pools": list(pools), "packages": list(packages), "lease": lease, "worker": worker}
    row = connection.execute(CLAIM, asked).one_or_none()
    if row is None:
        return None
    if row.fresh:  # nothing was before: that it was claimed is told by the same statement
        taken = _claim(connection, row, lease)
        _open_attempt(connection, taken)
        return taken
    held = _held(connection, lease)
    assert held is not None
    _go_on(connection, held)
    return held


def _go_on(connection: Connection, taken: Claim) -> None:
    """Cut what earlier attempts did beyond the state that this one starts from; open it, and tell."""
    if taken.attempt > 1:
        cut = taken.start_step if taken.task is None else taken.start_step - 1  # what it looked at, it looks at again
        connection.execute(CUT, {"run_id": taken.run_id, "attempt": taken.attempt, "step": cut})
        write.resummarise(connection, taken.run_id)
        events.add(
            connection,
            taken.run_id,
            "cut",
            {"from_step": max(cut, 0), "attempt": taken.attempt},
            by=taken.holder,
            why=f"attempt {taken.attempt} starts from step {taken.start_step}",
        )
    _open_attempt(connection, taken)
    data = {"attempt": taken.attempt, "worker": taken.worker}
    record_state(connection, taken.run_id, State.RUNNING, data, by=taken.holder, why="claimed")


def _open_attempt(connection: Connection, taken: Claim) -> None:
    row = {"run_id": taken.run_id, "attempt": taken.attempt, "lease": taken.lease, "worker": taken.worker}
    connection.execute(OPEN_ATTEMPT, row | {"step": taken.start_step})


def _held(connection: Connection, lease: str) -> Claim | None:
    row = connection.execute(HELD, {"lease": lease}).one_or_none()
    return _claim(connection, row, lease) if row is not None else None


def _claim(connection: Connection, row: Row[Any], lease: str) -> Claim:
    saved = None
    if row.step is not None:
        saved = _saved(row)
    references = checkpoints.reference_checkpoints(connection, row.id, row.task) if row.task else {}
    return Claim(
        run_id=row.id,
        attempt=row.attempt,
        lease=lease,
        seed=row.seed,
        spec=row.spec,
        total_steps=row.total_steps,
        checkpoint=saved,
        forked=bool(row.forked),
        trained_s=row.trained_s,
        limit_s=row.limit_s,
        worker=row.worker,
        task=row.task,
        references={name: tuple(map(_saved, rows)) for name, rows in references.items()},
    )


def _saved(row: Any) -> SavedCheckpoint:
    return SavedCheckpoint(row.step, row.folder, row.sha256, row.size_bytes, row.reason, row.value)


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


def record_state(connection: Connection, run_id: str, state: State, data: dict[str, Any], *, by: str, why: str) -> None:
    """Record a change of state in the transaction that makes it."""
    events.add(connection, run_id, "state", {"state": state.value, **data}, by=by, why=why)
