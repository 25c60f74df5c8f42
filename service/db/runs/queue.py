"""The queue: adding runs.

A run's rank never changes: the time it was queued, minus ten minutes per point of priority. So waiting makes up for
priority, and the order of one person's runs can be an index; `turns` says whose is next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from service.db.access import audit, quotas
from service.db.access.principal import Principal
from service.db.runs.runs import StoredRun, stored
from service.ids import new_id
from service.lifecycle import PRIORITY_S, Relation, State
from service.nonfinite import dumps


@dataclass(frozen=True)
class Origin:
    """The parent of a run, and the checkpoint of the parent that it starts from.

    Without `attempt`, step 0 is the beginning, and any other step is where the parent or its ancestor began.
    """

    parent_run_id: str | None  # None: a preview, which is of no run
    relation: Relation
    attempt: int | None = None
    step: int = 0


@dataclass(frozen=True)
class NewRun:
    """A run to be queued."""

    experiment_id: str | None  # None: a preview, whose spec is in its task
    seed: int
    fold: int | None  # that it validates on
    total_steps: int
    pool: str
    priority: int = 0
    limit_s: float | None = None
    origin: Origin | None = None
    task: dict[str, Any] | None = None  # of a job
    needs: Sequence[str] = ()  # packages, and devices=n for n > 1
    memory_bytes: int | None = None  # of a device
    checkpoint_bytes: int = 0  # that it keeps at its end, as far as they can be estimated
    pause_at: int | None = None  # the step after which it pauses by itself
    pack_key: str | None = None  # of runs that may be trained together


@dataclass(frozen=True)
class IdempotentRequest:
    """A request with an idempotency key; `request` distinguishes it from others with the same key."""

    key: str
    request: str


GIVEN = """
    id, experiment_id, seed, fold, total_steps, pool, needs, memory_bytes, priority, limit_s, pause_at,
    parent_run_id, relation, origin_attempt, origin_step, checkpoint_step, step, task, pack_key
"""
ENQUEUE = text(
    f"""
    WITH made AS (
        INSERT INTO run (project_id, owner_id, key_id, request_id, trace, rank_at, {GIVEN})
        SELECT :project_id, :owner_id, cast(:key_id AS text), cast(:request_id AS text), cast(:trace AS text),
            clock_timestamp() - priority * make_interval(secs => :point_s), {GIVEN}
        FROM jsonb_populate_recordset(cast(NULL AS run), cast(:runs AS jsonb))
        RETURNING {", ".join(StoredRun.__dataclass_fields__)}),
    told AS (
        INSERT INTO event (project_id, run_id, kind, data)
        SELECT :project_id, id, 'state', cast(:data AS jsonb) FROM made),
    audited AS (
        INSERT INTO audit (project_id, account_id, actor, key_id, address, request_id, action, target, data)
        SELECT :project_id, :account_id, :actor, :key_id, :address, :request_id, :action,
            coalesce(parent_run_id, experiment_id, min(id)),
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
    why = "submitted"
    if origin:
        why = f"{origin.relation.value} of {origin.parent_run_id or 'a spec'} from step {origin.step}"
    data = {"state": State.QUEUED.value, "by": principal.member, "why": why}
    if principal.request_id:
        data["request_id"] = principal.request_id
    if request:
        data |= {"idempotency_key": request.key, "request": request.request}
    given = {"point_s": PRIORITY_S, "runs": dumps(rows), "data": dumps(data), "trace": principal.trace}
    given["owner_id"] = principal.member_id
    given |= audit.by(principal) | {"action": f"run.{origin.relation.value}" if origin else "experiment.submit"}
    found = {row["id"]: stored(row) for row in connection.execute(ENQUEUE, given).mappings()}
    return [found[row["id"]] for row in rows]


def _columns(made: NewRun) -> dict[str, Any]:
    origin = made.origin
    return {
        "id": new_id("run"),
        "experiment_id": made.experiment_id,
        "seed": made.seed,
        "fold": made.fold,
        "total_steps": made.total_steps,
        "pool": made.pool,
        "needs": sorted(set(made.needs)),
        "memory_bytes": made.memory_bytes,
        "priority": made.priority,
        "pause_at": made.pause_at,
        "parent_run_id": origin and origin.parent_run_id,
        "relation": origin and origin.relation.value,
        "origin_attempt": origin and origin.attempt,
        "origin_step": origin.step if origin else 0,
        "checkpoint_step": origin.step if origin else 0,
        "step": origin.step if origin else 0,
        "task": made.task,
        "pack_key": made.pack_key,
    }
