"""Routes of datasets: upload, list, read, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, RuntimeDep, id_path
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.api.replies import Forever
from service.api.uploads import UploadDep, keep_in_storage
from service.db.experiments import datasets
from service.db.experiments.datasets import StoredDataset
from service.process.unnamed_files import remove_unless_named
from service.schemas.common import Page
from service.schemas.datasets import DatasetItem, DatasetView

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=OneThread)
FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself: CSV, JSON (lines or an array), Parquet, NPZ, plain text, or a zip of images.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
DatasetId = Annotated[str, id_path("dat")]


@router.post("", operation_id="post_dataset", status_code=201, openapi_extra=FILE)
def post_dataset(
    upload: UploadDep,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
) -> DatasetView:
    """Store a file and the report on its content. A file that cannot be read is not stored."""
    incoming, limit = upload.incoming, runtime.settings.project_bytes
    dataset_id = datasets.add(
        connection, principal, upload.name, incoming.sha256, incoming.size_bytes, upload.report, limit
    )
    keep_in_storage(runtime, incoming)  # before the commit, so that a row never names a missing file
    response.headers["Location"] = f"/v1/datasets/{dataset_id}"
    return _view(datasets.get(connection, principal, dataset_id))


@router.get("", operation_id="list_datasets")
def list_datasets(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DatasetItem]:
    """List the project's datasets, newest first."""
    found, next_cursor = page_of(datasets.page(connection, principal, limit + 1, cursor), limit, request, response)
    return Page(items=[DatasetItem.of(each, rows=each.report.rows) for each in found], next_cursor=next_cursor)


@router.get("/{dataset_id}", operation_id="get_dataset")
def get_dataset(dataset_id: DatasetId, principal: PrincipalDep, connection: ConnectionDep) -> DatasetView:
    """Return one dataset, with the report on its columns."""
    return _view(datasets.get(connection, principal, dataset_id))


@router.delete("/{dataset_id}", operation_id="delete_dataset", status_code=204)
def delete_dataset(
    dataset_id: DatasetId,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    tasks: BackgroundTasks,
    forever: Forever = False,
) -> None:
    """Put a dataset into the bin, or with `forever` delete it and its file, unless another dataset has the same.

    409 while an experiment trains on it, even one in the bin.
    """
    if not forever:
        return datasets.put_into_bin(connection, principal, dataset_id)
    sha256 = datasets.erase(connection, principal, dataset_id)
    tasks.add_task(remove_unless_named, runtime.engine, runtime.settings, sha256)  # after the commit
    return None


@router.post("/{dataset_id}/restore", operation_id="restore_dataset", status_code=202)
def restore_dataset(dataset_id: DatasetId, principal: PrincipalDep, connection: ConnectionDep) -> DatasetView:
    """Take a dataset out of the bin."""
    return _view(datasets.restore(connection, principal, dataset_id))


def _view(stored: StoredDataset) -> DatasetView:
    return DatasetView.of(stored, rows=stored.report.rows)
