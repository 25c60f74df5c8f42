"""The steps of a table's preparation, and their union."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.plugins import family_union
from service.spec.preparation import encoding, imputing, transforms
from service.spec.preparation.base import NumberStepBase, StepBase

if TYPE_CHECKING:
    PreparationStep = StepBase
else:
    PreparationStep = family_union("preparation", StepBase, imputing, transforms, encoding, own=NumberStepBase)

PreparationSteps = Annotated[tuple[PreparationStep, ...], Field(max_length=20)]

__all__ = ["NumberStepBase", "PreparationStep", "PreparationSteps", "StepBase"]
