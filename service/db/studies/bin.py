"""Studies in the bin: one that has ended is deleted and restored with the experiments that are its trials."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from service.db import rights
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.experiments import bin, deletion
from service.db.studies.studies import ENDED
from service.errors import Conflict, Forbidden, NotFound
from service.levels import Level

FIX = "stop the study and wait for its runs to end, then delete it"
OWN = text(
    """
    SELECT s.name, s.state, s.deleted_at, s.owner_id, m.name AS owner FROM study s JOIN member m ON m.id = s.owner_id
    WHERE s.id = :id AND s.project_id = :project_id FOR UPDATE OF s
    """
)
PUT = text(
    """
    UPDATE study SET deleted_at = clock_timestamp(), deleted_by = :member_id, idempotency_key = NULL,
        request_hash = NULL
    WHERE id = :id RETURNING deleted_at
    """
)
TAKE = text("UPDATE study SET deleted_at = NULL, deleted_by = NULL WHERE id = :id")
TRIALS = text("SELECT id FROM experiment WHERE study_id = :id AND project_id = :project_id ORDER BY id FOR UPDATE")
BINNED = text(
    """
    SELECT id FROM experiment
    WHERE study_id = :id AND bin_project_id = :project_id AND deleted_at = :deleted_at ORDER BY id FOR UPDATE
    """
)
ALL_TRIALS = text(
    """
    SELECT id FROM experiment
    WHERE study_id = :id AND :project_id IN (project_id, bin_project_id) ORDER BY id FOR UPDATE
    """
)
CONTENTS = (
    text("UPDATE experiment SET study_id = NULL, trial = NULL WHERE study_id = :id"),
    text("UPDATE study SET cloned_from = NULL WHERE cloned_from = :id"),
    text("DELETE FROM study_trial WHERE study_id = :id"),
    text("DELETE FROM study WHERE id = :id"),
)


def put(connection: Connection, principal: Principal, study_id: str) -> None:
    """Put a study that has ended into the bin with its trials; `Conflict` while it or a run of it has not."""
    found, known = _own(connection, principal, study_id)
    if found.deleted_at is not None:
        raise NotFound(f"Study {study_id} is in the bin already.")
    _check(found)
    trials = _ids(connection, TRIALS, known)
    with rights.acting_as(connection, "saddle_mover"):
        at = connection.execute(PUT, known | {"member_id": principal.member_id}).scalar_one()
    bin.put_all(connection, principal, trials, FIX, at)
    audit.record(connection, principal, "study.delete", study_id, trials=len(trials))


def restore(connection: Connection, principal: Principal, study_id: str) -> None:
    """Take a study out of the bin with the trials that were deleted with it; repeating it changes nothing."""
    found, known = _own(connection, principal, study_id)
    if found.deleted_at is None:
        return
    trials = _ids(connection, BINNED, known | {"deleted_at": found.deleted_at})
    with rights.acting_as(connection, "saddle_mover"):
        connection.execute(TAKE, known)
    bin.take_all(connection, principal, trials)
    audit.record(connection, principal, "study.restore", study_id, trials=len(trials))


def erase(connection: Connection, principal: Principal, study_id: str) -> None:
    """Delete a study that has ended for good, with its trials, from the bin or at once.

    `Conflict` while it, a run of it or a fork from one has not ended; `Forbidden` for others than owner and admins.
    """
    found, known = _own(connection, principal, study_id)
    if principal.level < Level.ADMIN and found.owner_id != principal.member_id:
        raise Forbidden(f"Only {found.owner} and admins delete this for good; it can be put into the bin.")
    _check(found)
    trials = _ids(connection, ALL_TRIALS, known)
    deletion.erase_all(connection, principal, trials, FIX)
    with rights.acting_as(connection, "saddle_eraser"):
        for statement in CONTENTS:
            connection.execute(statement, known)
    told = {"name": found.name, "owner": found.owner, "trials": len(trials)}
    audit.record(connection, principal, "study.erase", study_id, **told)


def _own(connection: Connection, principal: Principal, study_id: str) -> tuple[Row[Any], dict[str, Any]]:
    """Lock and return the study, wherever it lies, and what its statements are given."""
    known: dict[str, Any] = {"id": study_id, "project_id": principal.project_id}
    found = connection.execute(OWN, known).one_or_none()
    if found is None:
        raise NotFound(f"There is no study {study_id}.")
    return found, known


def _check(found: Row[Any]) -> None:
    if found.state not in ENDED:
        raise Conflict(f"The study is {found.state}: {FIX}.")


def _ids(connection: Connection, statement: TextClause, known: dict[str, Any]) -> Sequence[str]:
    return list(connection.execute(statement, known).scalars())
