"""Ends of an attempt: the run ends, is queued again, or is paused. Each is one fenced transaction.

What a worker writes while it holds a run is in leases; the budgets are in service.lifecycle.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from service.db.metrics import write
from service.db.metrics.codec import Chunk
from service.db.runs import events
from service.db.runs.claims import Claim
from service.db.runs.leases import fence, flush
from service.db.states import ENDED
from service.lifecycle import (
    ATTEMPT_BUDGET,
    BACKOFF_SPREAD,
    CRASH_BUDGET,
    DEVICE_BUDGET,
    TERMINAL,
    DesiredState,
    State,
    backoff_s,
)
from service.nonfinite import dumps

NOTHING: Mapping[str, Chunk] = {}

DAMAGED = text("UPDATE checkpoint SET damaged = true WHERE folder = :folder AND run_id = ANY(:run_ids) AND NOT damaged")
ORIGINAL = text("SELECT run_id FROM checkpoint WHERE folder = :folder AND run_id <> :run_id")
FALL_BACK = text(
    """
    UPDATE run SET checkpoint_step = coalesce((SELECT max(step) FROM checkpoint
        WHERE run_id = :run_id AND NOT damaged AND removed_at IS NULL), origin_step)
    WHERE id = :run_id RETURNING checkpoint_step
    """
)


def quarantine(connection: Connection, held: Claim, folder: str) -> State:
    """Mark a checkpoint that cannot be read; the run goes back to the good one before, and queues again.

    Where it was the parent's there is none before: the run fails.
    """
    state = _granted(fence(connection, held))
    owner = connection.execute(ORIGINAL, {"folder": folder, "run_id": held.run_id}).scalar_one_or_none()
    connection.execute(DAMAGED, {"run_ids": [owner or held.run_id], "folder": folder})
    name = folder.rstrip("/").rsplit("/", 1)[-1]
    data = {"folder_name": name, "step": held.start_step}
    why = "it cannot be read"
    if owner is not None:
        events.add(connection, held.run_id, "checkpoint_damaged", data, by=held.holder, why=why)
        failure = {
            "code": "no_good_checkpoint",
            "detail": f"The checkpoint of {owner} that this run starts from cannot be read: start from another step.",
            "evidence": {"run_id": owner, "step": held.start_step},
        }
        _leave(connection, held, State.FAILED, "checkpoint_damaged", None, failure)
        return State.FAILED
    data["goes_on_from"] = connection.execute(FALL_BACK, {"run_id": held.run_id}).scalar_one()
    events.add(connection, held.run_id, "checkpoint_damaged", data, by=held.holder, why=why)
    _leave(connection, held, state, "checkpoint_damaged")
    return state


END = text(
    f"""
    UPDATE run SET state = :state, lease = NULL,
        crash_count = crash_count + :crashes, failure = cast(:failure AS jsonb),
        trained_s = trained_s + (SELECT greatest(0, extract(epoch FROM clock_timestamp() - a.started_at)) FROM attempt a
            WHERE a.run_id = run.id AND a.attempt = run.attempt),
        not_before = clock_timestamp() + make_interval(secs => :wait_s * (1 + :spread * (2 * random() - 1))),
        queued_at = CASE WHEN :state = 'queued' THEN clock_timestamp() ELSE queued_at END,
        finished_at = CASE WHEN :state IN {ENDED} THEN clock_timestamp() END
    WHERE id = :run_id AND lease = :lease AND state = 'running'
    """  # noqa: S608  names of states
)
CLOSE_ATTEMPT = text(
    """
    UPDATE attempt SET ended_at = clock_timestamp(), ending = :ending, detail = :detail
    WHERE run_id = :run_id AND attempt = :attempt AND ended_at IS NULL
    """
)
ENDING = text("SELECT ending FROM attempt WHERE run_id = :run_id AND attempt = :attempt AND lease = :lease")


def already_ended(connection: Connection, held: Claim) -> bool:
    """Whether this attempt's end is recorded: asked when the answer to a COMMIT was lost."""
    run = {"run_id": held.run_id, "attempt": held.attempt, "lease": held.lease}
    return connection.execute(ENDING, run).scalar_one_or_none() is not None


def finish(
    connection: Connection,
    held: Claim,
    state: State,
    chunks: Mapping[str, Chunk],
    failure: Mapping[str, Any] | None = None,
    detail: str | None = None,
) -> State:
    """End the run, with its last points: succeeded, cancelled, paused, or failed for good (`failure` says why).

    A pause that was meanwhile taken back queues the run again, and one that became a cancel cancels it.
    `detail` goes with the attempt: which stop rule ended it before its last step.
    """
    desired = flush(connection, held, chunks)
    if state is State.PAUSED:
        state = _granted(desired)
    if state in TERMINAL:
        write.compact(connection, held.run_id, held.attempt, 2**62)
    if state is State.SUCCEEDED:
        names = write.series_ids(connection, held.run_id, ())
        write.finalise(connection, held.run_id, held.minibatch_series(names))
    _leave(connection, held, state, state.value, detail, failure)
    return state


def give_back(connection: Connection, held: Claim, chunks: Mapping[str, Chunk], detail: str | None = None) -> State:
    """Queue the run again without counting a failure: the worker drains. A wished cancel or pause is granted."""
    state = _granted(flush(connection, held, chunks))
    _leave(connection, held, state, "drained", detail)
    return state


def record_crash(
    connection: Connection,
    held: Claim,
    kind: str,
    detail: str,
    evidence: Mapping[str, Any],
    chunks: Mapping[str, Chunk] = NOTHING,
) -> State:
    """The trainer died: queue again, or fail once the budget is spent; a wished cancel or pause is granted."""
    desired = flush(connection, held, chunks)
    row = connection.execute(
        text("SELECT crash_count + 1 AS crashes, attempt FROM run WHERE id = :id"), {"id": held.run_id}
    ).one()
    state, failure = _granted(desired), None
    if state is State.QUEUED and (row.crashes >= CRASH_BUDGET or row.attempt >= ATTEMPT_BUDGET):
        state = State.FAILED
        failure = {
            "code": "crash_loop",
            "detail": f"The trainer died {row.crashes} times without a new checkpoint; the last time: {detail}",
            "evidence": {"last_kind": kind, **evidence},
        }
    wait_s = backoff_s(row.crashes)
    _leave(connection, held, state, kind, detail, failure, crashes=1, wait_s=wait_s, evidence=evidence)
    return state


FULL_BEFORE = text(
    """
    SELECT data->'evidence'->>'step' FROM event
    WHERE run_id = :run_id AND kind = 'state' AND data->>'ending' = 'cuda_oom' ORDER BY id DESC LIMIT 1
    """
)


def record_device_full(
    connection: Connection, held: Claim, chunks: Mapping[str, Chunk], detail: str, evidence: Mapping[str, Any]
) -> State:
    """The device had no memory left: once more, others may have used it; at the same step again the run fails."""
    step = connection.execute(FULL_BEFORE, {"run_id": held.run_id}).scalar_one_or_none()
    if step is None or step != str(evidence.get("step")):
        return record_crash(connection, held, "cuda_oom", detail, evidence, chunks)
    desired = flush(connection, held, chunks)
    if desired is not DesiredState.RUN:
        _leave(connection, held, _granted(desired), "cuda_oom", detail)
        return _granted(desired)
    failure = {"code": "cuda_oom", "detail": detail, "evidence": dict(evidence)}
    _leave(connection, held, State.FAILED, "cuda_oom", detail, failure, crashes=1)
    return State.FAILED


DEVICE = text(
    """
    UPDATE run SET device_count = device_count
            + CASE WHEN device_worker IS DISTINCT FROM worker THEN 1 ELSE 0 END,
        device_worker = worker
    WHERE id = :run_id RETURNING device_count, attempt
    """
)


def record_device_failure(
    connection: Connection,
    held: Claim,
    detail: str,
    evidence: Mapping[str, Any],
    chunks: Mapping[str, Chunk] = NOTHING,
) -> State:
    """The device broke, not the run: queue again; fail once it broke on two workers without a new checkpoint."""
    desired = flush(connection, held, chunks)
    row = connection.execute(DEVICE, {"run_id": held.run_id}).one()
    state, failure = _granted(desired), None
    if state is State.QUEUED and (row.device_count >= DEVICE_BUDGET or row.attempt >= ATTEMPT_BUDGET):
        state = State.FAILED
        failure = {
            "code": "device_loop",
            "detail": f"The device failed on {row.device_count} workers without a new checkpoint; the last: {detail}",
            "evidence": dict(evidence),
        }
    _leave(connection, held, state, "device_failed", detail, failure, evidence=evidence)
    return state


def pause_by_server(connection: Connection, held: Claim, chunks: Mapping[str, Chunk], code: str, detail: str) -> State:
    """Pause the run because the server cannot go on with it; `code` and `detail` tell people what to mend."""
    desired = flush(connection, held, chunks)
    state = State.CANCELLED if desired is DesiredState.CANCEL else State.PAUSED
    _leave(connection, held, state, code, detail)
    return state


def _granted(desired: DesiredState) -> State:
    """Return the state in which an interrupted attempt leaves the run: a requested cancel or pause is granted."""
    return {DesiredState.CANCEL: State.CANCELLED, DesiredState.PAUSE: State.PAUSED, DesiredState.RUN: State.QUEUED}[
        desired
    ]


def _leave(
    connection: Connection,
    held: Claim,
    state: State,
    ending: str,
    detail: str | None = None,
    failure: Mapping[str, Any] | None = None,
    crashes: int = 0,
    wait_s: float = 0.0,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    run = {"run_id": held.run_id}
    connection.execute(
        END,
        run
        | {"lease": held.lease, "state": state.value, "crashes": crashes, "wait_s": wait_s, "spread": BACKOFF_SPREAD}
        | {"failure": None if failure is None else dumps(failure)},
    )
    connection.execute(CLOSE_ATTEMPT, run | {"attempt": held.attempt, "ending": ending, "detail": detail})
    data: dict[str, Any] = {"attempt": held.attempt, "ending": ending} | ({"detail": detail} if detail else {})
    data |= {"evidence": dict(evidence)} if evidence else {}
    data |= {"failure": dict(failure)} if failure else {}
    events.record_state(connection, held.run_id, state, data, by=held.holder, why=ending)
