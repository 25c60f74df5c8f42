"""The queue: adding runs, and the positions of waiting runs.

A run's rank never changes: the time it was queued, minus ten minutes per point of priority. So waiting makes up for
priority, and the order can be an index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import Connection, text

from service.db.access import audit, quotas
from service.db.access.principal import Principal
from service.db.runs.pools import Pool, pools
from service.db.runs.runs import StoredRun, stored
from service.ids import new_id
from service.lifecycle import PRIORITY_S, Relation, State
from service.nonfinite import dumps
from service.spec.requirements import describe_need


@dataclass(frozen=True)
class Origin:
    """The parent of a run, and the checkpoint of the parent that it starts from.

    Without `attempt`, step 0 is the beginning, and any other step is where the parent or its ancestor began.
    """

    parent_run_id: str
    relation: Relation
    attempt: int | None = None
    step: int = 0


@dataclass(frozen=True)
class NewRun:
    """A run to be queued."""

    experiment_id: str
    seed: int
    total_steps: int
    pool: str
    priority: int = 0
    limit_s: float | None = None
    origin: Origin | None = None
    task: dict[str, Any] | None = None  # of a probe job
    needs: Sequence[str] = ()  # packages, and devices=n for n > 1
    memory_bytes: int | None = None  # of a device
    checkpoint_bytes: int = 0  # that it keeps at its end, as far as they can be estimated


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with an idempotency key; `request` distinguishes it from others with the same key."""

    key: str
    request: str


GIVEN = """
    id, experiment_id, seed, total_steps, pool, needs, memory_bytes, priority, limit_s, parent_run_id, relation,
    origin_attempt, origin_step, checkpoint_step, step, task
"""
ENQUEUE = text(
    f"""
    WITH made AS (
        INSERT INTO run (project_id, rank_at, {GIVEN})
        SELECT :project_id, clock_timestamp() - priority * make_interval(secs => :point_s), {GIVEN}
        FROM jsonb_populate_recordset(cast(NULL AS run), cast(:runs AS jsonb))
        RETURNING {", ".join(StoredRun.__dataclass_fields__)}),
    told AS (
        INSERT INTO event (project_id, run_id, kind, data)
        SELECT :project_id, id, 'state', cast(:data AS jsonb) FROM made),
    audited AS (
        INSERT INTO audit (project_id, account_id, actor, key_id, address, request_id, action, target, data)
        SELECT :project_id, :account_id, :actor, :key_id, :address, :request_id, :action,
            coalesce(parent_run_id, experiment_id),
            jsonb_build_object('experiment', experiment_id, 'runs', count(*))
        FROM made GROUP BY experiment_id, parent_run_id ORDER BY experiment_id)
    SELECT * FROM made
    """  # noqa: S608  names of columns; every value is bound
)


def enqueue(
    connection: Connection, principal: Principal, made: Sequence[NewRun], request: IdempotentRequest | None = None
) -> list[StoredRun]:
    """Queue runs that have one origin, each with its first event; return them in this order.

    `request` is stored with the event. The audit gets a row for each experiment, in the same statement. Raise
    `QuotaExceeded` for more than the project or the person may have.
    """
    allowed = quotas.admit(connection, principal, len(made), sum(each.checkpoint_bytes for each in made))
    rows = [_columns(each) | {"limit_s": allowed.longest_run_s(each.limit_s)} for each in made]
    origin = made[0].origin
    why = f"{origin.relation.value} of {origin.parent_run_id} from step {origin.step}" if origin else "submitted"
    data = {"state": State.QUEUED.value, "by": principal.member, "why": why}
    if request:
        data |= {"idempotency_key": request.key, "request": request.request}
    given = {"point_s": PRIORITY_S, "runs": dumps(rows), "data": dumps(data)}
    given |= audit.by(principal) | {"action": f"run.{origin.relation.value}" if origin else "experiment.submit"}
    found = {row["id"]: stored(row) for row in connection.execute(ENQUEUE, given).mappings()}
    return [found[row["id"]] for row in rows]


def _columns(made: NewRun) -> dict[str, Any]:
    origin = made.origin
    return {
        "id": new_id("run"),
        "experiment_id": made.experiment_id,
        "seed": made.seed,
        "total_steps": made.total_steps,
        "pool": made.pool,
        "needs": sorted(set(made.needs)),
        "memory_bytes": made.memory_bytes,
        "priority": made.priority,
        "parent_run_id": origin and origin.parent_run_id,
        "relation": origin and origin.relation.value,
        "origin_attempt": origin and origin.attempt,
        "origin_step": origin.step if origin else 0,
        "checkpoint_step": origin.step if origin else 0,
        "step": origin.step if origin else 0,
        "task": made.task,
    }


@dataclass(frozen=True)
class QueuePosition:
    """The position of a waiting run: how many runs of its pool are before it, and why it has not started."""

    before: int
    reason: str


COUNTED_POSITIONS = text(
    """
    SELECT r.id, r.pool, r.needs, (SELECT count(*) FROM run o WHERE o.state = 'queued' AND o.pool = r.pool
            AND (o.rank_at, o.id) < (r.rank_at, r.id)) AS before,
        CASE WHEN r.not_before > clock_timestamp() THEN r.not_before END AS not_before
    FROM run r WHERE r.id = ANY(:ids) AND r.state = 'queued'
    """
)
RANKED_POSITIONS = text(
    """
    WITH waiting AS (
        SELECT id, pool, needs, not_before, row_number() OVER (PARTITION BY pool ORDER BY rank_at, id) - 1 AS before
        FROM run WHERE state = 'queued' AND pool IN (SELECT pool FROM run WHERE id = ANY(:ids)))
    SELECT id, pool, needs, before, CASE WHEN not_before > clock_timestamp() THEN not_before END AS not_before
    FROM waiting WHERE id = ANY(:ids)
    """
)
MAX_COUNTED_SINGLY = 4  # runs for which counting one by one is cheaper than ranking the whole queue


def positions(connection: Connection, ids: Sequence[str]) -> dict[str, QueuePosition]:
    """Return the positions of the waiting runs among these."""
    statement = COUNTED_POSITIONS if len(ids) <= MAX_COUNTED_SINGLY else RANKED_POSITIONS
    rows = connection.execute(statement, {"ids": list(ids)}).all()
    if not rows:
        return {}
    found = pools(connection, sorted({row.pool for row in rows}))
    return {row.id: QueuePosition(row.before, _reason(row, found[row.pool])) for row in rows}


def _reason(row: Any, pool: Pool) -> str:
    if row.not_before is not None:
        until = row.not_before.astimezone(UTC) + timedelta(seconds=1)
        return f"backing off after a failure until {until:%Y-%m-%dT%H:%M:%SZ}"
    if why := pool.why_not_served() or pool.why_not_built(row.needs):
        return why
    if not pool.has_idle(row.needs):
        able = f" that has {', '.join(map(describe_need, row.needs))}" if pool.idle and row.needs else ""
        return f"every worker of pool {pool.name}{able} is busy"
    if row.before:
        return f"{row.before} runs of pool {pool.name} are before it"
    too_little = pool.why_too_little_memory(row.needs)
    return f"it waits for memory of a shared GPU: {too_little}" if too_little else "it is about to start"
