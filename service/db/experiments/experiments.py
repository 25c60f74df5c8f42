"""Experiments and their runs: added, listed, read; always within one project."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Connection, Text, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from service.db.access.principal import Principal
from service.db.access.visible import bound_sight, sight_values
from service.db.driver import Statement
from service.db.experiments import bin
from service.db.runs import runs
from service.db.runs.queue import NewRun, Origin, enqueue
from service.db.runs.runs import StoredRun
from service.db.tables import experiment, member, project
from service.errors import Conflict, NotFound
from service.ids import new_id
from service.spec.checkpoint_size import checkpoint_bytes
from service.spec.experiment import Experiment
from service.spec.memory import required_memory
from service.spec.packs import pack_key
from service.spec.requirements import requirements


@dataclass(frozen=True)
class StoredExperiment:
    """A posted spec as stored."""

    id: str
    name: str
    owner: str
    spec: dict[str, Any]
    spec_hash: str
    tags: tuple[str, ...]
    notes: str
    archived_at: datetime | None
    created_at: datetime
    study_id: str | None  # whose trial it is
    trial: int | None  # its number there
    project: str
    shared: bool  # by another project, to read


@dataclass(frozen=True)
class NewExperiment:
    """A spec to be stored. Its runs wait in the pool that it names, or else in `pool`; a fork has an `origin`."""

    spec: Experiment
    pool: str
    origin: Origin | None = None
    study_id: str | None = None  # whose trial it is
    trial: int | None = None  # its number there
    pause_at: int | None = None  # the step after which its runs pause by themselves


@dataclass(frozen=True)
class AddedExperiment:
    """An experiment with its runs by seed; `new` unless an earlier request with the same idempotency key stored it."""

    stored: StoredExperiment
    runs: list[StoredRun]
    new: bool

    @property
    def id(self) -> str:
        """The experiment's."""
        return self.stored.id


ADD = upsert(experiment).on_conflict_do_nothing().returning(experiment.c.id, experiment.c.created_at)


def add(
    connection: Connection,
    principal: Principal,
    spec: Experiment,
    pool: str,
    idempotency_key: str | None = None,
    request_hash: str | None = None,
    max_run_s: float | None = None,
    origin: Origin | None = None,
) -> AddedExperiment:
    """Store an experiment with a queued run per seed. None may train longer than `max_run_s`, nor than the spec says.

    With an idempotency key seen before in this project the stored one is returned; `Conflict` if its request differed.
    """
    made = [NewExperiment(spec, pool, origin)]
    added = _insert(connection, principal, made, max_run_s, idempotency_key, request_hash)
    return added[0] if added else _earlier(connection, principal, idempotency_key, request_hash)


def add_many(
    connection: Connection, principal: Principal, made: Sequence[NewExperiment], max_run_s: float | None = None
) -> list[AddedExperiment]:
    """Store several experiments of one origin in as many statements as one takes."""
    return _insert(connection, principal, made, max_run_s)


def _insert(
    connection: Connection,
    principal: Principal,
    made: Sequence[NewExperiment],
    max_run_s: float | None,
    idempotency_key: str | None = None,
    request_hash: str | None = None,
) -> list[AddedExperiment]:
    """Store experiments and their runs; nothing where the idempotency key was used before."""
    asked = {"idempotency_key": idempotency_key, "request_hash": request_hash}
    rows = [_row(principal, each) | asked for each in made]
    created_at = {row.id: row.created_at for row in connection.execute(ADD, rows)}
    if not created_at:
        return []
    new_runs = [run for row, each in zip(rows, made, strict=True) for run in _new_runs(row["id"], each, max_run_s)]
    by_experiment: dict[str, list[StoredRun]] = {experiment_id: [] for experiment_id in created_at}
    for run in sorted(enqueue(connection, principal, new_runs), key=lambda run: run.seed):
        by_experiment[run.experiment_id].append(run)
    shown = {"owner": principal.member, "archived_at": None, "project": principal.project, "shared": False}
    return [
        AddedExperiment(_stored(row | shown | {"created_at": created_at[row["id"]]}), by_experiment[row["id"]], True)
        for row in rows
    ]


def _row(principal: Principal, made: NewExperiment) -> dict[str, Any]:
    spec = made.spec
    return {
        "id": new_id("exp"),
        "project_id": principal.project_id,
        "owner_id": principal.member_id,
        "name": spec.name,
        "tags": list(spec.tags),
        "notes": spec.notes,
        "spec": spec.normalised(),
        "spec_hash": spec.hash,
        "study_id": made.study_id,
        "trial": made.trial,
    }


def _new_runs(experiment_id: str, made: NewExperiment, max_run_s: float | None) -> list[NewRun]:
    """Return a run per seed."""
    spec, needs, memory_bytes = made.spec, tuple(requirements(made.spec)), required_memory(made.spec)
    limits = [limit for limit in (spec.max_seconds, max_run_s) if limit is not None]
    kept_bytes, pack = checkpoint_bytes(spec) or 0, None if made.origin else pack_key(spec)
    return [
        NewRun(
            experiment_id,
            seed,
            spec.fold(seed),
            spec.total_steps,
            spec.pool or made.pool,
            spec.priority,
            min(limits, default=None),
            made.origin,
            needs=needs,
            memory_bytes=memory_bytes,
            checkpoint_bytes=kept_bytes,
            pause_at=made.pause_at,
            pack_key=pack,
        )
        for seed in spec.seeds
    ]


def _earlier(
    connection: Connection, principal: Principal, key: str | None, request_hash: str | None
) -> AddedExperiment:
    """Return the experiment that was posted with this idempotency key."""
    ((*row, hashed),) = _OURS_BY_KEY.rows(connection, key=key, project=principal.project_id)
    if hashed != request_hash:
        raise Conflict("This Idempotency-Key was used for another request: send a new key with a new request.")
    found = _of_tuple(row)
    return AddedExperiment(found, runs.all_of_experiments(connection, [found.id]), False)


_COLUMNS = dict(experiment.c.items()) | {
    "owner": member.c.name,
    "project": project.c.name,
    "shared": experiment.c.project_id != bindparam("project"),
}
_ROWS = (
    select(*(_COLUMNS[name] for name in StoredExperiment.__dataclass_fields__))
    .join(member, member.c.id == experiment.c.owner_id)
    .join(project, project.c.id == experiment.c.project_id)
)
_BY_ID = _ROWS.where(
    experiment.c.id == func.any(bindparam("ids", type_=ARRAY(Text))),
    bound_sight(experiment.c.project_id, experiment.c.id),
)
_FIND, _LOCK = Statement(_BY_ID), Statement(_BY_ID.with_for_update(of=experiment, key_share=True))
_OURS_BY_KEY = Statement(
    _ROWS.add_columns(experiment.c.request_hash).where(
        experiment.c.project_id == bindparam("project"), experiment.c.idempotency_key == bindparam("key")
    )
)


def _stored(row: Mapping[Any, Any]) -> StoredExperiment:
    known = {name: row[name] for name in StoredExperiment.__dataclass_fields__}
    return StoredExperiment(**(known | {"tags": tuple(row["tags"])}))


def _of_tuple(row: Iterable[Any]) -> StoredExperiment:
    return _stored(dict(zip(StoredExperiment.__dataclass_fields__, row, strict=True)))


def get(connection: Connection, principal: Principal, experiment_id: str, lock: bool = False) -> StoredExperiment:
    """Return one experiment; `NotFound` also for another project's. `lock` keeps others from changing it."""
    found = (_LOCK if lock else _FIND).rows(connection, ids=[experiment_id], **sight_values(principal))
    if not found:
        raise NotFound(bin.describe(connection, principal, experiment_id))
    return _of_tuple(found[0])


def find(connection: Connection, principal: Principal, ids: Collection[str]) -> dict[str, StoredExperiment]:
    """Return those of these experiments that exist, by id."""
    rows = _FIND.rows(connection, ids=list(ids), **sight_values(principal))
    return {each.id: each for each in map(_of_tuple, rows)}


_ALIKE = Statement(
    text(
        """
        SELECT id FROM (
            SELECT id, spec FROM experiment
            WHERE project_id = :project AND deleted_at IS NULL AND id <> :own
            ORDER BY created_at DESC LIMIT 500
        ) AS newest
        WHERE spec -> 'dataset' = CAST(:dataset AS jsonb) AND spec -> 'loss' = CAST(:loss AS jsonb) LIMIT :most
        """
    )
)


def on_the_same_data(
    connection: Connection, principal: Principal, experiment_id: str, spec: Mapping[str, Any], most: int
) -> list[StoredExperiment]:
    """Return up to `most` other experiments of the project with this spec's dataset and loss, of its newest 500."""
    parts = {name: json.dumps(spec[name]) for name in ("dataset", "loss")}
    rows = _ALIKE.rows(connection, project=principal.project_id, own=experiment_id, most=most, **parts)
    found = find(connection, principal, [row[0] for row in rows])
    return [found[row[0]] for row in rows if row[0] in found]


def get_many(connection: Connection, principal: Principal, ids: Sequence[str]) -> list[StoredExperiment]:
    """Return these experiments in this order; `NotFound` for the first that is missing."""
    found = find(connection, principal, ids)
    for experiment_id in ids:
        if experiment_id not in found:
            raise NotFound(bin.describe(connection, principal, experiment_id))
    return [found[experiment_id] for experiment_id in ids]


@dataclass
class ExperimentProgress:
    """Runs by state, steps done and planned over all runs, and the step of the furthest run."""

    counts: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    total: int = 0
    longest: int = 0

    @property
    def progress(self) -> float:
        """0 to 1; a run that a stop rule ended counts as complete."""
        return min(self.steps / self.total, 1.0) if self.total else 0.0


PROGRESS = Statement(
    text(
        """
        SELECT experiment_id, state, count(*), sum(total_steps)::bigint, max(step),
            sum(CASE WHEN state = 'succeeded' THEN total_steps ELSE least(step, total_steps) END)::bigint
        FROM run WHERE experiment_id = ANY(:ids) AND NOT coalesce(task -> 'probes' = '[]', false) GROUP BY 1, 2
        """
    )
)


def read_progress(connection: Connection, experiment_ids: Sequence[str]) -> dict[str, ExperimentProgress]:
    """Return the progress of each experiment, of whose runs those that predict rows are none."""
    found = {experiment_id: ExperimentProgress() for experiment_id in experiment_ids}
    for experiment_id, state, count, total, longest, steps in PROGRESS.rows(connection, ids=list(experiment_ids)):
        standing = found[experiment_id]
        standing.counts[state] = count
        standing.steps += steps
        standing.total += total
        standing.longest = max(standing.longest, longest)
    return found
