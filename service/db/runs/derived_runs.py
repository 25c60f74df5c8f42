"""Runs made from runs: a retry of one that ended badly, a fork from a checkpoint, a replay, a look at a checkpoint.

The parent's row is locked meanwhile: its holder retires checkpoints behind the same lock, so an origin stays.
"""

from typing import Any, Literal

from sqlalchemy import Connection, text

from service.db.access.projects import Principal
from service.db.metrics import experiment_summary
from service.db.runs import runs
from service.db.runs.checkpoints import CheckpointKey, usable
from service.db.runs.queue import IdempotentRequest, NewRun, Origin, enqueue
from service.db.runs.runs import StoredRun
from service.errors import Conflict, Invalid, Problem
from service.lifecycle import ASIDE, Relation, State
from service.nonfinite import dumps

Beginning = Literal["checkpoint", "start"]
EARLIER = text(
    """
    SELECT r.id, e.data ->> 'request' AS request FROM run r
    JOIN LATERAL (SELECT data FROM event WHERE run_id = r.id ORDER BY id LIMIT 1) e ON true
    WHERE r.parent_run_id = :run_id AND e.data ->> 'idempotency_key' = :key
    """
)


LINE_START = text(
    """
    WITH RECURSIVE line AS (
        SELECT parent_run_id, relation, origin_step FROM run WHERE id = :run_id
        UNION ALL
        SELECT p.parent_run_id, p.relation, p.origin_step
        FROM line l JOIN run p ON p.id = l.parent_run_id WHERE l.relation = 'retry')
    SELECT origin_step FROM line WHERE relation IS DISTINCT FROM 'retry'
    """
)
GONE = text(
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
    """The parent, locked, and where a fork of it starts: at `step`, or at its latest checkpoint. 0: the beginning.

    A probe job that changed the weights at step 0 has a checkpoint there.
    """
    parent = runs.get(connection, principal, run_id, lock=True)
    found = usable(connection, run_id)
    if step == 0 and not any(each.step == 0 for each in found):
        return parent, Origin(run_id, Relation.FORK)
    if step is None and not found:
        raise Conflict("The run has no checkpoint yet: wait for one, or fork it from step 0.")
    chosen = _at(found, step, 0)
    return parent, Origin(run_id, Relation.FORK, chosen.attempt, chosen.step)


def _at(found: list[CheckpointKey], step: int | None, beginning: int) -> CheckpointKey:
    """The checkpoint of a step, or the newest; `Invalid` lists the steps there are, the beginning among them."""
    for each in found:
        if step in (None, each.step):
            return each
    steps = sorted({beginning, *(each.step for each in found)})
    detail = f"there is no checkpoint at this step: choose one of {', '.join(map(str, steps))}."
    raise Invalid.of([Problem("/step", "no_checkpoint", detail, steps)])


def retry(
    connection: Connection, principal: Principal, run_id: str, beginning: Beginning | None, key: str | None = None
) -> tuple[str, bool]:
    """Queue a run that ended badly once more, with its spec and seed: the new run's id, and whether it is new."""
    parent = runs.get(connection, principal, run_id, lock=True)
    asked = IdempotentRequest(key, f"retry {beginning}") if key else None
    if earlier := _earlier(connection, parent, asked):
        return earlier, False
    if parent.relation in ASIDE:
        word = parent.relation.value
        raise Conflict(f"The run is a {word} of {parent.parent_run_id}: {word} that again instead.")
    if parent.state not in (State.FAILED, State.CANCELLED):
        instead = "replay or fork it" if parent.state is State.SUCCEEDED else "it goes on by itself or is resumed"
        raise Conflict(f"The run is {parent.state.value}: only one that failed or was cancelled is retried; {instead}.")
    found = usable(connection, run_id)
    if beginning == "checkpoint" and not found and parent.origin_step == 0:
        raise Conflict("The run has no good checkpoint: retry it from the start.")
    if beginning == "start":
        origin = Origin(run_id, Relation.RETRY, None, _line_start(connection, parent))
    elif found:
        origin = Origin(run_id, Relation.RETRY, found[0].attempt, found[0].step)
    else:
        origin = Origin(run_id, Relation.RETRY, None, parent.origin_step)
    made = _once_more(connection, principal, parent, origin, parent.total_steps, asked)
    experiment_summary.unsettle(connection, parent.experiment_id)
    return made, True


def replay(
    connection: Connection, principal: Principal, run_id: str, steps: int | None, key: str | None = None
) -> tuple[str, bool]:
    """Train the first `steps` steps of a run once more, or all it did: the new run's id, and whether it is new."""
    parent = runs.get(connection, principal, run_id, lock=True)
    asked = IdempotentRequest(key, f"replay {steps}") if key else None
    if earlier := _earlier(connection, parent, asked):
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
    return _once_more(connection, principal, parent, origin, last, asked), True


def probe(
    connection: Connection,
    principal: Principal,
    run_id: str,
    task: dict[str, Any],
    step: int | None,
    key: str | None = None,
) -> tuple[str, bool]:
    """Look at a kept state of a run, or at its beginning, as a job of its own: its id, and whether it is new."""
    parent = runs.get(connection, principal, run_id, lock=True)
    asked = IdempotentRequest(key, f"probe {step} {dumps(task)}") if key else None
    if earlier := _earlier(connection, parent, asked):
        return earlier, False
    if parent.relation is Relation.PROBE:
        raise Conflict(f"The run is a probe job itself: probe {parent.parent_run_id} instead.")
    found = usable(connection, run_id)
    if step == parent.origin_step or (step is None and not found):
        origin = Origin(run_id, Relation.PROBE, None, parent.origin_step)
    else:
        chosen = _at(found, step, parent.origin_step)
        origin = Origin(run_id, Relation.PROBE, chosen.attempt, chosen.step)
    return _once_more(connection, principal, parent, origin, origin.step, asked, task), True


def _once_more(
    connection: Connection,
    principal: Principal,
    parent: StoredRun,
    origin: Origin,
    total_steps: int,
    asked: IdempotentRequest | None,
    task: dict[str, Any] | None = None,
) -> str:
    """A run in the parent's own experiment."""
    check_origin_exists(connection, parent, origin)
    made = NewRun(
        experiment_id=parent.experiment_id,
        seed=parent.seed,
        total_steps=total_steps,
        pool=parent.pool,
        needs=parent.needs,
        priority=parent.priority,
        limit_s=parent.limit_s,
        origin=origin,
        task=task,
    )
    return enqueue(connection, principal, [made], asked)[0].id


def check_origin_exists(connection: Connection, parent: StoredRun, origin: Origin) -> None:
    """`Conflict` where the run is to start where its parent did, and that state is not there any more."""
    begins_elsewhere = origin.attempt is None and (origin.step > 0 or origin.relation is not Relation.FORK)
    if begins_elsewhere and connection.execute(GONE, {"run_id": parent.id, "step": origin.step}).scalar():
        raise Conflict(
            f"The checkpoint of step {origin.step} that the run started from was deleted with its experiment."
        )


def _line_start(connection: Connection, run: StoredRun) -> int:
    """Return the step from which the first run of a line of retries started; `run` is the last."""
    found: int = connection.execute(LINE_START, {"run_id": run.id}).scalar_one()
    return found


def _earlier(connection: Connection, parent: StoredRun, asked: IdempotentRequest | None) -> str | None:
    """The run that was made of `parent` with this idempotency key; the parent's lock keeps two requests apart."""
    if asked is None:
        return None
    row = connection.execute(EARLIER, {"run_id": parent.id, "key": asked.key}).one_or_none()
    if row is None:
        return None
    if row.request != asked.request:
        raise Conflict("This Idempotency-Key was used for another request: send a new key with a new request.")
    return str(row.id)
