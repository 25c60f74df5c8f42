"""Uploaded datasets: rows that name a file by its hash; always within one project.

Storing a row, storing a spec that names one, and deleting one exclude each other by advisory locks on the hash and on
the id: a role that may only read cannot lock a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, text

from service.db import rights
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.tables import dataset, member
from service.errors import Conflict, Invalid, NotFound, Problem, TooLarge, Unavailable
from service.ids import new_id
from service.ingest import without_incomplete_rows
from service.nonfinite import dumps
from service.spec.datasets.report import Report
from service.spec.datasets.uploaded import Resolved, Upload, UploadedBase
from service.spec.experiment import Experiment
from service.storage.uploads import UploadStore


@dataclass(frozen=True)
class StoredDataset:
    """An uploaded file, and what was found in it."""

    id: str
    name: str
    owner: str
    sha256: str
    format: str
    size_bytes: int
    created_at: datetime
    report: Report


def add(
    connection: Connection,
    principal: Principal,
    name: str,
    sha256: str,
    size_bytes: int,
    report: Report,
    project_bytes: int,
) -> str:
    """Store a dataset; `TooLarge` where the project's uploads together would pass `project_bytes`."""
    used = select(func.coalesce(func.sum(dataset.c.size_bytes), 0)).where(dataset.c.project_id == principal.project_id)
    if connection.execute(used).scalar_one() + size_bytes > project_bytes:
        raise TooLarge(f"The uploads of this project would take more than {project_bytes} bytes together.")
    row: dict[str, Any] = {
        "id": new_id("dat"),
        "project_id": principal.project_id,
        "owner_id": principal.member_id,
        "name": name,
        "sha256": sha256,
        "format": report.format,
        "size_bytes": size_bytes,
        "report": report.model_dump(mode="json"),
    }
    connection.execute(SHARED, {"what": sha256})
    connection.execute(insert(dataset).values(row))
    audit.record(connection, principal, "dataset.upload", row["id"], name=name, size_bytes=size_bytes)
    return str(row["id"])


SHARED = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:what, 1))")
ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 1))")
USER = text(
    """
    SELECT id FROM experiment WHERE project_id = :project_id AND spec -> 'dataset' ->> 'upload' = :dataset_id
    ORDER BY id LIMIT 1
    """
)


def remove(connection: Connection, principal: Principal, dataset_id: str) -> str:
    """Delete a dataset that no experiment trains on, else raise `Conflict`; return the hash of its file."""
    connection.execute(ALONE, {"what": dataset_id})
    found = get(connection, principal, dataset_id)
    asked = {"project_id": principal.project_id, "dataset_id": dataset_id}
    user = connection.execute(USER, asked).scalar_one_or_none()
    if user is not None:
        raise Conflict(f"Experiment {user} trains on the dataset: delete that one first.")
    with rights.acting_as(connection, "saddle_eraser"):
        connection.execute(delete(dataset).where(dataset.c.id == dataset_id))
    audit.record(connection, principal, "dataset.delete", dataset_id, name=found.name)
    return found.sha256


def is_unreferenced(connection: Connection, sha256: str) -> bool:
    """Whether no row names the file; none can be stored until this transaction ends."""
    connection.execute(ALONE, {"what": sha256})
    return connection.execute(select(dataset.c.id).where(dataset.c.sha256 == sha256).limit(1)).one_or_none() is None


def _query(principal: Principal) -> Any:
    """Datasets this principal may see."""
    return (
        select(dataset, member.c.name.label("owner"))
        .join(member, member.c.id == dataset.c.owner_id)
        .where(dataset.c.project_id == principal.project_id)
    )


def _stored(row: RowMapping) -> StoredDataset:
    fields = ("id", "name", "owner", "sha256", "format", "size_bytes", "created_at")
    return StoredDataset(
        **{name: row[name] for name in fields}, report=Report.model_validate_json(dumps(row["report"]))
    )


def get(connection: Connection, principal: Principal, dataset_id: str) -> StoredDataset:
    """Return one dataset; `NotFound` also for another project's."""
    row = connection.execute(_query(principal).where(dataset.c.id == dataset_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no dataset {dataset_id}.")
    return _stored(row)


def page(
    connection: Connection, principal: Principal, limit: int, before: str | None = None
) -> Sequence[StoredDataset]:
    """Return the newest `limit` datasets whose id sorts before `before`."""
    query = _query(principal).order_by(dataset.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(dataset.c.id < before)
    return [_stored(row) for row in connection.execute(query).mappings()]


def resolve(connection: Connection, principal: Principal, uploads: UploadStore, spec: Experiment) -> Experiment:
    """The spec with what its upload, a file in `uploads`, holds written into it; every other spec as it is.

    `Invalid` where this project has no such upload, where it does not fit, or where the spec claims otherwise.
    """
    wanted = spec.dataset
    if not isinstance(wanted, UploadedBase):
        return spec
    connection.execute(SHARED, {"what": wanted.upload})
    try:
        stored = get(connection, principal, wanted.upload)
    except NotFound:
        detail = "there is no such upload in this project: send the file to POST /v1/datasets first."
        raise Invalid.of([Problem("/dataset/upload", "not_found", detail)]) from None
    resolved, problems = _resolved(wanted, stored, uploads)
    if problems:
        raise Invalid.of([problem.under("/dataset") for problem in problems])
    if wanted.resolved not in (None, resolved):
        detail = "is not what the upload holds: leave it out, the server writes it."
        raise Invalid.of([Problem("/dataset/resolved", "read_only", detail)])
    return spec.model_copy(update={"dataset": wanted.model_copy(update={"resolved": resolved})})


def _resolved(
    wanted: UploadedBase, stored: StoredDataset, uploads: UploadStore
) -> tuple[Resolved | None, list[Problem]]:
    """What the upload holds for this spec, once the rows that it leaves out are left out."""
    if not isinstance(wanted, Upload) or not wanted.drops(stored.report):
        return wanted.resolve(stored.report, stored.sha256)
    try:
        with uploads.opened(stored.sha256) as content:
            report = without_incomplete_rows(content, stored.report, wanted)
    except FileNotFoundError:
        raise Conflict(f"The file of the upload {stored.id} is missing from the storage: send it again.") from None
    except OSError as error:
        raise Unavailable("The storage of uploads does not answer.") from error
    resolved, problems = wanted.resolve(report, stored.sha256)
    if resolved is not None:
        resolved = resolved.model_copy(update={"dropped": stored.report.rows - report.rows})
    return resolved, problems
