"""The schedules: pure functions of the step, so they can be drawn before anything runs.

One, the plateau, follows a metric instead; `ScheduleBase.watched_series` says so.
"""

from typing import TYPE_CHECKING

from service.spec.plugins import family_union
from service.spec.schedules import compose, cosine, cyclic, decay, feedback, stepwise, warmed
from service.spec.schedules.base import ScheduleBase
from service.spec.schedules.compose import Warmup
from service.spec.schedules.feedback import Plateau

if TYPE_CHECKING:
    Schedule = ScheduleBase
else:
    Schedule = family_union("schedule", ScheduleBase, stepwise, decay, warmed, cosine, cyclic, feedback, compose)

__all__ = ["Schedule", "ScheduleBase", "curve", "plateau_of"]


def curve(schedule: ScheduleBase, base: float, steps: list[int], total: int) -> list[float]:
    """Return the rates at `steps`, which count from 1."""
    return [schedule.rate(base, step - 1, total) for step in steps]


def plateau_of(schedule: ScheduleBase) -> tuple[Plateau, int] | None:
    """Return the plateau in a schedule and the update at which it begins; None if the step alone decides the rate."""
    if isinstance(schedule, Plateau):
        return schedule, 0
    if isinstance(schedule, Warmup) and isinstance(schedule.after, Plateau):
        return schedule.after, schedule.steps
    return None
