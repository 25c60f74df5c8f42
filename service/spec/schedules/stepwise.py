"""Piecewise constant schedules: constant, in steps, at milestones."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count
from service.spec.schedules.base import Factor, ScheduleBase, cut_short


class Constant(ScheduleBase):
    """Constant rate: the optimizer's lr throughout."""

    formula = "1"

    kind: Literal["constant"] = "constant"

    def scale(self, s: int, total: int) -> float:
        """Return 1."""
        return 1.0


class ConstantFactor(ScheduleBase):
    """A constant smaller rate for the first `total_iters` updates, then the base rate."""

    torch_scheduler = "ConstantLR"
    formula = "factor for s < total_iters, then 1"

    kind: Literal["constant_factor"] = "constant_factor"
    factor: Factor = Field(1 / 3, description="factor of the base rate")  # 0 would be undone by a division in torch
    total_iters: Count = Field(5, description="updates at the smaller rate")

    def scale(self, s: int, total: int) -> float:
        """Return 1 from s = total_iters on."""
        return 1.0 if s >= self.total_iters else self.factor

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a run that never reaches its base rate."""
        if self.total_iters > total:
            yield cut_short("total_iters", self.total_iters, total)


class Step(ScheduleBase):
    """Step decay: multiplies the rate by gamma every `step_size` updates."""

    torch_scheduler = "StepLR"
    formula = "gamma ** floor(s / step_size)"

    kind: Literal["step"] = "step"
    step_size: Count = Field(description="updates between two reductions")
    gamma: Factor = Field(0.1, description="factor at each reduction")

    def scale(self, s: int, total: int) -> float:
        """Return 1 for the first `step_size` updates."""
        return float(self.gamma ** (s // self.step_size))

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a run too short for the first step."""
        if self.step_size >= total:
            yield Problem("/step_size", "never_due", f"the first change lies beyond the run, which is {total} long.")


class MultiStep(ScheduleBase):
    """Step decay at given points: multiplies the rate by gamma at each milestone."""

    torch_scheduler = "MultiStepLR"
    formula = "gamma ** (number of milestones <= s)"

    kind: Literal["multistep"] = "multistep"
    milestones: Annotated[
        tuple[Count, ...], Field(min_length=1, max_length=100, description="updates at which the rate is reduced")
    ]
    gamma: Factor = Field(0.1, description="factor at each milestone")

    def problems(self) -> Iterator[Problem]:
        """Yield unsorted milestones, some of which torch would silently skip."""
        yield from unsorted_milestones(self.milestones)

    def scale(self, s: int, total: int) -> float:
        """Return 1 before the first milestone."""
        return float(self.gamma ** sum(milestone <= s for milestone in self.milestones))

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a run too short for the first milestone."""
        if self.milestones[0] >= total:
            yield Problem("/milestones", "never_due", f"every milestone lies beyond the run, which is {total} long.")


def unsorted_milestones(milestones: tuple[int, ...]) -> Iterator[Problem]:
    """Yield a problem unless the milestones are sorted and unique."""
    if any(later <= earlier for earlier, later in pairwise(milestones)):
        yield Problem("/milestones", "not_increasing", "milestones must increase: sort them and drop repeats.")
