"""The bin: what was deleted belongs to no project, which hides it from every reader, until somebody restores it.

What was deleted with a study has the study's time of deletion, is listed as the study, and comes back with it.

Nothing of it is changed, so a restored experiment is what it was; only its idempotency key is free for another request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from service.db import rights
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.runs import runs
from service.errors import Conflict, NotFound
from service.lifecycle import TERMINAL

OWN = text("SELECT id FROM experiment WHERE id = :id AND project_id = :project_id FOR UPDATE")
BINNED = text(
    """
    SELECT id, (SELECT s.id FROM study s WHERE s.id = e.study_id AND s.deleted_at = e.deleted_at) AS study_id
    FROM experiment e WHERE id = :id AND bin_project_id = :project_id FOR UPDATE OF e
    """
)
PUT = text(
    """
    UPDATE experiment SET bin_project_id = project_id, project_id = NULL,
        deleted_at = coalesce(cast(:at AS timestamptz), clock_timestamp()),
        deleted_by = :member_id, idempotency_key = NULL, request_hash = NULL
    WHERE id = ANY(:ids)
    """
)
TAKE = text(
    """
    UPDATE experiment SET project_id = bin_project_id, bin_project_id = NULL, deleted_at = NULL, deleted_by = NULL
    WHERE id = ANY(:ids)
    """
)
# but emptied jobs, which stay in no project
PLACE_RUNS = text(
    "UPDATE run SET project_id = :place WHERE experiment_id = ANY(:ids) AND task IS DISTINCT FROM cast('{}' AS jsonb)"
)


def put(connection: Connection, principal: Principal, experiment_id: str) -> None:
    """Put an experiment into the bin; `Conflict` while a run of it has not ended."""
    if connection.execute(OWN, {"id": experiment_id, "project_id": principal.project_id}).one_or_none() is None:
        raise NotFound(f"There is no experiment {experiment_id}.")
    put_all(connection, principal, [experiment_id], "cancel the experiment first, then delete it")
    audit.record(connection, principal, "experiment.delete", experiment_id)


def put_all(
    connection: Connection, principal: Principal, ids: Sequence[str], fix: str, at: datetime | None = None
) -> None:
    """Put locked experiments into the bin, as of `at` or now; `Conflict` with `fix` while a run has not ended."""
    going = [each for each in runs.lock_of_experiments(connection, ids) if each.state not in TERMINAL]
    if going:
        raise Conflict(f"Run {going[0].id} is {going[0].state.value}: {fix}.")
    with rights.acting_as(connection, "saddle_mover"):
        connection.execute(PUT, {"ids": ids, "member_id": principal.member_id, "at": at})
        connection.execute(PLACE_RUNS, {"ids": ids, "place": None})


def restore(connection: Connection, principal: Principal, experiment_id: str) -> None:
    """Take an experiment out of the bin; repeating it changes nothing."""
    known = {"id": experiment_id, "project_id": principal.project_id}
    found = connection.execute(BINNED, known).one_or_none()
    if found is None:
        if connection.execute(OWN, known).one_or_none() is None:
            raise NotFound(f"There is no experiment {experiment_id} in the bin.")
        return
    if found.study_id is not None:
        raise Conflict(f"It was deleted with its study: restore {found.study_id}.")
    take_all(connection, principal, [experiment_id])
    audit.record(connection, principal, "experiment.restore", experiment_id)


def take_all(connection: Connection, principal: Principal, ids: Sequence[str]) -> None:
    """Take experiments out of the bin of the principal's project."""
    with rights.acting_as(connection, "saddle_mover"):
        connection.execute(TAKE, {"ids": ids})
        connection.execute(PLACE_RUNS, {"ids": ids, "place": principal.project_id})


@dataclass(frozen=True)
class BinItem:
    """An experiment, study or upload in the bin."""

    id: str
    kind: str  # experiment, study or dataset
    name: str
    owner: str
    runs: int  # 0 for an upload
    size_bytes: int  # of kept checkpoints, or of the file
    deleted_at: datetime
    deleted_by: str

    @property
    def position(self) -> str:
        """The cursor of a list that ends with it: microseconds."""
        return str(round(self.deleted_at.timestamp() * 1e6))


CONTENTS = text(
    """
    SELECT * FROM (
        SELECT e.id, 'experiment' AS kind, e.name, m.name AS owner, e.deleted_at, d.name AS deleted_by,
            (SELECT count(*) FROM run r WHERE r.experiment_id = e.id) AS runs,
            (SELECT coalesce(sum(c.size_bytes), 0) FROM run r JOIN checkpoint c ON c.run_id = r.id
                WHERE r.experiment_id = e.id AND c.removed_at IS NULL) AS size_bytes
        FROM experiment e JOIN member m ON m.id = e.owner_id JOIN member d ON d.id = e.deleted_by
        WHERE e.bin_project_id = :project_id AND NOT EXISTS (
            SELECT FROM study s WHERE s.id = e.study_id AND s.deleted_at = e.deleted_at)
        UNION ALL
        SELECT s.id, 'study', s.name, m.name, s.deleted_at, d.name, count(DISTINCT r.id), coalesce(sum(c.size_bytes), 0)
        FROM study s JOIN member m ON m.id = s.owner_id JOIN member d ON d.id = s.deleted_by
            LEFT JOIN experiment e ON e.study_id = s.id AND e.deleted_at = s.deleted_at
            LEFT JOIN run r ON r.experiment_id = e.id
            LEFT JOIN checkpoint c ON c.run_id = r.id AND c.removed_at IS NULL
        WHERE s.project_id = :project_id AND s.deleted_at IS NOT NULL GROUP BY s.id, m.id, d.id
        UNION ALL
        SELECT s.id, 'dataset', s.name, m.name, s.deleted_at, d.name, 0, s.size_bytes
        FROM dataset s JOIN member m ON m.id = s.owner_id JOIN member d ON d.id = s.deleted_by
        WHERE s.project_id = :project_id AND s.deleted_at IS NOT NULL) item
    WHERE cast(:before AS bigint) IS NULL OR item.deleted_at < to_timestamp(0) + :before * interval '1 microsecond'
    ORDER BY item.deleted_at DESC LIMIT :most
    """
)


def page(connection: Connection, principal: Principal, limit: int, before: int | None = None) -> Sequence[BinItem]:
    """Return what was deleted last, before a position."""
    asked = {"project_id": principal.project_id, "before": before, "most": limit}
    return [
        BinItem(**{name: row[name] for name in BinItem.__dataclass_fields__})
        for row in connection.execute(CONTENTS, asked).mappings()
    ]


BYTES = text(
    """
    SELECT (SELECT coalesce(sum(c.size_bytes), 0) FROM experiment e JOIN run r ON r.experiment_id = e.id
            JOIN checkpoint c ON c.run_id = r.id AND c.removed_at IS NULL WHERE e.bin_project_id = :project_id)
        + (SELECT coalesce(sum(size_bytes), 0) FROM dataset WHERE project_id = :project_id AND deleted_at IS NOT NULL)
    """
)


def used_bytes(connection: Connection, principal: Principal) -> int:
    """Return the bytes of checkpoints and uploads in the bin."""
    return int(connection.execute(BYTES, {"project_id": principal.project_id}).scalar_one())


def describe(connection: Connection, principal: Principal, experiment_id: str) -> str:
    """Return why an experiment is not found: it is in the bin, only shared, or not there."""
    known = {"id": experiment_id, "project_id": principal.project_id}
    where = connection.execute(WHERE, known).one()
    if where.binned:
        return f"Experiment {experiment_id} is in the bin: restore it first."
    if where.shared:
        return f"Experiment {experiment_id} is shared with your project to read: only its own project changes it."
    return f"There is no experiment {experiment_id}."


WHERE = text(
    """
    SELECT EXISTS (SELECT FROM experiment WHERE id = :id AND bin_project_id = :project_id) AS binned,
        EXISTS (SELECT FROM share WHERE experiment_id = :id AND project_id = :project_id) AS shared
    """
)
OLD = text(
    """
    SELECT id, bin_project_id AS project_id FROM experiment
    WHERE bin_project_id IS NOT NULL AND deleted_at < clock_timestamp() - make_interval(secs => :age_s)
        AND NOT EXISTS (SELECT FROM study s WHERE s.id = study_id AND s.deleted_at = experiment.deleted_at)
    ORDER BY id LIMIT :most
    """
)
OLD_DATASETS = text(
    """
    SELECT id, project_id FROM dataset WHERE deleted_at < clock_timestamp() - make_interval(secs => :age_s)
    ORDER BY id LIMIT :most
    """
)
OLD_STUDIES = text(
    """
    SELECT id, project_id FROM study WHERE deleted_at < clock_timestamp() - make_interval(secs => :age_s)
    ORDER BY id LIMIT :most
    """
)
OLD_OF = {"experiment": OLD, "dataset": OLD_DATASETS, "study": OLD_STUDIES}
LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('saddle: the bin'))")


def lock(connection: Connection) -> bool:
    """Whether this transaction, and no other process, empties the bins now."""
    return bool(connection.execute(LOCK).scalar_one())


def old(connection: Connection, kind: str, age_s: float, most: int) -> list[tuple[Principal, str]]:
    """Return what has been in a bin for longer than `age_s`, each with the server as who erases it."""
    rows = connection.execute(OLD_OF[kind], {"age_s": age_s, "most": most})
    return [(Principal("", "", "the server", row.project_id, "", "admin"), row.id) for row in rows]
