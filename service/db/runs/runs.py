"""Queries of runs and attempts, and the choice of the runs of an experiment that count."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Connection, Text, bindparam, func, select

from service.db.access.principal import Principal
from service.db.access.visible import bound_sight, sight_values
from service.db.driver import Statement
from service.db.tables import attempt, run
from service.errors import NotFound
from service.lifecycle import ASIDE, DesiredState, Relation, State


@dataclass(frozen=True)
class StoredRun:
    """A row of a run; `step` is the last one whose points are stored."""

    id: str
    experiment_id: str  # of a preview, which only its asker finds, it is None
    seed: int
    fold: int | None  # that it validates on; None: its dataset has no folds
    state: State
    desired: DesiredState
    step: int
    total_steps: int
    attempt: int
    checkpoint_step: int
    worker: str | None
    pool: str
    needs: list[str]  # packages that its worker must have; devices=n for n > 1
    memory_bytes: int | None  # of a device, reserved where runs share one
    priority: int
    pause_at: int | None  # step after which it pauses by itself
    parent_run_id: str | None
    relation: Relation | None
    origin_step: int
    task: dict[str, Any] | None  # what a job does instead of training, without its rows
    trained_s: float
    limit_s: float | None
    failure: dict[str, Any] | None
    request_id: str | None  # of the request that queued it
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def predicts(self) -> bool:
        """Whether it is a job that predicts rows, which lists leave out unless they are asked for it."""
        return self.task is not None and not self.task.get("probes")


# without the rows that a job predicts, which can be many times as large as the rest
SHOWN = {"task": run.c.task.op("-")("rows").label("task")}
COLUMNS = [SHOWN.get(name, run.c[name]) for name in StoredRun.__dataclass_fields__]
IDS = func.any(bindparam("ids", type_=ARRAY(Text)))
_SEEN = select(*COLUMNS).where(
    run.c.id == IDS, run.c.experiment_id.is_not(None), bound_sight(run.c.project_id, run.c.experiment_id)
)  # not previews, which are no run of anything
_GET, _LOCK = Statement(_SEEN), Statement(_SEEN.with_for_update())
_OF_EXPERIMENTS = Statement(
    select(*COLUMNS).where(run.c.experiment_id == IDS).order_by(run.c.experiment_id, run.c.seed, run.c.id)
)


def stored(row: Mapping[Any, Any]) -> StoredRun:
    """Convert a row of COLUMNS."""
    relation = None if row["relation"] is None else Relation(row["relation"])
    return StoredRun(
        **{**row, "state": State(row["state"]), "desired": DesiredState(row["desired"]), "relation": relation}
    )


def stored_tuple(row: Iterable[Any]) -> StoredRun:
    """Convert a row that has no names."""
    return stored(dict(zip(StoredRun.__dataclass_fields__, row, strict=True)))


def get(connection: Connection, principal: Principal, run_id: str, lock: bool = False) -> StoredRun:
    """Return a run of the principal's project, or raise `NotFound`."""
    found = (_LOCK if lock else _GET).rows(connection, ids=[run_id], **sight_values(principal))
    if not found:
        raise NotFound(f"There is no run {run_id}.")
    return stored_tuple(found[0])


def get_many(connection: Connection, principal: Principal, ids: Sequence[str]) -> list[StoredRun]:
    """Return these runs in this order; raise `NotFound` for the first that is missing."""
    rows = _GET.rows(connection, ids=list(ids), **sight_values(principal))
    found = {each.id: each for each in map(stored_tuple, rows)}
    for run_id in ids:
        if run_id not in found:
            raise NotFound(f"There is no run {run_id}.")
    return [found[run_id] for run_id in ids]


def all_of_experiments(connection: Connection, experiment_ids: Sequence[str]) -> list[StoredRun]:
    """Return every run of these experiments, by seed; the caller checks access."""
    return [stored_tuple(row) for row in _OF_EXPERIMENTS.rows(connection, ids=list(experiment_ids))]


def lock_of_experiment(connection: Connection, experiment_id: str) -> list[StoredRun]:
    """Lock and return every run of an experiment that the caller may change, in the order of their ids."""
    return lock_of_experiments(connection, [experiment_id])


def lock_of_experiments(connection: Connection, experiment_ids: Sequence[str]) -> list[StoredRun]:
    """Lock and return every run of experiments that the caller may change, in the order of their ids."""
    query = select(*COLUMNS).where(run.c.experiment_id.in_(experiment_ids)).order_by(run.c.id).with_for_update()
    return [stored(row) for row in connection.execute(query).mappings()]


def of_experiments(connection: Connection, experiment_ids: Sequence[str]) -> list[StoredRun]:
    """Return the runs that count, by seed (see `select_counted`)."""
    return select_counted(all_of_experiments(connection, experiment_ids))


def select_counted(found: Sequence[StoredRun]) -> list[StoredRun]:
    """Return, for each experiment and seed, the newest run that is neither replay nor probe job; keep the order."""
    newest: dict[tuple[str, int], str] = {}
    for each in found:
        if each.relation not in ASIDE:
            seed = (each.experiment_id, each.seed)
            newest[seed] = max(each.id, newest.get(seed, ""))
    return [each for each in found if newest.get((each.experiment_id, each.seed)) == each.id]


def derived_from(connection: Connection, run_id: str, relation: Relation) -> list[StoredRun]:
    """Return the runs derived from a run in this relation, oldest first; the caller checks access."""
    query = select(*COLUMNS).where(run.c.parent_run_id == run_id, run.c.relation == relation.value)
    return [stored(row) for row in connection.execute(query.order_by(run.c.id)).mappings()]


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
    """Return the attempts of a run, oldest first."""
    columns = [attempt.c[name] for name in Attempt.__dataclass_fields__]
    query = select(*columns).where(attempt.c.run_id == run_id).order_by(attempt.c.attempt)
    return [Attempt(**row) for row in connection.execute(query).mappings()]


def first_environments(connection: Connection, run_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the first environment that an attempt of each run reported; runs without any are left out."""
    columns = (attempt.c.run_id, attempt.c.environment)
    query = select(*columns).where(attempt.c.run_id.in_(run_ids)).order_by(attempt.c.run_id, attempt.c.attempt.desc())
    return {row.run_id: row.environment for row in connection.execute(query) if row.environment}
