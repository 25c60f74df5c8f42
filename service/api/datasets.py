"""Routes of datasets: upload a file, list them, read the report on one."""

import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query, Request, Response
from pydantic import AfterValidator, Field

from service.api.deps import ConnectionDep, PrincipalDep, RuntimeDep
from service.api.paging import Cursor, Limit, cut
from service.api.runtime import Runtime
from service.api.views import Page, Utc, View
from service.db import datasets
from service.db.datasets import StoredDataset
from service.db.session import transaction
from service.errors import Malformed, TooLarge, Unavailable, UnsupportedMedia
from service.ingest.inspect import inspect
from service.ingest.storage import Incoming, remove
from service.spec.datasets.report import Format, Report
from service.spec.text import plain_name, seen_name

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
PATIENCE_S = 30.0  # for the next bytes of a body
READERS = threading.BoundedSemaphore(2)  # files that are read at once: each may take some 100 MiB
FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself: CSV, JSON (lines or an array), Parquet, NPZ or plain text.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
DatasetId = Annotated[str, Path(pattern="^dat_[0-9a-hjkmnp-tv-z]{26}$")]
FileName = Annotated[
    str,
    Query(min_length=1, max_length=128, description="a label; no path"),
    AfterValidator(plain_name),
    AfterValidator(seen_name),
]
Declared = Annotated[Format | None, Query(description="by default found out from the content")]

Header = Annotated[
    bool | None, Query(description="of a CSV: whether its first line names the columns; by default found out")
]


class DatasetItem(View):
    """An uploaded file."""

    id: str
    name: str
    owner: str
    format: Format
    size_bytes: int
    sha256: str
    rows: int = Field(description="of a text: characters")
    created_at: Utc

    @classmethod
    def of(cls, stored: StoredDataset) -> "DatasetItem":
        """From what is stored."""
        return cls(
            **{name: getattr(stored, name) for name in DatasetItem.model_fields if name != "rows"},
            rows=stored.report.rows,
        )


class DatasetView(DatasetItem):
    """An uploaded file with the report on its columns."""

    report: Report

    @classmethod
    def of(cls, stored: StoredDataset) -> "DatasetView":
        """From what is stored."""
        return cls(**DatasetItem.of(stored).model_dump(), report=stored.report)


async def received(request: Request, runtime: RuntimeDep) -> AsyncIterator[Incoming]:
    """The body in a temporary file; the limit is checked while it arrives, whatever the headers say."""
    limit = runtime.settings.upload_bytes
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise UnsupportedMedia("Send the file itself as the body, not a form.")
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdecimal() and int(length[:20]) > limit:
        raise TooLarge(f"The file is longer than {limit} bytes.")
    incoming = await anyio.to_thread.run_sync(Incoming, runtime.settings.dataset_dir)
    try:
        parts = request.stream().__aiter__()
        while (part := await _next(parts)) is not None:
            if incoming.size_bytes + len(part) > limit:
                raise TooLarge(f"The file is longer than {limit} bytes.")
            await anyio.to_thread.run_sync(incoming.write, part)
        await anyio.to_thread.run_sync(incoming.close)
        yield incoming
    finally:
        incoming.discard()


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    """The next bytes of the body; None at its end."""
    try:
        with anyio.fail_after(PATIENCE_S):
            return await anext(parts, None)
    except TimeoutError:
        raise Malformed(f"Nothing of the file arrived for {PATIENCE_S:.0f} s.") from None


def reported(
    incoming: Annotated[Incoming, Depends(received, scope="function")],
    name: FileName,
    format: Declared = None,
    header: Header = None,
) -> Report:
    """What is in the file; plain `def`, so that reading it stays off the event loop."""
    if not READERS.acquire(timeout=PATIENCE_S):
        raise Unavailable("Too many files are being read.")
    try:
        return inspect(incoming.path, format, name, header)
    finally:
        READERS.release()


@router.post("", operation_id="post_dataset", status_code=201, openapi_extra=FILE)
def post_dataset(
    incoming: Annotated[Incoming, Depends(received, scope="function")],
    report: Annotated[Report, Depends(reported)],
    name: FileName,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
) -> DatasetView:
    """Store a file and what is found in it. Nothing is stored of one that cannot be read."""
    size, limit = incoming.size_bytes, runtime.settings.project_bytes
    dataset_id = datasets.add(connection, principal, name, incoming.sha256, size, report, limit)
    incoming.keep()  # before the commit: a row never names a file that is not there
    response.headers["Location"] = f"/v1/datasets/{dataset_id}"
    return DatasetView.of(datasets.get(connection, principal, dataset_id))


@router.get("", operation_id="list_datasets")
def list_datasets(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[DatasetItem]:
    """The project's datasets, newest first."""
    found, following = cut(datasets.page(connection, principal, limit + 1, cursor), limit, request, response)
    return Page(items=[DatasetItem.of(each) for each in found], next_cursor=following)


@router.get("/{dataset_id}", operation_id="get_dataset")
def get_dataset(dataset_id: DatasetId, principal: PrincipalDep, connection: ConnectionDep) -> DatasetView:
    """One dataset, with the report on its columns."""
    return DatasetView.of(datasets.get(connection, principal, dataset_id))


@router.delete("/{dataset_id}", operation_id="delete_dataset", status_code=204)
def delete_dataset(
    dataset_id: DatasetId,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    tasks: BackgroundTasks,
) -> None:
    """Delete a dataset, and its file unless another has the same. 409 while an experiment trains on it."""
    sha256 = datasets.remove(connection, principal, dataset_id)
    tasks.add_task(_remove_file, runtime, sha256)  # after the commit: a row never names a file that is not there


def _remove_file(runtime: Runtime, sha256: str) -> None:
    with transaction(runtime.engine) as connection:
        if datasets.unnamed(connection, sha256):
            remove(runtime.settings.dataset_dir, sha256)
