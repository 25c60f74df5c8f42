"""Ends of an attempt: the run ends, is queued again, or is paused. Each is one fenced transaction.

The budgets are in service.lifecycle.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from service.db.metrics import write
from service.db.metrics.codec import Chunk
from service.db.runs import events, turns
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

NO_CHUNKS: Mapping[str, Chunk] = {}

MARK_DAMAGED = text(
    "UPDATE checkpoint SET damaged = true WHERE folder = :folder AND run_id = ANY(:run_ids) AND NOT damaged"
)
CHECKPOINT_OWNER = text("SELECT run_id FROM checkpoint WHERE folder = :folder AND run_id <> :run_id")
FALL_BACK = text(
    """
    UPDATE run SET checkpoint_step = coalesce((SELECT max(step) FROM checkpoint
        WHERE run_id = :run_id AND NOT damaged AND removed_at IS NULL), origin_step)
    WHERE id = :run_id RETURNING checkpoint_step
    """
)


def quarantine(connection: Connection, claim: Claim, folder: str) -> State:
    """Mark an unreadable checkpoint as damaged, and queue the run again from the one before.

    If the checkpoint is the parent's, there is none before, and the run fails.
    """
    state = _state_after(fence(connection, claim))
    owner = connection.execute(CHECKPOINT_OWNER, {"folder": folder, "run_id": claim.run_id}).scalar_one_or_none()
    connection.execute(MARK_DAMAGED, {"run_ids": [owner or claim.run_id], "folder": folder})
    name = folder.rstrip("/").rsplit("/", 1)[-1]
    data = {"folder_name": name, "step": claim.start_step}
    why = "it cannot be read"
    if owner is not None:
        events.add(connection, claim.run_id, "checkpoint_damaged", data, by=claim.holder, why=why)
        failure = {
            "code": "no_good_checkpoint",
            "detail": f"The checkpoint of {owner} that this run starts from cannot be read: start from another step.",
            "evidence": {"run_id": owner, "step": claim.start_step},
        }
        _end_attempt(connection, claim, State.FAILED, "checkpoint_damaged", None, failure)
        return State.FAILED
    data["goes_on_from"] = connection.execute(FALL_BACK, {"run_id": claim.run_id}).scalar_one()
    events.add(connection, claim.run_id, "checkpoint_damaged", data, by=claim.holder, why=why)
    _end_attempt(connection, claim, state, "checkpoint_damaged")
    return state


END = text(
    f"""
    WITH ended AS (
        UPDATE run SET state = :state, lease = NULL,
            crash_count = crash_count + :crashes, failure = cast(:failure AS jsonb),
            trained_s = trained_s + (SELECT greatest(0, extract(epoch FROM clock_timestamp() - a.started_at))
                / a.pack_runs FROM attempt a WHERE a.run_id = run.id AND a.attempt = run.attempt),
            not_before = clock_timestamp() + make_interval(secs => :wait_s * (1 + :spread * (2 * random() - 1))),
            queued_at = CASE WHEN :state = 'queued' THEN clock_timestamp() ELSE queued_at END,
            finished_at = CASE WHEN :state IN {ENDED} THEN clock_timestamp() END
        WHERE id = :run_id AND lease = :lease AND state = 'running'
        RETURNING id, attempt, pool, needs, project_id, owner_id, worker)
    {turns.count_use("ended")}
    """  # noqa: S608  names of states, pieces of SQL
)
COUNTS_AS_TRIED = "ending IS DISTINCT FROM 'preempted'"  # towards the budget of attempts
TRIES = text(
    f"""
    SELECT crash_count + 1 AS crashes,
        (SELECT count(*) FROM attempt a WHERE a.run_id = run.id AND a.{COUNTS_AS_TRIED}) AS tries
    FROM run WHERE id = :run_id
    """  # noqa: S608  pieces of SQL
)
CLOSE_ATTEMPT = text(
    """
    UPDATE attempt SET ended_at = clock_timestamp(), ending = :ending, detail = :detail
    WHERE run_id = :run_id AND attempt = :attempt AND ended_at IS NULL
    """
)
SELECT_ENDING = text("SELECT ending FROM attempt WHERE run_id = :run_id AND attempt = :attempt AND lease = :lease")


def already_ended(connection: Connection, claim: Claim) -> bool:
    """Whether the end of this attempt is committed, for when the answer to the COMMIT was lost."""
    run = {"run_id": claim.run_id, "attempt": claim.attempt, "lease": claim.lease}
    return connection.execute(SELECT_ENDING, run).scalar_one_or_none() is not None


PAUSE_DUE = text("SELECT coalesce(step >= pause_at, false) FROM run WHERE id = :run_id")


def finish(
    connection: Connection,
    claim: Claim,
    state: State,
    chunks: Mapping[str, Chunk],
    failure: Mapping[str, Any] | None = None,
    detail: str | None = None,
) -> State:
    """End the run with its last points: succeeded, cancelled, paused, or failed permanently (`failure` says why).

    A run that has reached its `pause_at` stays paused until somebody resumes it. If a pause was withdrawn meanwhile,
    the run is queued again; if it became a cancel, the run is cancelled.
    `detail` is stored with the attempt, such as the stop rule that ended it early.
    """
    desired = flush(connection, claim, chunks)
    if state is State.PAUSED:
        state = _state_after(desired)
        if state is State.QUEUED and connection.execute(PAUSE_DUE, {"run_id": claim.run_id}).scalar_one():
            state, detail = State.PAUSED, detail or f"at step {claim.pause_at}, where it was to pause"
    if state in TERMINAL:
        write.compact(connection, claim.run_id, claim.attempt, 2**62)
    if state is State.SUCCEEDED:
        names = write.series_ids(connection, claim.run_id, ())
        write.finalise(connection, claim.run_id, claim.minibatch_series(names))
    _end_attempt(connection, claim, state, state.value, detail, failure)
    return state


def requeue(connection: Connection, claim: Claim, chunks: Mapping[str, Chunk], detail: str | None = None) -> State:
    """Queue the run again without counting a failure, because the worker drains; apply a requested cancel or pause."""
    state = _state_after(flush(connection, claim, chunks))
    _end_attempt(connection, claim, state, "drained", detail)
    return state


PREEMPTED_WHY = text(
    "SELECT data ->> 'why' FROM event WHERE run_id = :run_id AND kind = 'preempted' ORDER BY id DESC LIMIT 1"
)


def make_way(connection: Connection, claim: Claim, chunks: Mapping[str, Chunk]) -> State:
    """Queue a preempted run again without counting a failure; apply a requested cancel or pause."""
    state = _state_after(flush(connection, claim, chunks))
    why = connection.execute(PREEMPTED_WHY, {"run_id": claim.run_id}).scalar_one_or_none()
    _end_attempt(connection, claim, state, "preempted", why)
    return state


def record_crash(
    connection: Connection,
    claim: Claim,
    kind: str,
    detail: str,
    evidence: Mapping[str, Any],
    chunks: Mapping[str, Chunk] = NO_CHUNKS,
) -> State:
    """Queue the run again after a crash, or fail it once the budget is spent; apply a requested cancel or pause."""
    desired = flush(connection, claim, chunks)
    row = connection.execute(TRIES, {"run_id": claim.run_id}).one()
    state, failure = _state_after(desired), None
    if state is State.QUEUED and (row.crashes >= CRASH_BUDGET or row.tries >= ATTEMPT_BUDGET):
        state, failure = State.FAILED, _crash_loop(row.crashes, kind, detail, evidence)
    wait_s = backoff_s(row.crashes)
    _end_attempt(connection, claim, state, kind, detail, failure, crashes=1, wait_s=wait_s, evidence=evidence)
    return state


def _crash_loop(crashes: int, kind: str, detail: str, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the failure of a run whose trainers failed too often."""
    why = f"The trainer died {crashes} times without a new checkpoint; the last time: {detail}"
    return {"code": "crash_loop", "detail": why, "evidence": {"last_kind": kind, **evidence}}


LAST_OOM_STEP = text(
    """
    SELECT coalesce(data->'evidence'->>'step', 'build') FROM event
    WHERE run_id = :run_id AND kind = 'state' AND data->>'ending' = 'cuda_oom' ORDER BY id DESC LIMIT 1
    """
)


def record_cuda_oom(
    connection: Connection, claim: Claim, chunks: Mapping[str, Chunk], detail: str, evidence: Mapping[str, Any]
) -> State:
    """Queue the run again: others may have used the memory. Fail it if it ran out at the same point before."""
    step = "build" if evidence.get("step") is None else str(evidence["step"])
    if connection.execute(LAST_OOM_STEP, {"run_id": claim.run_id}).scalar_one_or_none() != step:
        return record_crash(connection, claim, "cuda_oom", detail, evidence, chunks)
    desired = flush(connection, claim, chunks)
    if (state := _state_after(desired)) is not State.QUEUED:
        _end_attempt(connection, claim, state, "cuda_oom", detail)
        return state
    failure = {"code": "cuda_oom", "detail": detail, "evidence": dict(evidence)}
    _end_attempt(connection, claim, State.FAILED, "cuda_oom", detail, failure, crashes=1)
    return State.FAILED


RAISE_MEMORY = text("UPDATE run SET memory_bytes = :memory_bytes WHERE id = :run_id")


def record_shared_oom(
    connection: Connection,
    claim: Claim,
    chunks: Mapping[str, Chunk],
    detail: str,
    evidence: Mapping[str, Any],
    memory_bytes: int,
) -> State:
    """Queue a run again that ran out of memory beside another; it reserves `memory_bytes` from now on.

    It is no failure of the run. At most three follow one another: then the run needs the whole device.
    """
    state = _state_after(flush(connection, claim, chunks))
    connection.execute(RAISE_MEMORY, {"run_id": claim.run_id, "memory_bytes": memory_bytes})
    evidence = {**evidence, "next_memory_bytes": memory_bytes}
    detail = f"{detail} Another run had memory of the device; this one reserves {memory_bytes >> 20} MiB from now on."
    _end_attempt(connection, claim, state, "cuda_oom", detail, evidence=evidence)
    return state


COUNT_DEVICE_FAILURE = text(
    """
    UPDATE run SET device_count = device_count
            + CASE WHEN device_worker IS DISTINCT FROM worker THEN 1 ELSE 0 END,
        device_worker = worker
    WHERE id = :run_id RETURNING device_count
    """
)


def record_device_failure(
    connection: Connection,
    claim: Claim,
    detail: str,
    evidence: Mapping[str, Any],
    chunks: Mapping[str, Chunk] = NO_CHUNKS,
) -> State:
    """Queue the run again, or fail it once devices of two workers failed without a new checkpoint.

    It counts as a crash too, so that a run that breaks the same worker again and again ends.
    """
    desired = flush(connection, claim, chunks)
    devices = connection.execute(COUNT_DEVICE_FAILURE, {"run_id": claim.run_id}).scalar_one()
    row = connection.execute(TRIES, {"run_id": claim.run_id}).one()
    state, failure = _state_after(desired), None
    if state is State.QUEUED and devices >= DEVICE_BUDGET:
        state = State.FAILED
        failure = {
            "code": "device_loop",
            "detail": f"The device failed on {devices} workers without a new checkpoint; the last: {detail}",
            "evidence": dict(evidence),
        }
    elif state is State.QUEUED and (row.crashes >= CRASH_BUDGET or row.tries >= ATTEMPT_BUDGET):
        state, failure = State.FAILED, _crash_loop(row.crashes, "device_failed", detail, evidence)
    _end_attempt(connection, claim, state, "device_failed", detail, failure, crashes=1, evidence=evidence)
    return state


def pause_by_server(connection: Connection, claim: Claim, chunks: Mapping[str, Chunk], code: str, detail: str) -> State:
    """Pause a run that the server cannot continue; `code` and `detail` say what to repair."""
    desired = flush(connection, claim, chunks)
    state = State.CANCELLED if desired is DesiredState.CANCEL else State.PAUSED
    _end_attempt(connection, claim, state, code, detail)
    return state


def _state_after(desired: DesiredState) -> State:
    """Return the run's state after an interrupted attempt: a requested cancel or pause takes effect."""
    return {DesiredState.CANCEL: State.CANCELLED, DesiredState.PAUSE: State.PAUSED}.get(desired, State.QUEUED)


def _end_attempt(
    connection: Connection,
    claim: Claim,
    state: State,
    ending: str,
    detail: str | None = None,
    failure: Mapping[str, Any] | None = None,
    crashes: int = 0,
    wait_s: float = 0.0,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    run = {"run_id": claim.run_id}
    connection.execute(
        END,
        run
        | {"lease": claim.lease, "state": state.value, "crashes": crashes, "wait_s": wait_s, "spread": BACKOFF_SPREAD}
        | turns.parameters(connection)
        | {"failure": None if failure is None else dumps(failure)},
    )
    connection.execute(CLOSE_ATTEMPT, run | {"attempt": claim.attempt, "ending": ending, "detail": detail})
    data: dict[str, Any] = {"attempt": claim.attempt, "ending": ending} | ({"detail": detail} if detail else {})
    data |= {"evidence": dict(evidence)} if evidence else {}
    data |= {"failure": dict(failure)} if failure else {}
    events.record_state(connection, claim.run_id, state, data, by=claim.holder, why=ending)
