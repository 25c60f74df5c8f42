"""Derived runs: retries of failed or cancelled runs, forks from a checkpoint, replays, and jobs that probe or predict.

The parent's row is locked meanwhile. Checkpoints are retired under the same lock, so the origin cannot disappear.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.db.metrics import experiment_summary
from service.db.runs import runs
from service.db.runs.checkpoints import CheckpointKey, usable
from service.db.runs.queue import IdempotentRequest, NewRun, Origin, enqueue
from service.db.runs.runs import StoredRun
from service.db.session import every_project
from service.errors import Conflict, Invalid, Problem
from service.lifecycle import ASIDE, Relation, State
from service.nonfinite import dumps

RetryOrigin = Literal["checkpoint", "start"]
FIND_BY_KEY = text(
    """
    SELECT r.id, e.data ->> 'request' AS request FROM run r
    JOIN LATERAL (SELECT data FROM event WHERE run_id = r.id ORDER BY id LIMIT 1) e ON true
    WHERE r.parent_run_id = :run_id AND e.data ->> 'idempotency_key' = :key
    """
)


CHAIN_START = text(
    """
    WITH RECURSIVE line AS (
        SELECT parent_run_id, relation, origin_step FROM run WHERE id = :run_id
        UNION ALL
        SELECT p.parent_run_id, p.relation, p.origin_step
        FROM line l JOIN run p ON p.id = l.parent_run_id WHERE l.relation = 'retry')
    SELECT origin_step FROM line WHERE relation IS DISTINCT FROM 'retry'
    """
)
ORIGIN_REMOVED = text(
    """
    WITH RECURSIVE line AS (
        SELECT parent_run_id, relation, origin_attempt, origin_step FROM run WHERE id = :run_id
        UNION ALL
        SELECT p.parent_run_id, p.relation, p.origin_attempt, p.origin_step
        FROM line l JOIN run p ON p.id = l.parent_run_id
        WHERE (:step > 0 OR l.relation <> 'fork') AND (l.origin_attempt IS NULL OR l.origin_step <> :step))
    SELECT c.removed_at IS NOT NULL FROM line l JOIN checkpoint c
        ON c.run_id = l.parent_run_id AND c.attempt = l.origin_attempt AND c.step = l.origin_step
    WHERE l.origin_step = :step
    """
)


def fork_origin(
    connection: Connection, principal: Principal, run_id: str, step: int | None
) -> tuple[StoredRun, Origin]:
    """Lock the parent; return it and the origin of a fork: the checkpoint at `step`, or the latest. 0: the beginning.

    A probe job that changed the weights at step 0 has a checkpoint there.
    """
    parent = runs.get(connection, principal, run_id, lock=True)
    found = usable(connection, run_id)
    if step == 0 and not any(each.step == 0 for each in found):
        return parent, Origin(run_id, Relation.FORK)
    if step is None and not found:
        raise Conflict("The run has no checkpoint yet: wait for one, or fork it from step 0.")
    chosen = _find_checkpoint(found, step, 0)
    return parent, Origin(run_id, Relation.FORK, chosen.attempt, chosen.step)


def _find_checkpoint(found: list[CheckpointKey], step: int | None, beginning: int) -> CheckpointKey:
    """Return the checkpoint at a step, or the newest; raise `Invalid` with the possible steps."""
    for each in found:
        if step in (None, each.step):
            return each
    steps = sorted({beginning, *(each.step for each in found)})
    detail = f"there is no checkpoint at this step: choose one of {', '.join(map(str, steps))}."
    raise Invalid.of([Problem("/step", "no_checkpoint", detail, steps)])


def retry(
    connection: Connection, principal: Principal, run_id: str, beginning: RetryOrigin | None, key: str | None = None
) -> tuple[str, bool]:
    """Queue a failed or cancelled run again; return the new run's id, and whether this call created it."""
    parent = runs.get(connection, principal, run_id, lock=True)
    request = IdempotentRequest(key, f"retry {beginning}") if key else None
    if earlier := _find_earlier(connection, parent, request):
        return earlier, False
    if parent.relation in ASIDE:
        word = parent.relation.value
        raise Conflict(f"The run is a {word} of {parent.parent_run_id}: {word} that run again instead.")
    if parent.state not in (State.FAILED, State.CANCELLED):
        instead = "replay or fork it" if parent.state is State.SUCCEEDED else "it continues by itself, or resume it"
        raise Conflict(f"The run is {parent.state.value}: only a failed or cancelled run can be retried; {instead}.")
    found = usable(connection, run_id)
    if beginning == "checkpoint" and not found and parent.origin_step == 0:
        raise Conflict("The run has no good checkpoint: retry it from the start.")
    if beginning == "start":
        origin = Origin(run_id, Relation.RETRY, None, _chain_start(connection, parent))
    elif found:
        origin = Origin(run_id, Relation.RETRY, found[0].attempt, found[0].step)
    else:
        origin = Origin(run_id, Relation.RETRY, None, parent.origin_step)
    made = _enqueue_derived(connection, principal, parent, origin, parent.total_steps, request)
    experiment_summary.unsettle(connection, parent.experiment_id)
    return made, True


def replay(
    connection: Connection, principal: Principal, run_id: str, steps: int | None, key: str | None = None
) -> tuple[str, bool]:
    """Queue a replay of the first `steps` steps, or of all; return its id, and whether this call created it."""
    parent = runs.get(connection, principal, run_id, lock=True)
    request = IdempotentRequest(key, f"replay {steps}") if key else None
    if earlier := _find_earlier(connection, parent, request):
        return earlier, False
    if parent.relation in ASIDE:
        raise Conflict(f"The run is a {parent.relation.value} itself: replay {parent.parent_run_id} instead.")
    if parent.step <= parent.origin_step:
        raise Conflict("The run has not trained a step yet: there is nothing to compare a replay with.")
    last = steps or parent.step
    if not parent.origin_step < last <= parent.step:
        detail = f"the run has the steps {parent.origin_step + 1} to {parent.step}: replay up to one of them."
        raise Invalid.of([Problem("/steps", "out_of_range", detail, [parent.origin_step + 1, parent.step])])
    origin = Origin(run_id, Relation.REPLAY, None, parent.origin_step)
    return _enqueue_derived(connection, principal, parent, origin, last, request), True


def probe(
    connection: Connection,
    principal: Principal,
    run_id: str,
    task: dict[str, Any],
    step: int | None,
    key: str | None = None,
) -> tuple[str, bool]:
    """Queue a probe job at a checkpoint or at the beginning; return its id, and whether this call created it."""
    parent = runs.get(connection, principal, run_id, lock=True)
    request = IdempotentRequest(key, f"probe {step} {dumps(task)}") if key else None
    if earlier := _find_earlier(connection, parent, request):
        return earlier, False
    if parent.relation is Relation.PROBE:
        raise Conflict(f"The run is a probe job itself: probe {parent.parent_run_id} instead.")
    found = usable(connection, run_id)
    if step == parent.origin_step or (step is None and not found):
        origin = Origin(run_id, Relation.PROBE, None, parent.origin_step)
    else:
        chosen = _find_checkpoint(found, step, parent.origin_step)
        origin = Origin(run_id, Relation.PROBE, chosen.attempt, chosen.step)
    return _enqueue_derived(connection, principal, parent, origin, origin.step, request, task), True


def predict(
    connection: Connection,
    principal: Principal,
    run_id: str,
    asked: Mapping[str, Any],
    weights: int | Literal["last", "best"],
    key: str | None = None,
) -> tuple[str, bool]:
    """Queue a job that predicts the rows in `asked` with kept weights; return its id, and whether this call created it.

    What else is asked stands beside the rows.
    """
    parent = runs.get(connection, principal, run_id, lock=True)
    digest = hashlib.sha256(dumps(asked).encode()).hexdigest()
    request = IdempotentRequest(key, f"predict {weights} {digest}") if key else None
    if earlier := _find_earlier(connection, parent, request):
        return earlier, False
    if parent.relation is Relation.PROBE:
        raise Conflict(f"The run is a probe job itself: predict with {parent.parent_run_id} instead.")
    chosen = _find_weights(usable(connection, run_id), weights)
    origin = Origin(run_id, Relation.PROBE, chosen.attempt, chosen.step)
    task = {"probes": [], **asked}
    return _enqueue_derived(connection, principal, parent, origin, origin.step, request, task), True


def _find_weights(found: list[CheckpointKey], weights: int | Literal["last", "best"]) -> CheckpointKey:
    """Return the checkpoint that a prediction names; raise `Conflict` or `Invalid` where there is none."""
    if not found:
        raise Conflict("The run has no kept checkpoint: its weights can be used once the first one is written.")
    for each in found:
        if weights == "last" or each.step == weights or (weights == "best" and each.reason == "best"):
            return each
    steps = sorted(each.step for each in found)
    if weights == "best":
        detail = "the run keeps no best checkpoint, which /checkpoint/best of a spec asks for"
    else:
        detail = "there is no checkpoint at this step"
    detail += f": choose last, or one of {', '.join(map(str, steps))}."
    raise Invalid.of([Problem("/weights", "no_checkpoint", detail, steps)])


def _enqueue_derived(
    connection: Connection,
    principal: Principal,
    parent: StoredRun,
    origin: Origin,
    total_steps: int,
    request: IdempotentRequest | None,
    task: dict[str, Any] | None = None,
) -> str:
    """Queue a run in the parent's experiment; return its id."""
    check_origin_exists(connection, parent, origin)
    made = NewRun(
        experiment_id=parent.experiment_id,
        seed=parent.seed,
        fold=parent.fold,
        total_steps=total_steps,
        pool=parent.pool,
        needs=parent.needs,
        memory_bytes=parent.memory_bytes,
        priority=parent.priority,
        limit_s=parent.limit_s,
        origin=origin,
        task=task,
    )
    return enqueue(connection, principal, [made], request)[0].id


def check_origin_exists(connection: Connection, parent: StoredRun, origin: Origin) -> None:
    """Raise `Conflict` if the run is to start where its parent started and that checkpoint was removed."""
    begins_elsewhere = origin.attempt is None and (origin.step > 0 or origin.relation is not Relation.FORK)
    if not begins_elsewhere:
        return
    with every_project(connection):  # it may have stayed in another when the experiment was moved
        removed = connection.execute(ORIGIN_REMOVED, {"run_id": parent.id, "step": origin.step}).scalar()
    if removed:
        raise Conflict(
            f"The checkpoint of step {origin.step} that the run started from was deleted with its experiment."
        )


def _chain_start(connection: Connection, run: StoredRun) -> int:
    """Return the step where the first run of a chain of retries started; `run` is the last."""
    found: int = connection.execute(CHAIN_START, {"run_id": run.id}).scalar_one()
    return found


def _find_earlier(connection: Connection, parent: StoredRun, request: IdempotentRequest | None) -> str | None:
    """Return the run derived from `parent` with this idempotency key; the parent's lock serialises requests."""
    if request is None:
        return None
    row = connection.execute(FIND_BY_KEY, {"run_id": parent.id, "key": request.key}).one_or_none()
    if row is None:
        return None
    if row.request != request.request:
        raise Conflict("This Idempotency-Key was used for another request: send a new key with a new request.")
    return str(row.id)
