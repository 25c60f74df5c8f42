"""Routes of a trained model: its archive to take home, the archive's files one by one, and its card."""

from collections.abc import Iterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId, RuntimeDep, open_transaction
from service.api.one_thread import OneThread
from service.api.routes.checkpoints import BYTES
from service.db.session import Connection
from service.diagnosis.model_card import card_of
from service.errors import NotFound
from service.experiments import model_files, prediction_files
from service.experiments.checkpoint_files import verified_size
from service.experiments.model_files import FileName, TrainedModel, Weights
from service.export.model.archive import zip_files
from service.process.concurrency import iterate_in_threads
from service.storage.factory import open_store
from service.storage.files import PREDICTIONS, TENSORS
from service.storage.store import Store

router = APIRouter(prefix="/v1/runs", tags=["models"], route_class=OneThread)
MARKDOWN = "text/markdown"
PARQUET = "application/vnd.apache.parquet"
TYPES: dict[FileName, str] = {
    "model.safetensors": "application/octet-stream",
    "spec.json": "application/json",
    "inputs.json": "application/json",
    "load.py": "text/x-python",
    "tokenizer.json": "application/json",
}
OfStep = Annotated[
    int | None, Query(ge=0, le=2**53, description="the checkpoint of this step; omitted: the newest kept one")
]
OfWeights = Annotated[Weights, Query(description="model: as trained; average: as averaged by /average, ema or swa")]
Found = tuple[TrainedModel, str]  # with its card


async def _found(
    run_id: RunId, principal: PrincipalDep, runtime: RuntimeDep, step: OfStep = None, weights: OfWeights = "model"
) -> Found:
    """Return the model, and release the connection before its files are read."""

    def find(connection: Connection) -> Found:
        model = model_files.find_model(connection, principal, run_id, step, weights)
        return model, card_of(connection, principal, run_id)

    async with open_transaction(runtime, principal.project_id) as connection:
        return await anyio.to_thread.run_sync(find, connection)


FoundDep = Annotated[Found, Depends(_found)]


@router.get(
    "/{run_id}/model",
    operation_id="get_model",
    response_class=Response,
    responses={200: {"description": "The archive.", "content": {"application/zip": BYTES["application/octet-stream"]}}},
)
async def get_model(found: FoundDep, runtime: RuntimeDep) -> Response:
    """Download a trained model as a zip archive that needs no Saddle.

    `model.safetensors` holds the weights, `load.py` rebuilds the model and predicts, `inputs.json` says how rows are
    scaled and what the classes are called, `spec.json` is the spec, `card.md` the model card; of a language in byte
    pairs `tokenizer.json` is the tokenizer.
    """
    model, card = found
    store = open_store(runtime.settings)

    def begin() -> Iterator[bytes]:
        verified_size(store, model.stored, TENSORS)
        files = model_files.archive_files(store, model, card)
        return zip_files(files, model.stored.created_at)

    parts = await anyio.to_thread.run_sync(begin, limiter=runtime.checkpoint_threads)
    headers = {
        "Content-Disposition": f'attachment; filename="{_stem(model)}.zip"',
        "Cache-Control": "private, no-cache",
    }
    return StreamingResponse(
        iterate_in_threads(parts, runtime.checkpoint_threads), media_type="application/zip", headers=headers
    )


@router.get(
    "/{run_id}/model/{file}",
    operation_id="get_model_file",
    response_class=Response,
    responses={200: {"description": "The file.", "content": BYTES}},
)
async def get_model_file(found: FoundDep, file: FileName, runtime: RuntimeDep) -> Response:
    """Download one file of the archive."""
    model, _ = found
    store = open_store(runtime.settings)
    size, parts = await anyio.to_thread.run_sync(_open, store, model, file, limiter=runtime.checkpoint_threads)
    headers = {
        "Content-Disposition": f'attachment; filename="{_stem(model)}-{file}"',
        "Content-Length": str(size),
        "Cache-Control": "private, no-cache",
    }
    sent = iterate_in_threads(parts, runtime.checkpoint_threads)
    return StreamingResponse(sent, media_type=TYPES[file], headers=headers)


@router.get(
    "/{run_id}/card.md",
    operation_id="get_model_card",
    response_class=Response,
    responses={200: {"description": "The card.", "content": {MARKDOWN: {"schema": {"type": "string"}}}}},
)
def get_model_card(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> Response:
    """Return the model card: data, settings, results with intervals over the seeds, and diagnosis, as markdown."""
    return Response(card_of(connection, principal, run_id), media_type=MARKDOWN)


@router.get(
    "/{run_id}/predictions",
    operation_id="get_predictions",
    response_class=Response,
    responses={200: {"description": "The file.", "content": {PARQUET: BYTES["application/octet-stream"]}}},
)
async def get_predictions(run_id: RunId, principal: PrincipalDep, runtime: RuntimeDep) -> Response:
    """Download the predictions on the validation part as Parquet, of a run whose spec has `predictions`.

    Columns: row (of the data as read, from 0), target, prediction, loss, and for classes their probabilities.
    """
    async with open_transaction(runtime, principal.project_id) as connection:
        stored = await anyio.to_thread.run_sync(prediction_files.find_predictions, connection, principal, run_id)
    store = open_store(runtime.settings)
    size = await anyio.to_thread.run_sync(
        prediction_files.verified_size, store, stored, limiter=runtime.checkpoint_threads
    )
    headers = {
        "Content-Disposition": f'attachment; filename="{run_id}-predictions.parquet"',
        "Content-Length": str(size),
        "Cache-Control": "private, no-cache",
    }
    parts = iterate_in_threads(store.pieces(stored.folder, PREDICTIONS), runtime.checkpoint_threads)
    return StreamingResponse(parts, media_type=PARQUET, headers=headers)


def _open(store: Store, model: TrainedModel, file: FileName) -> tuple[int, Iterator[bytes]]:
    """Return size and bytes of a file, once the checkpoint is known to be what was written."""
    verified_size(store, model.stored, TENSORS)
    if file == "model.safetensors":
        return model_files.open_weights(store, model)
    text = model_files.text_files(model, model_files.read_state(store, model)).get(file)
    if text is None:
        raise NotFound(f"The model of {model.stored.run_id} has no {file}: its rows are not of a tokenizer's tokens.")
    return len(text), iter((text,))


def _stem(model: TrainedModel) -> str:
    return f"{model.stored.run_id}-step-{model.stored.step}-model"
