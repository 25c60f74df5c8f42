"""Routes of a run's checkpoints: list and download them."""

from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from service.api.content_negotiation import matches_etag
from service.api.dependencies import ConnectionDep, PrincipalDep, RunId, RuntimeDep, open_transaction
from service.api.one_thread import OneThread
from service.db.access import audit
from service.db.runs import checkpoints
from service.db.runs.checkpoints import StoredCheckpoint
from service.db.session import Connection
from service.experiments.checkpoint_files import verified_size
from service.process.concurrency import iterate_in_threads
from service.schemas.checkpoints import CheckpointsView, CheckpointView
from service.storage.factory import open_store

router = APIRouter(prefix="/v1/runs", tags=["checkpoints"], route_class=OneThread)
TYPES = {"tensors.safetensors": "application/octet-stream", "state.json": "application/json"}
FileName = Literal["tensors.safetensors", "state.json"]
Step = Annotated[int, Path(ge=0, le=2**53)]
BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.get("/{run_id}/checkpoints", operation_id="list_checkpoints")
def list_checkpoints(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> CheckpointsView:
    """List the checkpoints of a run. Kept are the last two, the best, every k-th, and those that forks start from."""
    found = checkpoints.of_run(connection, principal, run_id)
    return CheckpointsView(
        items=[CheckpointView.of(each, kept=each.removed_at is None and not each.damaged) for each in found]
    )


async def _stored(
    run_id: RunId, step: Step, file: FileName, principal: PrincipalDep, runtime: RuntimeDep
) -> StoredCheckpoint:
    """Return the row, and release the connection before the files are read."""

    def find(connection: Connection) -> StoredCheckpoint:
        found = checkpoints.get_at(connection, principal, run_id, step)
        audit.record(connection, principal, "checkpoint.export", run_id, step=step, file=file)
        return found

    async with open_transaction(runtime, principal.project_id) as connection:
        return await anyio.to_thread.run_sync(find, connection)


@router.get(
    "/{run_id}/checkpoints/{step}/{file}",
    operation_id="get_checkpoint_file",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": BYTES},
        304: {"description": "Not modified."},
    },
)
async def get_checkpoint_file(
    stored: Annotated[StoredCheckpoint, Depends(_stored)], file: FileName, runtime: RuntimeDep, request: Request
) -> Response:
    """Download one of the two files of a checkpoint, after verifying both. 409 if they are damaged."""
    headers = {"ETag": f'"{stored.sha256}"', "Cache-Control": "private, no-cache"}
    if matches_etag(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    store = open_store(runtime.settings)
    size = await anyio.to_thread.run_sync(verified_size, store, stored, file, limiter=runtime.checkpoint_threads)
    name = f"{stored.run_id}-step-{stored.step}-{file}"
    headers |= {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)}
    parts = iterate_in_threads(store.pieces(stored.folder, file), runtime.checkpoint_threads)
    return StreamingResponse(parts, media_type=TYPES[file], headers=headers)
