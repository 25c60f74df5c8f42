"""Combined schedules: multiplied, in sequence, and after a warmup."""

import math
from bisect import bisect_right
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count, under
from service.spec.schedules.base import FactorOrZero, ScheduleBase
from service.spec.schedules.cosine import SWA, Cosine, CosineRestarts
from service.spec.schedules.cyclic import Cyclic, OneCycle
from service.spec.schedules.decay import Exponential, InverseTime, Linear, Polynomial
from service.spec.schedules.feedback import Plateau
from service.spec.schedules.stepwise import Constant, ConstantFactor, MultiStep, Step, unsorted_milestones
from service.spec.schedules.warmed import WSD, InverseSqrt

Scaling = (
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
)
Plain = Scaling | Cyclic | OneCycle | SWA


class Chained(ScheduleBase):
    """Several schedules at once: their factors are multiplied."""

    torch_scheduler = "ChainedScheduler"
    formula = "product of the factors"

    kind: Literal["chained"] = "chained"
    schedules: Annotated[
        tuple[Annotated[Scaling, Field(discriminator="kind")], ...],
        Field(min_length=1, max_length=20, description="schedules to multiply; only kinds that scale the base rate"),
    ]

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of each, and of one that sets a rate, because only factors can be multiplied."""
        for number, part in enumerate(self.schedules):
            yield from under(f"/schedules/{number}", part.problems())
            if part.absolute_field:
                detail = f"{part.absolute_field} is a rate, and only factors can be multiplied: set it to 0."
                yield Problem(f"/schedules/{number}/{part.absolute_field}", "not_a_factor", detail, limit=0)

    def scale(self, s: int, total: int) -> float:
        """Return the product, which is 1 where each of them is."""
        return math.prod(part.rate(1.0, s, total) for part in self.schedules)

    def run_problems(self, total: int) -> Iterator[Problem]:
        """Yield those of each schedule."""
        for number, part in enumerate(self.schedules):
            yield from under(f"/schedules/{number}", part.run_problems(total))

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield those of each schedule."""
        for number, part in enumerate(self.schedules):
            yield from under(f"/schedules/{number}", part.warnings(base, total))


class Sequential(ScheduleBase):
    """Schedules one after another. Each counts from its own milestone and starts from the base rate."""

    torch_scheduler = "SequentialLR"
    formula = "schedules[i](s - milestones[i - 1]) for milestones[i - 1] <= s < milestones[i]"

    kind: Literal["sequential"] = "sequential"
    schedules: Annotated[
        tuple[Annotated[Plain | Chained, Field(discriminator="kind")], ...],
        Field(min_length=2, max_length=20, description="schedules in order"),
    ]
    milestones: Annotated[tuple[Count, ...], Field(min_length=1, max_length=19)] = Field(
        description="updates at which the second, third, ... schedule begins"
    )

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of each, and of milestones with which torch would skip a schedule."""
        for number, part in enumerate(self.schedules):
            yield from under(f"/schedules/{number}", part.problems())
        needed = len(self.schedules) - 1
        if len(self.milestones) != needed:
            detail = f"{len(self.schedules)} schedules need {needed} milestones, one between each two."
            yield Problem("/milestones", "contradiction", detail, limit=needed)
        yield from unsorted_milestones(self.milestones)

    def _at(self, s: int, total: int) -> tuple[ScheduleBase, int, int]:
        """Return the schedule of update `s`, how many updates it has made, and how many it makes in all."""
        number = bisect_right(self.milestones, s)
        start = self.milestones[number - 1] if number else 0
        end = self.milestones[number] if number < len(self.milestones) else total
        return self.schedules[number], s - start, end - start

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate of the schedule in turn; at a milestone, the first rate of the next one."""
        part, passed, length = self._at(s, total)
        return part.rate(base, passed, length)

    def momentum(self, s: int, total: int) -> float | None:
        """Return the momentum of the schedule in turn."""
        part, passed, length = self._at(s, total)
        return part.momentum(passed, length)

    @property
    def absolute_field(self) -> str:
        """Set if any of the schedules sets a rate."""
        return "schedules" if any(part.absolute_field for part in self.schedules) else ""

    @property
    def momentum_pointer(self) -> str:
        """The field of the first schedule that cycles it."""
        parts = enumerate(self.schedules)
        return next(
            (f"/schedules/{number}{part.momentum_pointer}" for number, part in parts if part.momentum_pointer), ""
        )

    def _turns(self, total: int) -> Iterator[tuple[str, ScheduleBase, int]]:
        """Yield each schedule that has a turn in the run: its pointer, itself, its length."""
        starts, ends = (0, *self.milestones), (*self.milestones, total)
        for number, (part, start, end) in enumerate(zip(self.schedules, starts, ends, strict=False)):
            if start < min(end, total):
                yield f"/schedules/{number}", part, min(end, total) - start

    def run_problems(self, total: int) -> Iterator[Problem]:
        """Yield those of each schedule, for the length of its turn."""
        for pointer, part, length in self._turns(total):
            yield from under(pointer, part.run_problems(length))

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield those of each schedule, and a warning about schedules without a turn."""
        for pointer, part, length in self._turns(total):
            yield from under(pointer, part.warnings(base, length))
        if self.milestones[-1] >= total:
            detail = f"the run is {total} long: what begins at {self.milestones[-1]} never has its turn."
            yield Problem("/milestones", "never_due", detail, limit=total)


class Warmup(ScheduleBase):
    """Linear warmup over the first `steps` updates, then the schedule `after`, which counts from there."""

    torch_scheduler = "LinearLR"
    formula = "start + (1 - start) * s / steps for s < steps, then after(s - steps)"
    paper = "Goyal et al. 2017, arXiv:1706.02677"

    kind: Literal["warmup"] = "warmup"
    steps: Count = Field(description="length of the warmup in updates")
    start_factor: FactorOrZero | None = Field(
        None,
        description="factor of the first update; null: 1/steps, so that update k has the factor k/steps",
    )
    after: Annotated[
        Plain | Chained | Sequential | Plateau, Field(discriminator="kind", description="schedule that follows")
    ] = Constant()

    def problems(self) -> Iterator[Problem]:
        """Yield those of the schedule that follows the warmup."""
        yield from under("/after", self.after.problems())

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate: `base` at s = steps (at s = steps - 1 with the default `start_factor`)."""
        if s >= self.steps:
            return self.after.rate(base, s - self.steps, total - self.steps)
        if self.start_factor is None:
            return base * ((s + 1) / self.steps)
        return base * (self.start_factor + (1 - self.start_factor) * s / self.steps)

    def momentum(self, s: int, total: int) -> float | None:
        """Return the momentum of the schedule that follows; during the warmup, of its first update."""
        return self.after.momentum(max(0, s - self.steps), total - self.steps)

    @property
    def absolute_field(self) -> str:
        """Set if the schedule that follows sets a rate."""
        return "after" if self.after.absolute_field else ""

    @property
    def momentum_pointer(self) -> str:
        """The field of the schedule that follows."""
        return f"/after{self.after.momentum_pointer}" if self.after.momentum_pointer else ""

    @property
    def watched_series(self) -> str:
        """The series of the schedule that follows."""
        return self.after.watched_series

    @property
    def watched_pointer(self) -> str:
        """The field of the schedule that follows."""
        return f"/after{self.after.watched_pointer}" if self.after.watched_pointer else ""

    def run_problems(self, total: int) -> Iterator[Problem]:
        """Yield a problem for a warmup longer than the run, and those of the schedule that follows."""
        if self.steps > total:
            detail = f"the warmup is longer ({self.steps}) than the run, whose /steps or /epochs give {total}."
            yield Problem("/steps", "contradiction", detail, limit=total)
        elif self.steps < total:
            yield from under("/after", self.after.run_problems(total - self.steps))

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield those of the schedule that follows the warmup."""
        if self.steps < total:
            yield from under("/after", self.after.warnings(base, total - self.steps))
