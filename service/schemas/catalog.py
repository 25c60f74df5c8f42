"""The catalogue: components, presets, and previews: of a schedule, and of augmented samples."""

from typing import Annotated, Literal

from pydantic import Field

from service.lifecycle import State
from service.schemas.common import Json, View
from service.spec.checks.experiment import MAX_STEPS
from service.spec.component import Part, Rate
from service.spec.schedules import Schedule


class Kind(View):
    """One choosable part."""

    family: str
    kind: str
    summary: str
    formula: str
    paper: str
    needs: list[str] = Field(description="packages that not every worker has")
    pools: dict[str, bool] = Field(description="of each pool that is served now, whether a worker of it can build this")


class KindDetail(Kind):
    """One choosable part with its fields."""

    json_schema: Json = Field(description="JSON Schema: fields with defaults and ranges")


class Family(View):
    """The parts of one family."""

    family: str
    field: str | None = Field(
        None, description="the field of a spec that is one of these; null: they lie within others"
    )
    items: list[Kind]


class Catalog(View):
    """All families."""

    items: list[Family]


class PresetItem(View):
    """A preset in the list."""

    name: str
    notes: str


class Presets(View):
    """All presets."""

    items: list[PresetItem]


class SchedulePreview(Part):
    """A schedule to draw."""

    schedule: Schedule
    lr: Rate
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    points: Annotated[int, Field(ge=2, le=10_000)] | Literal["exact"] = 200


class AugmentationPreview(View):
    """A job that draws augmented samples of a spec, and the picture: the reading `augmented_samples` of its run."""

    id: str = Field(description="of the job")
    state: State = Field(description="of the job: once it has succeeded, the picture is there")
    waits: str | None = Field(description="why the job has not started")
    error: str | None = Field(description="why there is no picture")
    images: int | None = Field(description="in a row of the picture: the first of the first update")
    draws: int | None = Field(description="rows below the first, in which images are as they are: one for each update")
    height: int | None = Field(description="pixels of an image, of which a large picture leaves some out")
    width: int | None
    png: str | None = Field(description="the picture, as a PNG in base64")


class PlannedRates(View):
    """The rate at some steps, which count from 1; nothing is interpolated."""

    steps: list[int]
    rates: list[float]
