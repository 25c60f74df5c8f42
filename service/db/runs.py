"""Runs as people see them: read, listed, cancelled. What workers write is in leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, text

from service.db import events
from service.db.projects import Principal
from service.db.tables import attempt, run
from service.errors import Conflict, NotFound
from service.lifecycle import MOVES, TERMINAL, State, Wish


@dataclass(frozen=True)
class StoredRun:
    """One training as stored; `step` is the last one whose points are stored."""

    id: str
    experiment_id: str
    seed: int
    state: State
    desired: Wish
    step: int
    total_steps: int
    attempt: int
    checkpoint_step: int
    worker: str | None
    pool: str
    failure: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


COLUMNS = [run.c[name] for name in StoredRun.__dataclass_fields__]


def stored(row: RowMapping) -> StoredRun:
    """A row of COLUMNS."""
    return StoredRun(**{**row, "state": State(row["state"]), "desired": Wish(row["desired"])})


def get(connection: Connection, principal: Principal, run_id: str, lock: bool = False) -> StoredRun:
    """One run, or `NotFound`, which is also the answer for another project's."""
    query = select(*COLUMNS).where(run.c.id == run_id, run.c.project_id == principal.project_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return stored(row)


def some(connection: Connection, principal: Principal, ids: Sequence[str]) -> list[StoredRun]:
    """These runs in this order, or `NotFound` for the first that is not there."""
    query = select(*COLUMNS).where(run.c.id.in_(ids), run.c.project_id == principal.project_id)
    found = {row["id"]: stored(row) for row in connection.execute(query).mappings()}
    for run_id in ids:
        if run_id not in found:
            raise NotFound(f"There is no run {run_id}.")
    return [found[run_id] for run_id in ids]


def of_experiments(connection: Connection, experiment_ids: Sequence[str]) -> list[StoredRun]:
    """All runs of these experiments, by seed; the caller has checked that they may be seen."""
    query = select(*COLUMNS).where(run.c.experiment_id.in_(experiment_ids)).order_by(run.c.experiment_id, run.c.seed)
    return [stored(row) for row in connection.execute(query).mappings()]


def page(
    connection: Connection,
    principal: Principal,
    limit: int,
    before: str | None = None,
    state: State | None = None,
) -> list[StoredRun]:
    """The newest `limit` runs whose id sorts before `before`, of one state where asked."""
    query = select(*COLUMNS).where(run.c.project_id == principal.project_id).order_by(run.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(run.c.id < before)
    if state is not None:
        query = query.where(run.c.state == state.value)
    return [stored(row) for row in connection.execute(query).mappings()]


CANCEL = text(
    """
    UPDATE run SET state = 'cancelled', finished_at = clock_timestamp(), desired = 'run'
    WHERE id = :id AND state = ANY(:origins)
    """
)
WISH = text("UPDATE run SET desired = :wish WHERE id = :id AND state = 'running'")


def cancel(connection: Connection, principal: Principal, run_id: str) -> StoredRun:
    """Cancel at once what waits; wish it of what runs. Asking twice is harmless; `Conflict` once the run has ended."""
    found = get(connection, principal, run_id, lock=True)
    if found.state in TERMINAL:
        if found.state is State.CANCELLED:
            return found
        raise Conflict(
            f"The run has already {found.state.value}: only a run that waits, runs or is paused can be cancelled."
        )
    if found.state is State.RUNNING:
        connection.execute(WISH, {"id": run_id, "wish": Wish.CANCEL.value})
        if found.desired is not Wish.CANCEL:
            events.add(connection, run_id, "wish", {"wish": "cancel", "by": principal.member})
    else:
        connection.execute(CANCEL, {"id": run_id, "origins": [state.value for state in MOVES["cancel"].origins]})
        events.add(connection, run_id, "state", {"state": "cancelled", "by": principal.member})
    return get(connection, principal, run_id)


@dataclass(frozen=True)
class Attempt:
    """One execution of a run by one worker. Points beyond `cut_step` are superseded by a later attempt."""

    attempt: int
    worker: str
    start_step: int
    cut_step: int | None
    environment: dict[str, Any] | None
    started_at: datetime
    ended_at: datetime | None
    ending: str | None
    detail: str | None


def attempts(connection: Connection, run_id: str) -> list[Attempt]:
    """The history of a run, oldest first."""
    columns = [attempt.c[name] for name in Attempt.__dataclass_fields__]
    query = select(*columns).where(attempt.c.run_id == run_id).order_by(attempt.c.attempt)
    return [Attempt(**row) for row in connection.execute(query).mappings()]
