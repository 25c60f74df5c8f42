"""What is asked of a study after it was posted."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.schemas.common import Json
from service.spec.component import Part
from service.spec.experiment import NewName
from service.spec.studies.study import Budget


class TrialRequest(Part):
    """A trial by hand: a point that the sampler did not choose, which counts as one of its own."""

    point: dict[str, Any] = Field(
        min_length=1, max_length=100, description="JSON pointer -> value, of every dimension that is active there"
    )


class ExtendRequest(Budget):
    """What the study may use beyond its present budget; limits that it does not have stay absent."""


class CloneRequest(Part):
    """A new study that differs from this one in the fields given, by merge patch; it begins without trials."""

    name: NewName | None = Field(None, description="null: this study's name and (copy)")
    changes: Json = Field({}, description="merge patch of the study's document: an object is merged, null removes")


class ConfirmStudyRequest(Part):
    """How the best trials are trained again with fresh seeds."""

    seeds: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None, description="fresh ones for each contestant; null: as many as would tell the two apart, 5 to 20"
    )
    against: Literal["runner_up", "base"] | None = Field(
        None,
        description="what the best trial is held against; null: the best of each other scientific value, else the "
        "runner-up, else the base",
    )
