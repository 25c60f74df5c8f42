"""Uploaded datasets: rows that name a file by its hash; always within one project."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select

from service.db.projects import Principal
from service.db.tables import dataset, member
from service.errors import Invalid, NotFound, Problem, TooLarge
from service.ids import new_id
from service.nonfinite import dumps
from service.spec.datasets import Stored_
from service.spec.datasets.report import Report
from service.spec.experiment import Experiment


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
    connection.execute(insert(dataset).values(row))
    return str(row["id"])


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
    """One dataset, or `NotFound`, which is also the answer for another project's."""
    row = connection.execute(_query(principal).where(dataset.c.id == dataset_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no dataset {dataset_id}.")
    return _stored(row)


def page(
    connection: Connection, principal: Principal, limit: int, before: str | None = None
) -> Sequence[StoredDataset]:
    """The newest `limit` datasets whose id sorts before `before`."""
    query = _query(principal).order_by(dataset.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(dataset.c.id < before)
    return [_stored(row) for row in connection.execute(query).mappings()]


def resolve(connection: Connection, principal: Principal, spec: Experiment) -> Experiment:
    """The spec with what its upload holds written into it; every other spec as it is.

    `Invalid` where this project has no such upload, where it does not fit, or where the spec claims otherwise.
    """
    wanted = spec.dataset
    if not isinstance(wanted, Stored_):
        return spec
    try:
        stored = get(connection, principal, wanted.upload)
    except NotFound:
        detail = "there is no such upload in this project: send the file to POST /v1/datasets first."
        raise Invalid.of([Problem("/dataset/upload", "not_found", detail)]) from None
    resolved, problems = wanted.resolve(stored.report, stored.sha256)
    if problems:
        raise Invalid.of([problem.under("/dataset") for problem in problems])
    if wanted.resolved not in (None, resolved):
        detail = "is not what the upload holds: leave it out, the server writes it."
        raise Invalid.of([Problem("/dataset/resolved", "read_only", detail)])
    return spec.model_copy(update={"dataset": wanted.model_copy(update={"resolved": resolved})})
