"""What a study decides about the runs of a trial: they go on from their rung, or stop.

The runs are locked first, in the order of their ids as for commands. A run is continued only if it is paused, and
stopped only if it has not ended; both are idempotent.
"""

from sqlalchemy import Connection, text

from service.db.runs import events, runs
from service.db.runs.desired_state import CANCEL, PAUSE, RESUME, SET_DESIRED
from service.lifecycle import MOVES, PRIORITY_S, TERMINAL, DesiredState, State

CONTINUE = text(
    """
    UPDATE run SET state = 'queued', desired = 'run', queued_at = clock_timestamp(), not_before = clock_timestamp(),
        rank_at = clock_timestamp() - priority * make_interval(secs => :point_s), pause_at = :pause_at
    WHERE id = ANY(:ids) AND state = 'paused'
    """
)


def continue_runs(connection: Connection, experiment_id: str, pause_at: int | None, by: str, why: str) -> list[str]:
    """Queue the paused runs of a trial, to pause by themselves after step `pause_at`; return their ids."""
    paused = [run.id for run in runs.lock_of_experiment(connection, experiment_id) if run.state is State.PAUSED]
    if paused:
        connection.execute(CONTINUE, {"ids": paused, "pause_at": pause_at, "point_s": PRIORITY_S})
        events.add_many(connection, paused, "state", {"state": State.QUEUED.value}, by=by, why=why)
    return paused


def stop_runs(connection: Connection, experiment_id: str, by: str, why: str) -> list[str]:
    """Cancel the runs of a trial that have not ended; return their ids. A running one is asked to."""
    found = [run for run in runs.lock_of_experiment(connection, experiment_id) if run.state not in TERMINAL]
    resting = [run.id for run in found if run.state is not State.RUNNING]
    asked = [run.id for run in found if run.state is State.RUNNING and run.desired is not DesiredState.CANCEL]
    if resting:
        connection.execute(CANCEL, {"ids": resting, "origins": [state.value for state in MOVES["cancel"].origins]})
        events.add_many(connection, resting, "state", {"state": State.CANCELLED.value}, by=by, why=why)
    if asked:
        connection.execute(SET_DESIRED, {"ids": asked, "desired": DesiredState.CANCEL.value})
        events.add_many(connection, asked, "wish", {"wish": DesiredState.CANCEL.value}, by=by, why=why)
    return [*resting, *asked]


def pause_runs(connection: Connection, experiment_id: str, by: str, why: str) -> None:
    """Pause the runs of a trial that wait or train, wherever they are; a running one is asked to."""
    found = runs.lock_of_experiment(connection, experiment_id)
    waiting = [run.id for run in found if run.state is State.QUEUED]
    asked = [run.id for run in found if run.state is State.RUNNING and run.desired is DesiredState.RUN]
    if waiting:
        connection.execute(PAUSE, {"ids": waiting, "origins": [State.QUEUED.value]})
        events.add_many(connection, waiting, "state", {"state": State.PAUSED.value}, by=by, why=why)
    if asked:
        connection.execute(SET_DESIRED, {"ids": asked, "desired": DesiredState.PAUSE.value})
        events.add_many(connection, asked, "wish", {"wish": DesiredState.PAUSE.value}, by=by, why=why)


def resume_runs(connection: Connection, experiment_id: str, by: str, why: str) -> list[str]:
    """Queue the paused runs that have not come to their rung, and withdraw pauses; return the pools of the former."""
    found = runs.lock_of_experiment(connection, experiment_id)
    paused = [run for run in found if run.state is State.PAUSED and (run.pause_at is None or run.step < run.pause_at)]
    asked = [run.id for run in found if run.state is State.RUNNING and run.desired is DesiredState.PAUSE]
    if paused:
        ids = [run.id for run in paused]
        values = {"ids": ids, "origins": [State.PAUSED.value], "point_s": PRIORITY_S}
        connection.execute(RESUME, values)  # keeps the step of the rung, which lies ahead
        events.add_many(connection, ids, "state", {"state": State.QUEUED.value}, by=by, why=why)
    if asked:
        connection.execute(SET_DESIRED, {"ids": asked, "desired": DesiredState.RUN.value})
        events.add_many(connection, asked, "wish", {"wish": DesiredState.RUN.value}, by=by, why=why)
    return [run.pool for run in paused]
