"""Routes of the catalogue, of presets, and of schedule previews."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.dependencies import DeferredDep, PrincipalDep, body, json_body
from service.api.one_thread import Deferred, OneThread
from service.db.runs.pools import Pool
from service.errors import NotFound
from service.experiments.catalog import (
    catalog,
    check_preview,
    draw,
    experiment_schema,
    family_of,
    kind_of,
    served_pools,
)
from service.schemas.catalog import Catalog, Family, KindDetail, PlannedRates, PresetItem, Presets, SchedulePreview
from service.schemas.common import Json
from service.spec.parse.presets import presets

router = APIRouter(prefix="/v1", tags=["catalog"], route_class=OneThread)


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
