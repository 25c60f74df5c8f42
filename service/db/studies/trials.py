"""Trials: points of a study and what became of them; whoever writes holds the lock of the study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, insert, select, text

from service.db.driver import Statement
from service.db.tables import experiment, study_trial

OPEN_TRIALS = ("running", "waiting")


@dataclass(frozen=True)
class StoredTrial:
    """A row of a trial."""

    number: int
    point: dict[str, Any]
    state: str  # running, waiting, finished, pruned or failed
    by_hand: bool
    repeats: int | None
    experiment_id: str | None  # None: its point makes no valid spec, or the experiment is no longer in the project
    total_steps: int
    rung_steps: tuple[int, ...]
    rungs: tuple[float | None, ...]
    value: float | None
    seed_values: tuple[float | None, ...]
    why: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN_TRIALS


@dataclass(frozen=True)
class NewTrial:
    """A trial to be stored; one whose point makes no valid spec has failed already, and `why` says so."""

    number: int
    point: Mapping[str, Any]
    experiment_id: str | None
    total_steps: int = 0
    rung_steps: Sequence[int] = ()
    by_hand: bool = False
    repeats: int | None = None
    why: str | None = None


_COLUMNS = dict(study_trial.c.items())
_ALL: Select[Any] = select(*(_COLUMNS[name] for name in StoredTrial.__dataclass_fields__))
_THERE = and_(experiment.c.id == study_trial.c.experiment_id, experiment.c.project_id == study_trial.c.project_id)
_SHOWN: Select[Any] = select(
    *(experiment.c.id if name == "experiment_id" else _COLUMNS[name] for name in StoredTrial.__dataclass_fields__)
).outerjoin(experiment, _THERE)


EVERY = Statement(_ALL.where(study_trial.c.study_id == bindparam("study_id")).order_by(study_trial.c.number))


def _stored(row: Sequence[Any]) -> StoredTrial:
    fields: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    return StoredTrial(*fields)


def all_of(connection: Connection, study_id: str) -> list[StoredTrial]:
    """Return every trial of a study by its number; the caller checks access."""
    return [_stored(row) for row in EVERY.rows(connection, study_id=study_id)]


Revision = tuple[int, int]  # how many trials, and a hash of the transactions that wrote them last
REVISION = Statement(
    text(
        """
        SELECT count(*), coalesce(sum(hashint8extended(number, xmin::text::bigint)), 0)::text
        FROM study_trial WHERE study_id = :study_id
        """
    )
)


def revision(connection: Connection, study_id: str) -> Revision:
    """Return what is another after any change of a study's trials, by whatever statement."""
    ((count, digest),) = REVISION.rows(connection, study_id=study_id)
    return count, int(digest)


def page(
    connection: Connection, study_id: str, limit: int, after: int | None, descending: bool = False
) -> list[StoredTrial]:
    """Return the next `limit` trials by number, each with its experiment where that is still in the project."""
    number = study_trial.c.number
    query = _SHOWN.where(study_trial.c.study_id == study_id)
    if after is not None:
        query = query.where(number < after if descending else number > after)
    query = query.order_by(number.desc() if descending else number.asc()).limit(limit)
    return [_stored(row) for row in connection.execute(query)]


def add(connection: Connection, study_id: str, project_id: str, new: NewTrial) -> None:
    """Store a trial that has just been submitted, or one that could not be."""
    ended = new.experiment_id is None
    row = {
        **new.__dict__,
        "study_id": study_id,
        "project_id": project_id,
        "point": dict(new.point),
        "rung_steps": list(new.rung_steps),
        "state": "failed" if ended else "running",
        "ended_at": func.clock_timestamp() if ended else None,
    }
    connection.execute(insert(study_trial).values(row))


def set_rungs(connection: Connection, study_id: str, number: int, state: str, rungs: Sequence[float | None]) -> None:
    """Record the objective at the rungs that a trial has reached, and whether it waits there."""
    _update(connection, study_id, number, {"state": state, "rungs": list(rungs)})


def end(
    connection: Connection,
    study_id: str,
    number: int,
    state: str,
    why: str | None = None,
    value: float | None = None,
    seed_values: Sequence[float | None] = (),
) -> None:
    """End a trial."""
    ended = {"state": state, "why": why, "value": value, "seed_values": list(seed_values)}
    _update(connection, study_id, number, ended | {"ended_at": func.clock_timestamp()})


def _update(connection: Connection, study_id: str, number: int, values: dict[str, Any]) -> None:
    chosen = (study_trial.c.study_id == study_id) & (study_trial.c.number == number)
    connection.execute(study_trial.update().where(chosen).values(**values))


@dataclass(frozen=True)
class Cost:
    """What the runs of a trial took so far: steps over all seeds, and seconds of a device."""

    steps: int
    device_s: float
    over: bool  # none of the runs can take more


# replays and probe jobs are somebody's own, and no part of the trial
COSTS = Statement(
    text(
        """
        SELECT t.number, sum(r.step - r.origin_step)::bigint,
            sum(r.trained_s + CASE WHEN r.state = 'running'
                THEN greatest(0, extract(epoch FROM clock_timestamp() - a.started_at)) / a.pack_runs
                ELSE 0 END)::float8,
            bool_and(r.state IN ('succeeded', 'failed', 'cancelled'))
        FROM study_trial t JOIN run r ON r.experiment_id = t.experiment_id
        LEFT JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
        WHERE t.study_id = :study_id AND (r.relation IS NULL OR r.relation = 'retry')
        GROUP BY t.number
        """
    )
)


def costs(connection: Connection, study_id: str) -> dict[int, Cost]:
    """Return what each trial took so far, by number; a run that was asked to stop takes a little more."""
    return {number: Cost(*fields) for number, *fields in COSTS.rows(connection, study_id=study_id)}


MOVED = Statement(
    text(
        """
        SELECT DISTINCT t.number FROM study_trial t JOIN run r ON r.experiment_id = t.experiment_id
        WHERE t.study_id = :study_id AND t.state = 'waiting' AND r.state NOT IN ('paused', 'succeeded')
            AND (r.relation IS NULL OR r.relation = 'retry')
        """
    )
)


def moved(connection: Connection, study_id: str) -> set[int]:
    """Return the waiting trials with a run that somebody resumed or cancelled; most wait as they were."""
    return {number for (number,) in MOVED.rows(connection, study_id=study_id)}


def counts(connection: Connection, study_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many trials of each study are in each state."""
    found: dict[str, dict[str, int]] = {study_id: {} for study_id in study_ids}
    query = select(study_trial.c.study_id, study_trial.c.state, func.count())
    query = query.where(study_trial.c.study_id.in_(study_ids)).group_by(study_trial.c.study_id, study_trial.c.state)
    for study_id, state, n in connection.execute(query):
        found[study_id][state] = n
    return found
