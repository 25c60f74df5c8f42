"""Claims: the next waiting run for a worker, and the attempt that it begins.

A worker gets runs of its pools whose packages it has and that train on as many devices as its slot has, in the order
of `turns`: of the project and the person with the least recent use, then by `rank_at` (priority and waiting time).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from service.db.metrics import write
from service.db.runs import checkpoints, events, turns
from service.lifecycle import State
from service.spec.measures import is_per_minibatch, trains_on_minibatches
from service.spec.requirements import devices_need


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk; it counts once its row is committed."""

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
    checkpoint: SavedCheckpoint | None  # its own, or its parent's to start from
    forked: bool = False  # `checkpoint` belongs to a run with another spec
    trained_s: float = 0.0  # in earlier attempts
    limit_s: float | None = None  # longest training time
    worker: str = ""
    pause_at: int | None = None  # the step after which it pauses by itself
    task: dict[str, Any] | None = None  # of a job
    references: Mapping[str, tuple[SavedCheckpoint, ...]] = field(default_factory=dict)  # that a probe compares with
    memory_bytes: int | None = None  # that it reserves on a shared device; None: not known
    request_id: str | None = None  # of the request that queued it
    trace: str | None = None  # that request's trace context, as a W3C traceparent
    pack_key: str | None = None  # of runs that may be trained with it; None: it trains alone

    @property
    def start_step(self) -> int:
        """The step of the state that the attempt starts from; 0: the beginning."""
        return self.checkpoint.step if self.checkpoint else 0

    def minibatch_series(self, names: Iterable[str]) -> list[str]:
        """Return the series that have one value per minibatch."""
        return [name for name in names if is_per_minibatch(name)] if trains_on_minibatches(self.spec) else []

    @property
    def holder(self) -> str:
        """The holder's name in events."""
        return f"worker {self.worker}"


# since its last checkpoint; so what brings a pack down, or its worker twice, is found by training alone
MAY_PACK = "r.crash_count = 0 AND r.lost_count < 2"
CLAIM = text(
    f"""
    WITH RECURSIVE {turns.CONTENDERS}, {turns.HEADS}, {turns.USE}, {turns.FULL},
    turn AS MATERIALIZED (
        SELECT h.pool, h.needs, h.project_id, h.owner_id FROM head h {turns.scored("h")}
        WHERE h.needs <@ cast(:packages AS text[]) AND h.needs @> cast(:required AS text[])
            AND NOT {turns.is_full("h")}
            AND NOT EXISTS (SELECT FROM worker w WHERE w.name = :worker AND w.drain_since IS NOT NULL)
        ORDER BY {turns.ORDER}),
    chosen AS (
        SELECT next.id FROM turn t
        CROSS JOIN LATERAL (SELECT id FROM run
            WHERE state = 'queued' AND pool = t.pool AND needs = t.needs AND project_id = t.project_id
                AND owner_id = t.owner_id AND not_before <= clock_timestamp()
            ORDER BY rank_at, id FOR UPDATE SKIP LOCKED LIMIT 1) next
        LIMIT 1),
    taken AS (
        UPDATE run r SET state = 'running', attempt = r.attempt + 1, lease = :lease, beat = 0, worker = :worker,
            yields_to = NULL, step = r.checkpoint_step, started_at = coalesce(r.started_at, clock_timestamp())
        FROM chosen WHERE r.id = chosen.id
            AND (cast(:free_bytes AS bigint) IS NULL OR r.memory_bytes <= cast(:free_bytes AS bigint))
        RETURNING r.id, r.experiment_id, r.project_id, r.attempt, r.seed, r.total_steps, r.worker, r.trained_s,
            r.limit_s, r.pause_at, r.task, r.memory_bytes, r.request_id, r.trace,
            CASE WHEN {MAY_PACK} THEN r.pack_key END AS pack_key,
            r.attempt = 1 AND r.parent_run_id IS NULL AS fresh),
    announced AS (
        INSERT INTO event (project_id, run_id, kind, data) SELECT project_id, id, 'state', jsonb_build_object(
            'state', 'running', 'attempt', attempt, 'worker', worker, 'by', 'worker ' || worker, 'why', 'claimed')
        FROM taken WHERE fresh)
    SELECT t.id, t.attempt, t.seed, t.total_steps, t.worker, t.trained_s, t.limit_s, t.pause_at, t.task, t.fresh,
        coalesce(e.spec, t.task -> 'spec') AS spec, t.memory_bytes, t.request_id, t.trace, t.pack_key,
        NULL AS step, NULL AS forked
    FROM taken t LEFT JOIN experiment e ON e.id = t.experiment_id
    """  # noqa: S608  pieces of SQL; every value is bound
)


SELECT_CLAIM = text(
    f"""
    WITH RECURSIVE line AS (
        SELECT r.parent_run_id, r.relation, r.origin_attempt, r.origin_step, r.origin_step AS start
        FROM run r WHERE r.lease = :lease AND r.state = 'running'
        UNION ALL
        SELECT p.parent_run_id, p.relation, p.origin_attempt, p.origin_step, l.start
        FROM line l JOIN run p ON p.id = l.parent_run_id
        WHERE (l.start > 0 OR l.relation <> 'fork') AND (l.origin_attempt IS NULL OR l.origin_step <> l.start)),
    origin AS (SELECT * FROM line WHERE origin_attempt IS NOT NULL AND origin_step = start)
    SELECT r.id, r.attempt, r.seed, r.total_steps, r.worker, r.trained_s, r.limit_s, r.pause_at, r.task,
        r.memory_bytes, r.request_id, r.trace, CASE WHEN {MAY_PACK} THEN r.pack_key END AS pack_key,
        coalesce(e.spec, r.task -> 'spec') AS spec, c.step, c.folder, c.sha256, c.size_bytes, c.reason, c.value,
        c.run_id <> r.id AND EXISTS (SELECT 1 FROM line WHERE relation = 'fork') AS forked
    FROM run r LEFT JOIN experiment e ON e.id = r.experiment_id
    LEFT JOIN LATERAL (
        SELECT c.* FROM checkpoint c LEFT JOIN origin o
            ON c.run_id = o.parent_run_id AND c.attempt = o.origin_attempt AND c.step = o.origin_step
        WHERE c.step = r.checkpoint_step
            AND (c.run_id = r.id AND r.task IS NULL AND NOT c.damaged OR o.origin_step IS NOT NULL)
        ORDER BY c.run_id = r.id DESC, c.attempt DESC LIMIT 1) c ON true
    WHERE r.lease = :lease AND r.state = 'running'
    """  # noqa: S608  a piece of SQL
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
    INSERT INTO attempt (run_id, attempt, lease, worker, start_step, owner_id)
    SELECT id, :attempt, :lease, :worker, :step, owner_id FROM run WHERE id = :run_id
    """
)


def claim(
    connection: Connection,
    pools: Sequence[str],
    worker: str,
    lease: str,
    again: bool = False,
    packages: Sequence[str] = (),
    devices: int = 1,
    free_bytes: int | None = None,
) -> Claim | None:
    """Claim the next waiting run of these pools; `again` with the same lease returns the run it already holds, if any.

    Each set of required packages has its own queue, so a run that this worker cannot build blocks no other.
    Projects and their people take turns by recent use of the pool (`turns`), each with the first run of their queue.
    If that run needs more than `free_bytes` of the device, none is claimed: smaller runs do not overtake it for ever.
    """
    if again and (held := find_held(connection, lease)):
        return held
    required = [devices_need(devices)] if devices > 1 else []
    has: dict[str, Any] = {"pools": list(pools), "packages": [*packages, *required], "required": required}
    values = has | {"lease": lease, "worker": worker, "free_bytes": free_bytes}
    values |= turns.parameters(connection)
    row = connection.execute(CLAIM, values).one_or_none()
    if row is None:
        return None
    if row.fresh:  # its first attempt: the same statement has added the event
        claimed = to_claim(connection, row, lease)
        _open_attempt(connection, claimed)
        return claimed
    held = find_held(connection, lease)
    assert held is not None
    continue_run(connection, held)
    return held


def continue_run(connection: Connection, claimed: Claim) -> None:
    """Cut earlier attempts at the state that this one starts from, open this attempt, and add the events."""
    if claimed.attempt > 1:
        cut = claimed.start_step if claimed.task is None else claimed.start_step - 1  # it measures that step again
        connection.execute(CUT, {"run_id": claimed.run_id, "attempt": claimed.attempt, "step": cut})
        write.resummarise(connection, claimed.run_id)
        events.add(
            connection,
            claimed.run_id,
            "cut",
            {"from_step": max(cut, 0), "attempt": claimed.attempt},
            by=claimed.holder,
            why=f"attempt {claimed.attempt} starts from step {claimed.start_step}",
        )
    _open_attempt(connection, claimed)
    data = {"attempt": claimed.attempt, "worker": claimed.worker}
    events.record_state(connection, claimed.run_id, State.RUNNING, data, by=claimed.holder, why="claimed")


def _open_attempt(connection: Connection, claimed: Claim) -> None:
    row = {"run_id": claimed.run_id, "attempt": claimed.attempt, "lease": claimed.lease, "worker": claimed.worker}
    connection.execute(OPEN_ATTEMPT, row | {"step": claimed.start_step})


def find_held(connection: Connection, lease: str) -> Claim | None:
    """Return the run that is held by this lease."""
    row = connection.execute(SELECT_CLAIM, {"lease": lease}).one_or_none()
    return to_claim(connection, row, lease) if row is not None else None


def to_claim(connection: Connection, row: Row[Any], lease: str) -> Claim:
    """Return the claim of a row."""
    references = checkpoints.reference_checkpoints(connection, row.id, row.task) if row.task else {}
    return Claim(
        run_id=row.id,
        attempt=row.attempt,
        lease=lease,
        seed=row.seed,
        spec=row.spec,
        total_steps=row.total_steps,
        checkpoint=None if row.step is None else _to_checkpoint(row),
        forked=bool(row.forked),
        trained_s=row.trained_s,
        limit_s=row.limit_s,
        worker=row.worker,
        pause_at=row.pause_at,
        task=row.task,
        memory_bytes=row.memory_bytes,
        request_id=row.request_id,
        trace=row.trace,
        pack_key=row.pack_key,
        references={name: tuple(map(_to_checkpoint, rows)) for name, rows in references.items()},
    )


def _to_checkpoint(row: Any) -> SavedCheckpoint:
    return SavedCheckpoint(row.step, row.folder, row.sha256, row.size_bytes, row.reason, row.value)
