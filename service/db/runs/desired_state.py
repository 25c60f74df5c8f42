"""What people ask of a run: cancel it, pause it, resume it, move it in the queue.

Each locks the run first, so that the state it decides by is the one it changes. What waits changes at once; of what
runs it is wished, and its worker hears it with the answer to its next write. Asking twice is harmless.
"""

from typing import Any

from sqlalchemy import Connection, text

from service.db.access.projects import Principal
from service.db.runs import events, runs
from service.db.runs.runs import StoredRun
from service.errors import Conflict
from service.lifecycle import ASIDE, MOVES, PRIORITY_S, TERMINAL, DesiredState, State

ASKED = "asked for"
WISH = text("UPDATE run SET desired = :wish WHERE id = :id AND state = 'running'")
CANCEL = text(
    """
    UPDATE run SET state = 'cancelled', finished_at = clock_timestamp(), desired = 'run'
    WHERE id = :id AND state = ANY(:origins)
    """
)
PAUSE = text("UPDATE run SET state = 'paused', desired = 'run' WHERE id = :id AND state = ANY(:origins)")
RESUME = text(
    """
    UPDATE run SET state = 'queued', desired = 'run', queued_at = clock_timestamp(), not_before = clock_timestamp(),
        rank_at = clock_timestamp() - priority * make_interval(secs => :point_s)
    WHERE id = :id AND state = ANY(:origins)
    """
)
PRIORITISE = text(
    """
    UPDATE run SET rank_at = rank_at + (priority - :priority) * make_interval(secs => :point_s), priority = :priority
    WHERE id = :id
    """
)


def cancel(connection: Connection, principal: Principal, run_id: str) -> StoredRun:
    """Cancel the run; `Conflict` once it has ended otherwise."""
    found = runs.get(connection, principal, run_id, lock=True)
    if found.state is State.CANCELLED:
        return found
    if found.state in TERMINAL:
        raise Conflict(
            f"The run has already {found.state.value}: only a run that waits, runs or is paused can be cancelled."
        )
    if found.state is State.RUNNING:
        _wish(connection, principal, found, DesiredState.CANCEL)
    else:
        _change(connection, principal, found, "cancel", State.CANCELLED, CANCEL)
    return runs.get(connection, principal, run_id)


def pause(connection: Connection, principal: Principal, run_id: str) -> StoredRun:
    """Pause the run: it keeps its checkpoint and gives its device away."""
    found = runs.get(connection, principal, run_id, lock=True)
    if found.state in TERMINAL:
        raise Conflict(f"The run has already {_ended(found)}: only a run that waits or runs can be paused.")
    if found.state is State.RUNNING and found.desired is DesiredState.CANCEL:
        raise Conflict("The run is being cancelled: it cannot be paused any more; retry it once it is cancelled.")
    if found.state is State.RUNNING:
        _wish(connection, principal, found, DesiredState.PAUSE)
    elif found.state is State.QUEUED:
        _change(connection, principal, found, "pause", State.PAUSED, PAUSE)
    return runs.get(connection, principal, run_id)


def resume(connection: Connection, principal: Principal, run_id: str) -> StoredRun:
    """Queue a paused run again; take back a pause that has not happened yet."""
    found = runs.get(connection, principal, run_id, lock=True)
    if found.state in TERMINAL:
        raise Conflict(f"The run has already {_ended(found)}: {_instead(found)}.")
    if found.state is State.RUNNING and found.desired is DesiredState.CANCEL:
        raise Conflict("The run is being cancelled: retry it once it is cancelled.")
    if found.state is State.RUNNING:
        _wish(connection, principal, found, DesiredState.RUN)
    elif found.state is State.PAUSED:
        _change(connection, principal, found, "resume", State.QUEUED, RESUME, point_s=PRIORITY_S)
    return runs.get(connection, principal, run_id)


def prioritise(connection: Connection, principal: Principal, run_id: str, priority: int) -> StoredRun:
    """Move the run in the queue by the difference of its priorities; `Conflict` once it has ended."""
    found = runs.get(connection, principal, run_id, lock=True)
    if found.state in TERMINAL:
        raise Conflict(f"The run has already {_ended(found)}: the priority of a run that has not ended can be changed.")
    if found.priority != priority:
        connection.execute(PRIORITISE, {"id": run_id, "priority": priority, "point_s": PRIORITY_S})
        data = {"from": found.priority, "to": priority}
        events.add(connection, run_id, "priority", data, by=principal.member, why=ASKED)
    return runs.get(connection, principal, run_id)


def _ended(found: StoredRun) -> str:
    return "been cancelled" if found.state is State.CANCELLED else found.state.value


def _instead(found: StoredRun) -> str:
    """What is possible with a run that has ended."""
    if found.relation in ASIDE:
        return f"{found.relation.value} its run again instead"
    return "fork it instead" if found.state is State.SUCCEEDED else "retry or fork it instead"


def _wish(connection: Connection, principal: Principal, found: StoredRun, desired: DesiredState) -> None:
    if found.desired is not desired:
        connection.execute(WISH, {"id": found.id, "wish": desired.value})
        events.add(connection, found.id, "wish", {"wish": desired.value}, by=principal.member, why=ASKED)


def _change(
    connection: Connection,
    principal: Principal,
    found: StoredRun,
    move: str,
    state: State,
    statement: Any,
    **values: float,
) -> None:
    origins = [origin.value for origin in MOVES[move].origins]
    connection.execute(statement, {"id": found.id, "origins": origins, **values})
    events.add(connection, found.id, "state", {"state": state.value}, by=principal.member, why=ASKED)
