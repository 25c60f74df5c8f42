"""Every schedule, and their union: pure functions of the step, so they can be drawn before anything runs.

One, the plateau, listens to a metric instead; `ScheduleBase.watches` says so.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.plugins import extend_union
from service.spec.schedules.base import ScheduleBase
from service.spec.schedules.compose import Chained, Sequential, Warmup
from service.spec.schedules.cosine import SWA, Cosine, CosineRestarts
from service.spec.schedules.cyclic import Cyclic, OneCycle
from service.spec.schedules.decay import Exponential, InverseTime, Linear, Polynomial
from service.spec.schedules.feedback import Plateau, PlateauState
from service.spec.schedules.stepwise import Constant, ConstantFactor, MultiStep, Step
from service.spec.schedules.warmed import WSD, InverseSqrt

__all__ = [
    "SWA",
    "WSD",
    "Chained",
    "Constant",
    "ConstantFactor",
    "Cosine",
    "CosineRestarts",
    "Cyclic",
    "Exponential",
    "InverseSqrt",
    "InverseTime",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Plateau",
    "PlateauState",
    "Polynomial",
    "Schedule",
    "ScheduleBase",
    "Sequential",
    "Step",
    "Warmup",
    "curve",
    "plateau_of",
]

Schedule = Annotated[
    Constant
    | ConstantFactor
    | Step
    | MultiStep
    | Exponential
    | Linear
    | Polynomial
    | InverseTime
    | InverseSqrt
    | WSD
    | Cosine
    | CosineRestarts
    | SWA
    | Cyclic
    | OneCycle
    | Plateau
    | Warmup
    | Sequential
    | Chained,
    Field(discriminator="kind"),
]

if not TYPE_CHECKING:
    Schedule = extend_union("schedule", Schedule, ScheduleBase)


def curve(schedule: ScheduleBase, base: float, steps: list[int], total: int) -> list[float]:
    """The rates at `steps`, which count from 1."""
    return [schedule.rate(base, step - 1, total) for step in steps]


def plateau_of(schedule: ScheduleBase) -> tuple[Plateau, int] | None:
    """The plateau in a schedule, and where it begins; None: the step alone decides the rate."""
    if isinstance(schedule, Plateau):
        return schedule, 0
    if isinstance(schedule, Warmup) and isinstance(schedule.after, Plateau):
        return schedule.after, schedule.steps
    return None
