"""Routes of the catalogue, of presets, and of previews: of a schedule, and of augmented samples."""

from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Request, Response

from service.api.dependencies import (
    ConnectionDep,
    DeferredDep,
    Document,
    PrincipalDep,
    RunId,
    RuntimeDep,
    body,
    json_body,
    open_transaction,
    preset_schema,
    read_in_thread,
)
from service.api.one_thread import Deferred, OneThread
from service.api.waiting import counted_as_stream, until_ended
from service.db.runs.pools import Pool
from service.errors import NotFound
from service.experiments import previews
from service.experiments.catalog import (
    catalog,
    check_preview,
    draw,
    experiment_schema,
    family_of,
    kind_of,
    served_pools,
)
from service.experiments.context import Context
from service.lifecycle import State
from service.schemas.catalog import (
    AugmentationPreview,
    Catalog,
    Family,
    KindDetail,
    PlannedRates,
    PresetItem,
    Presets,
    SchedulePreview,
)
from service.schemas.common import Json
from service.spec.experiment import Experiment
from service.spec.parse.presets import presets

router = APIRouter(prefix="/v1", tags=["catalog"], route_class=OneThread)
PREVIEW_WAIT_S = 10.0  # for a worker that has nothing else to do this is enough
LATER: dict[int | str, dict[str, Any]] = {
    202: {"model": AugmentationPreview, "description": "The job still waits or runs; `Location` has its picture later."}
}


async def _served_pools(_: PrincipalDep, opened: DeferredDep) -> Deferred[list[Pool]]:
    return opened.then(served_pools)


Served = Annotated[list[Pool], Depends(_served_pools, scope="function")]


@router.get("/catalog", operation_id="get_catalog")
def get_catalog(served: Served) -> Catalog:
    """Return everything that a spec or a study can choose from."""
    return catalog(served)


@router.get("/catalog/experiment", operation_id="get_experiment_schema", response_model=Json)
def get_experiment_schema() -> Response:
    """Return the JSON Schema of an experiment's spec: for forms, and for editors that check while one types."""
    return Response(experiment_schema(), media_type="application/json")


@router.get("/catalog/{family}", operation_id="get_family")
def get_family(family: str, served: Served) -> Family:
    """Return one family.

    datasets, models, losses, optimizers, schedules, inits, probes, augmentations, metrics, preparations; of studies
    dimensions, samplers and pruners.
    """
    return family_of(family, served)


@router.get("/catalog/{family}/{kind}", operation_id="get_kind")
def get_kind(family: str, kind: str, served: Served) -> KindDetail:
    """Return one part: what it is, and the JSON Schema of its fields."""
    return kind_of(family, kind, served)


@router.get("/presets", operation_id="list_presets")
def list_presets() -> Presets:
    """List the presets: experiments to start from."""
    return Presets(items=[PresetItem(name=name, notes=spec.notes) for name, spec in presets().items()])


@router.get("/presets/{name}", operation_id="get_preset")
def get_preset(name: str) -> Json:
    """Return the spec of one preset, ready to post."""
    if name not in presets():
        raise NotFound(f"There is no such preset; the presets are: {', '.join(presets())}.")
    return presets()[name].normalised()


def checked_preview(preview: Annotated[SchedulePreview, Depends(body(SchedulePreview))]) -> SchedulePreview:
    """Return the schedule to draw; raise `Invalid` if it contradicts itself."""
    check_preview(preview)
    return preview


@router.post("/schedules/preview", operation_id="preview_schedule", openapi_extra=json_body(SchedulePreview))
def preview_schedule(preview: Annotated[SchedulePreview, Depends(checked_preview)]) -> PlannedRates:
    """Return the exact learning rate at evenly spaced steps, including the first and the last."""
    return draw(preview)


@router.post(
    "/augmentations/preview",
    operation_id="preview_augmentation",
    response_model=AugmentationPreview,
    responses=LATER,
    openapi_extra=json_body(Experiment, preset_schema()),
)
async def preview_augmentation(
    document: Document, principal: PrincipalDep, runtime: RuntimeDep, request: Request, response: Response
) -> AugmentationPreview:
    """Draw what the run of a spec's first seed would make of some images, without storing the spec.

    A worker draws them as a job of its own, before other runs of the same person, and a person's next preview
    supersedes one that still waits. The answer is 200 if the job ended within ten seconds, else 202.
    """
    with counted_as_stream(runtime, principal):
        async with open_transaction(runtime, request.state.reach) as connection:
            context = Context(connection, principal, runtime.settings)
            made = await anyio.to_thread.run_sync(previews.ask, context, document)
        look = partial(previews.answer, principal=principal, job_id=made.answer.id)
        found = await until_ended(request, response, made, look, PREVIEW_WAIT_S)
        if found.state is State.QUEUED:
            found = await read_in_thread(runtime, principal, partial(look, says_why=True))
    return found


@router.get("/augmentations/previews/{job_id}", operation_id="get_augmentation_preview")
def get_augmentation_preview(job_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> AugmentationPreview:
    """Return what a preview of augmented samples has found so far; it is kept for a week."""
    return previews.answer(connection, principal, job_id, says_why=True)
