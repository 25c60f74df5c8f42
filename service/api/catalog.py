"""Routes of what can be chosen: the catalogue, presets, and a schedule drawn before anything runs."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from service.api.deps import ConnectionDep, PrincipalDep, body, takes
from service.api.views import Json, View
from service.db.pools import Pool, pools
from service.errors import Invalid, NotFound, Problem
from service.spec.catalog import CATALOG
from service.spec.checks import MAX_STEPS
from service.spec.component import Component, Part, Rate
from service.spec.preset_loader import presets
from service.spec.requirements import of_kind
from service.spec.schedules import Schedule, curve

router = APIRouter(prefix="/v1", tags=["catalog"])
MAX_POINTS = 100_000


class Kind(View):
    """One choosable part."""

    family: str
    kind: str
    summary: str
    formula: str
    paper: str
    needs: list[str] = Field(description="packages that not every worker has")
    pools: dict[str, bool] = Field(description="of each pool that is served now, whether a worker of it can build this")

    @classmethod
    def of(cls, family: str, kind: str, member: type[Component], served: Sequence[Pool]) -> "Kind":
        """Read off the class, and off the workers that are there now."""
        needs = of_kind(member)
        return cls(
            family=family,
            kind=kind,
            summary=(member.__doc__ or "").strip(),
            formula=member.formula,
            paper=member.paper,
            needs=list(needs),
            pools={pool.name: not pool.missing(needs) for pool in served},
        )


class KindDetail(Kind):
    """One choosable part with its fields."""

    json_schema: Json = Field(description="JSON Schema: fields with defaults and ranges")


class Family(View):
    """The parts of one family."""

    family: str
    items: list[Kind]


class Catalog(View):
    """All families."""

    items: list[Family]


def _served(_: PrincipalDep, connection: ConnectionDep) -> list[Pool]:
    """The pools that have a worker now, by name."""
    return [pool for _, pool in sorted(pools(connection).items()) if pool.serving]


Served = Annotated[list[Pool], Depends(_served, scope="function")]


@router.get("/catalog", operation_id="get_catalog")
def get_catalog(served: Served) -> Catalog:
    """Everything that can be chosen."""
    return Catalog(items=[get_family(family, served) for family in CATALOG])


@router.get("/catalog/{family}", operation_id="get_family")
def get_family(family: str, served: Served) -> Family:
    """One family: datasets, models, losses, optimizers, schedules, inits, probes."""
    if family not in CATALOG:
        raise NotFound(f"There is no such family; there are: {', '.join(CATALOG)}.")
    kinds = CATALOG[family].items()
    return Family(family=family, items=[Kind.of(family, kind, member, served) for kind, member in kinds])


@router.get("/catalog/{family}/{kind}", operation_id="get_kind")
def get_kind(family: str, kind: str, served: Served) -> KindDetail:
    """One part: what it is, and the JSON Schema of its fields."""
    members = CATALOG.get(family, {})
    if kind not in members:
        listed = f"in {family} there are: {', '.join(members)}" if members else f"families are: {', '.join(CATALOG)}"
        raise NotFound(f"There is no such kind; {listed}.")
    known = Kind.of(family, kind, members[kind], served)
    return KindDetail(**known.model_dump(), json_schema=members[kind].model_json_schema())


class PresetItem(View):
    """A preset in the list."""

    name: str
    notes: str


class Presets(View):
    """All presets."""

    items: list[PresetItem]


@router.get("/presets", operation_id="list_presets")
def list_presets() -> Presets:
    """Experiments to start from."""
    return Presets(items=[PresetItem(name=name, notes=spec.notes) for name, spec in presets().items()])


@router.get("/presets/{name}", operation_id="get_preset")
def get_preset(name: str) -> Json:
    """One preset's spec, ready to be posted."""
    if name not in presets():
        raise NotFound(f"There is no such preset; there are: {', '.join(presets())}.")
    return presets()[name].normalised()


class SchedulePreview(Part):
    """A schedule to draw."""

    schedule: Schedule
    lr: Rate
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    points: Annotated[int, Field(ge=2, le=10_000)] | Literal["exact"] = 200


class PlannedRates(View):
    """The rate at some steps, which count from 1; nothing is interpolated."""

    steps: list[int]
    rates: list[float]


def checked(preview: Annotated[SchedulePreview, Depends(body(SchedulePreview))]) -> SchedulePreview:
    """Without contradictions."""
    schedule = preview.schedule
    found = [problem.under("/schedule") for problem in schedule.problems()]
    found += [problem.under("/schedule") for problem in schedule.misfits(preview.steps)]
    if not schedule.pure:
        detail = f"its rate depends on {schedule.watches}, which is known only while a run trains."
        found.append(Problem("/schedule/kind", "not_previewable", detail))
    if preview.points == "exact" and preview.steps > MAX_POINTS:
        found.append(Problem("/points", "too_many_points", "exact is for fewer steps: give a number.", MAX_POINTS))
    if found:
        raise Invalid.of(found)
    return preview


@router.post("/schedules/preview", operation_id="preview_schedule", openapi_extra=takes(SchedulePreview))
def preview_schedule(preview: Annotated[SchedulePreview, Depends(checked)]) -> PlannedRates:
    """The exact rate at evenly spread steps, the first and the last among them."""
    total, points = preview.steps, preview.points
    if points == "exact" or points >= total:
        steps = list(range(1, total + 1))
    else:
        steps = [1 + round(i * (total - 1) / (points - 1)) for i in range(points)]
    return PlannedRates(steps=steps, rates=curve(preview.schedule, preview.lr, steps, total))
