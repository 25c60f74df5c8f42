"""Uploaded datasets: rows that name a file by its hash; always within one project.

Storing a row, storing a spec that names one, and deleting one exclude each other by advisory locks on the hash and on
the id: a role that may only read cannot lock a row.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, insert, or_, select, text, update

from service.db import rights
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.experiments.upload_room import upload_room
from service.db.session import every_project
from service.db.tables import dataset, dataset_grant, member
from service.errors import Conflict, Forbidden, Invalid, NotFound, Problem, Unavailable
from service.ids import new_id
from service.ingest import check_weights, count_split, resolve_tokens, without_incomplete_rows
from service.levels import Level
from service.nonfinite import dumps
from service.spec.datasets import DatasetBase
from service.spec.datasets.images import Images
from service.spec.datasets.report import Report
from service.spec.datasets.resolved import Resolved
from service.spec.datasets.text import Text
from service.spec.datasets.tokens import TokenizerFile
from service.spec.datasets.upload_base import UploadedBase
from service.spec.datasets.upload_references import PATHS
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.parse.defaults import fill_defaults, filled_layout
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
    """Store a dataset; `QuotaExceeded` where the uploads of the project or the person would take too much."""
    connection.execute(ALONE, {"what": principal.project_id})  # one after the other, so that sums are of all of them
    upload_room(connection, principal, project_bytes).check(size_bytes)
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
    WITH here AS (SELECT ARRAY(
        SELECT :project_id UNION SELECT project_id FROM dataset_grant WHERE dataset_id = :dataset_id) AS ids)
    SELECT id, project_id, bin_project_id FROM experiment
    WHERE (project_id = ANY((SELECT ids FROM here)::text[]) OR bin_project_id = ANY((SELECT ids FROM here)::text[]))
        AND :dataset_id IN (SELECT spec #>> cast(path AS text[]) FROM unnest(cast(:paths AS text[])) AS path)
    ORDER BY project_id IS DISTINCT FROM :project_id, id LIMIT 1
    """
)


def put_into_bin(connection: Connection, principal: Principal, dataset_id: str) -> None:
    """Put a dataset that no experiment trains on into the bin, else raise `Conflict`; its file stays."""
    connection.execute(ALONE, {"what": dataset_id})
    found = get(connection, principal, dataset_id)
    _check_unused(connection, principal, dataset_id)
    with rights.acting_as(connection, "saddle_mover"):
        gone = {"deleted_at": func.clock_timestamp(), "deleted_by": principal.member_id}
        own = connection.execute(update(dataset).where(_own(principal, dataset_id)).values(gone)).rowcount
    if not own:
        raise Forbidden("The dataset belongs to another project, from which an experiment was moved here.")
    audit.record(connection, principal, "dataset.delete", dataset_id, name=found.name)


def restore(connection: Connection, principal: Principal, dataset_id: str) -> StoredDataset:
    """Take a dataset out of the bin and return it; repeating it changes nothing."""
    binned = _own(principal, dataset_id) & dataset.c.deleted_at.is_not(None)
    with rights.acting_as(connection, "saddle_mover"):
        back = update(dataset).where(binned).values(deleted_at=None, deleted_by=None)
        restored = connection.execute(back).rowcount
    found = get(connection, principal, dataset_id)
    if restored:
        audit.record(connection, principal, "dataset.restore", dataset_id, name=found.name)
    return found


def erase(connection: Connection, principal: Principal, dataset_id: str) -> str:
    """Delete a dataset for good, from the bin or at once, and return the hash of its file.

    `Conflict` where an experiment trains on it, `Forbidden` for others than owner and admins.
    """
    connection.execute(ALONE, {"what": dataset_id})
    columns = (dataset.c.name, dataset.c.sha256, dataset.c.owner_id, member.c.name.label("owner"))
    query = select(*columns).join(member, member.c.id == dataset.c.owner_id).where(_own(principal, dataset_id))
    found = connection.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"There is no dataset {dataset_id}.")
    if principal.level < Level.ADMIN and found.owner_id != principal.member_id:
        raise Forbidden(f"Only {found.owner} and admins delete this for good; it can be put into the bin.")
    _check_unused(connection, principal, dataset_id)
    with rights.acting_as(connection, "saddle_eraser"):
        connection.execute(delete(dataset_grant).where(dataset_grant.c.dataset_id == dataset_id))
        connection.execute(delete(dataset).where(dataset.c.id == dataset_id))
    audit.record(connection, principal, "dataset.erase", dataset_id, name=found.name)
    return str(found.sha256)


def _own(principal: Principal, dataset_id: str) -> ColumnElement[bool]:
    """Return the condition for an upload of the principal's own project, in the bin or not."""
    return (dataset.c.id == dataset_id) & (dataset.c.project_id == principal.project_id)


def _check_unused(connection: Connection, principal: Principal, dataset_id: str) -> None:
    """Raise `Conflict` where an experiment trains on the dataset, be it in a bin."""
    asked = {"project_id": principal.project_id, "dataset_id": dataset_id, "paths": PATHS}
    with every_project(connection):
        user = connection.execute(USER, asked).one_or_none()
    if user is None:
        return
    if user.project_id == principal.project_id:
        raise Conflict(f"Experiment {user.id} trains on the dataset: delete that one first.")
    if user.bin_project_id == principal.project_id:
        raise Conflict(f"Experiment {user.id} in the bin trains on the dataset: delete that one for good first.")
    raise Conflict("An experiment that was moved to another project trains on the dataset.")


def is_unreferenced(connection: Connection, sha256: str) -> bool:
    """Whether no row names the file; none can be stored until this transaction ends."""
    connection.execute(ALONE, {"what": sha256})
    return connection.execute(select(dataset.c.id).where(dataset.c.sha256 == sha256).limit(1)).one_or_none() is None


def _query(principal: Principal) -> Any:
    """Datasets this principal may train on: the project's, and those of experiments that moved into it."""
    granted = select(dataset_grant.c.dataset_id).where(dataset_grant.c.project_id == principal.project_id)
    return (
        select(dataset, member.c.name.label("owner"))
        .join(member, member.c.id == dataset.c.owner_id)
        .where(or_(dataset.c.project_id == principal.project_id, dataset.c.id.in_(granted)))
        .where(dataset.c.deleted_at.is_(None))
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
    """The spec with what its uploads, files in `uploads`, hold written into it; every other spec as it is.

    `Invalid` where this project has no such upload, where it does not fit, or where the spec claims otherwise.
    """
    wanted, tokenizer = _with_tokenizer(connection, principal, spec.dataset)
    if not isinstance(wanted, UploadedBase):
        return spec if tokenizer is None else spec.model_copy(update={"dataset": wanted})
    stored = [_named(connection, principal, wanted.upload, "/dataset/upload")]
    parts = wanted.part_uploads.items()
    stored += [_named(connection, principal, each, f"/dataset/split/{part}") for part, each in parts]
    stored += [tokenizer] if tokenizer else []
    resolved, problems = _resolved(wanted, stored, uploads)
    _check(wanted.resolved, resolved, problems, "/dataset")
    spec = spec.model_copy(update={"dataset": wanted.model_copy(update={"resolved": resolved})})
    _check_weights(spec, stored[:1], uploads)
    return spec


def _with_tokenizer(
    connection: Connection, principal: Principal, wanted: DatasetBase
) -> tuple[DatasetBase, StoredDataset | None]:
    """Return the dataset with what its tokenizer is, and the upload; None where it has no file of one."""
    tokens = getattr(wanted, "tokens", None)
    if not isinstance(tokens, TokenizerFile):
        return wanted, None
    stored = _named(connection, principal, tokens.upload, "/dataset/tokens/upload")
    resolved, problems = tokens.resolve(stored.report, stored.sha256)
    _check(tokens.resolved, resolved, problems, "/dataset/tokens")
    return wanted.model_copy(update={"tokens": tokens.model_copy(update={"resolved": resolved})}), stored


def _check_weights(spec: Experiment, files: Sequence[StoredDataset], uploads: UploadStore) -> None:
    """Raise `Invalid` where the training rows cannot be drawn by their weights; other problems are reported first."""
    dataset = fill_defaults(spec)[0].dataset  # with the shares of the parts
    if isinstance(dataset, Upload) and dataset.weights is not None and not [*dataset.problems()]:
        with _opened(files, uploads) as (content,):
            check_weights(content, dataset)


def resolve_start(connection: Connection, principal: Principal, spec: Experiment) -> Experiment:
    """The spec, whose dataset is resolved, with what its uploaded start weights are; `Invalid` as in `resolve`."""
    wanted = spec.start
    if wanted is None or wanted.upload is None:
        return spec
    stored = _named(connection, principal, wanted.upload, "/start/upload")
    resolved, problems = wanted.resolve(stored.report, stored.sha256, filled_layout(spec))
    _check(wanted.resolved, resolved, problems, "/start")
    return spec.model_copy(update={"start": wanted.model_copy(update={"resolved": resolved})})


def _named(connection: Connection, principal: Principal, dataset_id: str, pointer: str) -> StoredDataset:
    """Return the upload that a field of a spec names; it cannot be deleted until this transaction ends."""
    connection.execute(SHARED, {"what": dataset_id})
    try:
        return get(connection, principal, dataset_id)
    except NotFound:
        detail = "there is no such upload in this project: send the file to POST /v1/datasets first."
        raise Invalid.of([Problem(pointer, "not_found", detail)]) from None


def _check(claimed: object, resolved: object, problems: list[Problem], part: str) -> None:
    """Raise `Invalid` for problems of an upload, or where the spec claims that it holds something else."""
    if problems:
        raise Invalid.of([problem.under(part) for problem in problems])
    if isinstance(claimed, Resolved) and isinstance(resolved, Resolved):  # a spec from before this remark has none
        claimed = claimed.model_copy(update={"untrained": resolved.untrained})
    if claimed not in (None, resolved):
        detail = "is not what the upload holds: leave it out, the server writes it."
        raise Invalid.of([Problem(f"{part}/resolved", "read_only", detail)])


def _resolved(
    wanted: UploadedBase, files: Sequence[StoredDataset], uploads: UploadStore
) -> tuple[Resolved | None, list[Problem]]:
    """What the uploads hold for this spec, the training file first: rows left out and split, or tokens counted."""
    of_data = files[: 1 + len(wanted.part_uploads)]  # then comes a tokenizer
    reports, hashes = [each.report for each in of_data], [each.sha256 for each in of_data]
    if isinstance(wanted, Text) and wanted.tokenized:
        with _opened(files, uploads) as contents:
            return resolve_tokens(contents[: len(of_data)], reports, hashes, wanted, *contents[len(of_data) :])
    if isinstance(wanted, Images | Text):
        return wanted.resolve_files(reports, hashes)
    if not isinstance(wanted, Upload):
        return wanted.resolve(reports[0], hashes[0])
    if wanted.missing == "refuse" and wanted.split_column is None:
        return wanted.resolve_files(reports, [0] * len(files), hashes)
    with _opened(files, uploads) as contents:
        kept = without_incomplete_rows(contents, reports, wanted)
        dropped = [before.rows - after.rows for before, after in zip(reports, kept, strict=True)]
        resolved, problems = wanted.resolve_files(kept, dropped, hashes)
        if resolved is not None and wanted.split_column:
            split, untrained = count_split(contents[0], wanted.model_copy(update={"resolved": resolved}))
            resolved = resolved.model_copy(update={"split": split, "untrained": untrained})
    return resolved, problems


@contextmanager
def _opened(files: Sequence[StoredDataset], uploads: UploadStore) -> Iterator[list[Path]]:
    """Yield the files; raise `Conflict` where one is missing, and `Unavailable` where their storage does not answer."""
    try:
        with ExitStack() as stack:
            contents = []
            for each in files:
                try:
                    contents.append(stack.enter_context(uploads.opened(each.sha256)))
                except FileNotFoundError:
                    detail = f"The file of the upload {each.id} is missing from the storage: send it again."
                    raise Conflict(detail) from None
            yield contents
    except OSError as error:
        raise Unavailable("The storage of uploads does not answer.") from error
