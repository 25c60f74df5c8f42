"""Commands on runs: cancel, pause, resume, reprioritise.

The runs are locked first, so a decision is based on the state that it changes. A waiting run changes at once. For a
running one the desired state is stored, and its worker reads it with its next write. Commands are idempotent.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import Connection, text

from service.db.access import audit
from service.db.access.principal import Principal
from service.db.runs import events, runs
from service.db.runs.runs import StoredRun
from service.errors import Conflict
from service.lifecycle import ASIDE, MOVES, PRIORITY_S, TERMINAL, WISHES, DesiredState, State

WHY = "requested"
SET_DESIRED = text("UPDATE run SET desired = :desired WHERE id = ANY(:ids) AND state = 'running'")
CANCEL = text(
    """
    UPDATE run SET state = 'cancelled', finished_at = clock_timestamp(), desired = 'run'
    WHERE id = ANY(:ids) AND state = ANY(:origins)
    """
)
PAUSE = text("UPDATE run SET state = 'paused', desired = 'run' WHERE id = ANY(:ids) AND state = ANY(:origins)")
RESUME = text(
    """
    UPDATE run SET state = 'queued', desired = 'run', queued_at = clock_timestamp(), not_before = clock_timestamp(),
        rank_at = clock_timestamp() - priority * make_interval(secs => :point_s),
        pause_at = CASE WHEN pause_at > step THEN pause_at END
    WHERE id = ANY(:ids) AND state = ANY(:origins)
    """
)
MOVE_TO = {State.CANCELLED: ("cancel", CANCEL), State.PAUSED: ("pause", PAUSE), State.QUEUED: ("resume", RESUME)}
PRIORITISE = text(
    """
    UPDATE run SET rank_at = rank_at + (priority - :priority) * make_interval(secs => :point_s), priority = :priority
    WHERE id = :id
    """
)
Decision = Callable[[StoredRun], State | DesiredState | None]  # the new state, the new desired state, or no change


def cancel(connection: Connection, principal: Principal, run_id: str) -> StoredRun:
    """Cancel the run; raise `Conflict` if it has ended."""
    return _command(connection, principal, run_id, "cancel", _decide_cancel)


def pause(connection: Connection, principal: Principal, run_id: str) -> StoredRun:
    """Pause the run: it keeps its checkpoint and releases its device."""
    return _command(connection, principal, run_id, "pause", _decide_pause)


def resume(connection: Connection, principal: Principal, run_id: str) -> StoredRun:
    """Queue a paused run again, or withdraw a pause that has not happened yet."""
    return _command(connection, principal, run_id, "resume", _decide_resume)


def cancel_all(connection: Connection, principal: Principal, experiment_id: str) -> None:
    """Cancel every run of an experiment that has not ended."""
    _command_all(connection, principal, experiment_id, "cancel", _decide_cancel)


def pause_all(connection: Connection, principal: Principal, experiment_id: str) -> None:
    """Pause every run of an experiment that waits or trains."""
    _command_all(connection, principal, experiment_id, "pause", _decide_pause)


def resume_all(connection: Connection, principal: Principal, experiment_id: str) -> None:
    """Resume every paused run of an experiment."""
    _command_all(connection, principal, experiment_id, "resume", _decide_resume)


def prioritise(connection: Connection, principal: Principal, run_id: str, priority: int) -> StoredRun:
    """Move the run in the queue by the change of its priority; raise `Conflict` if it has ended."""
    found = runs.get(connection, principal, run_id, lock=True)
    if found.state in TERMINAL:
        raise Conflict(f"The run has already {_ended(found)}: the priority of a run that has not ended can be changed.")
    if found.priority != priority:
        connection.execute(PRIORITISE, {"id": run_id, "priority": priority, "point_s": PRIORITY_S})
        data = {"from": found.priority, "to": priority}
        events.add(connection, run_id, "priority", data, by=principal.member, why=WHY)
        audit.record(connection, principal, "run.prioritise", run_id, **data)
    return runs.get(connection, principal, run_id)


def _decide_cancel(found: StoredRun) -> State | DesiredState | None:
    if found.state is State.CANCELLED:
        return None
    if found.state in TERMINAL:
        raise Conflict(
            f"The run has already {found.state.value}: only a run that waits, runs or is paused can be cancelled."
        )
    return DesiredState.CANCEL if found.state is State.RUNNING else State.CANCELLED


def _decide_pause(found: StoredRun) -> State | DesiredState | None:
    if found.state in TERMINAL:
        raise Conflict(f"The run has already {_ended(found)}: only a run that waits or runs can be paused.")
    if found.state is State.RUNNING and found.desired is DesiredState.CANCEL:
        raise Conflict("The run is being cancelled: it can no longer be paused; retry it once it is cancelled.")
    if found.state is State.RUNNING:
        return DesiredState.PAUSE
    return State.PAUSED if found.state is State.QUEUED else None


def _decide_resume(found: StoredRun) -> State | DesiredState | None:
    if found.state in TERMINAL:
        raise Conflict(f"The run has already {_ended(found)}: {_instead(found)}.")
    if found.state is State.RUNNING and found.desired is DesiredState.CANCEL:
        raise Conflict("The run is being cancelled: retry it once it is cancelled.")
    if found.state is State.RUNNING:
        return DesiredState.RUN
    return State.QUEUED if found.state is State.PAUSED else None


def _ended(found: StoredRun) -> str:
    return "been cancelled" if found.state is State.CANCELLED else found.state.value


def _instead(found: StoredRun) -> str:
    """Return what can be done with a run that has ended."""
    if found.relation in ASIDE:
        return f"{found.relation.value} its run again instead"
    return "fork it instead" if found.state is State.SUCCEEDED else "retry or fork it instead"


def _command(connection: Connection, principal: Principal, run_id: str, verb: str, decide: Decision) -> StoredRun:
    found = runs.get(connection, principal, run_id, lock=True)
    change = decide(found)
    _apply(connection, principal, [(found, change)])
    if change is not None:
        audit.record(connection, principal, f"run.{verb}", run_id, experiment=found.experiment_id)
    return runs.get(connection, principal, run_id)


def _command_all(connection: Connection, principal: Principal, experiment_id: str, verb: str, decide: Decision) -> None:
    """Apply a decision to the runs of an experiment, except those for which it raises `Conflict`."""
    decided = []
    for found in runs.lock_of_experiment(connection, experiment_id):
        with suppress(Conflict):  # it has ended, or is being cancelled
            decided.append((found, decide(found)))
    _apply(connection, principal, decided)
    if changed := sum(change is not None for _, change in decided):
        audit.record(connection, principal, f"experiment.{verb}", experiment_id, runs=changed)


def _apply(
    connection: Connection, principal: Principal, decided: Sequence[tuple[StoredRun, State | DesiredState | None]]
) -> None:
    """Store the decisions, in one statement for each kind of change, and record an event for each run."""
    for state, (move, statement) in MOVE_TO.items():
        if ids := [found.id for found, change in decided if change is state]:
            origins = [origin.value for origin in MOVES[move].origins]
            values = {"point_s": PRIORITY_S} if statement is RESUME else {}
            connection.execute(statement, {"ids": ids, "origins": origins, **values})
            events.add_many(connection, ids, "state", {"state": state.value}, by=principal.member, why=WHY)
    for desired in WISHES:
        if ids := [found.id for found, change in decided if change is desired and found.desired is not desired]:
            connection.execute(SET_DESIRED, {"ids": ids, "desired": desired.value})
            events.add_many(connection, ids, "wish", {"wish": desired.value}, by=principal.member, why=WHY)
