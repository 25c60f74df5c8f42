"""One class per schedule, then the union: pure functions of the step, so they can be drawn before anything runs.

`s` counts updates from 0 (the update that makes step 1 has s = 0); `total` is the length of the run in the same unit.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Count

Factor = Annotated[float, Field(gt=0, le=1)]


class Schedule_(Component):
    """A rate as a function of the step; `twin` names torch's scheduler with the same values."""

    target: ClassVar[str] = ""
    twin: ClassVar[str] = ""

    def factor(self, s: int, total: int) -> float:
        """What the base rate is multiplied with at update `s`."""
        raise NotImplementedError

    def rate(self, base: float, s: int, total: int) -> float:
        """The rate at update `s` of a group whose base rate is `base`."""
        return base * self.factor(s, total)


class Constant(Schedule_):
    """The base rate throughout."""

    formula = "1"

    kind: Literal["constant"] = "constant"

    def factor(self, s: int, total: int) -> float:
        """Always 1."""
        return 1.0


class Step(Schedule_):
    """Multiplied by gamma every `step_size` updates."""

    twin = "StepLR"
    formula = "gamma ** floor(s / step_size)"

    kind: Literal["step"] = "step"
    step_size: Count
    gamma: Factor = 0.1

    def factor(self, s: int, total: int) -> float:
        """1 for the first `step_size` updates."""
        return float(self.gamma ** (s // self.step_size))


class MultiStep(Schedule_):
    """Multiplied by gamma at each milestone."""

    twin = "MultiStepLR"
    formula = "gamma ** (number of milestones <= s)"

    kind: Literal["multistep"] = "multistep"
    milestones: Annotated[tuple[Count, ...], Field(min_length=1, max_length=100)]
    gamma: Factor = 0.1

    def problems(self) -> Iterator[Problem]:
        """torch accepts unsorted milestones and silently skips some."""
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            yield Problem("/milestones", "not_increasing", "milestones must increase: sort them and drop repeats.")

    def factor(self, s: int, total: int) -> float:
        """1 before the first milestone."""
        return float(self.gamma ** sum(milestone <= s for milestone in self.milestones))


class Exponential(Schedule_):
    """Multiplied by gamma at every update."""

    twin = "ExponentialLR"
    formula = "gamma ** s"

    kind: Literal["exponential"] = "exponential"
    gamma: Factor

    def factor(self, s: int, total: int) -> float:
        """1 at the first update."""
        return float(self.gamma**s)


class Cosine(Schedule_):
    """Half a cosine from the base rate down to `eta_min`; past T_max it rises again, as torch's does."""

    twin = "CosineAnnealingLR"
    formula = "eta_min + (base - eta_min) * (1 + cos(pi * s / T_max)) / 2"
    paper = "Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5"

    kind: Literal["cosine"] = "cosine"
    T_max: Count | None = Field(None, description="updates until eta_min; null: the whole run")
    eta_min: Annotated[float, Field(ge=0, le=10)] = 0.0

    def rate(self, base: float, s: int, total: int) -> float:
        """`base` at s = 0, `eta_min` at s = T_max."""
        span = self.T_max or max(total, 1)
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * s / span)) / 2


Plain = Annotated[Constant | Step | MultiStep | Exponential | Cosine, Field(discriminator="kind")]


class Warmup(Schedule_):
    """A straight rise over the first `steps` updates, then another schedule that starts counting there."""

    twin = "LinearLR"
    formula = "start + (1 - start) * s / steps for s < steps, then after(s - steps)"
    paper = "Goyal et al. 2017, arXiv:1706.02677"

    kind: Literal["warmup"] = "warmup"
    steps: Count
    start_factor: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="factor of the first update; null: 1/steps, so that update k of the warmup has k/steps",
    )
    after: Plain = Constant()

    def problems(self) -> Iterator[Problem]:
        """Those of the schedule behind the warmup."""
        yield from (problem.under("/after") for problem in self.after.problems())

    def rate(self, base: float, s: int, total: int) -> float:
        """`base` at s = steps (at s = steps - 1 by the default convention)."""
        if s >= self.steps:
            return self.after.rate(base, s - self.steps, total - self.steps)
        if self.start_factor is None:
            return base * ((s + 1) / self.steps)
        return base * (self.start_factor + (1 - self.start_factor) * s / self.steps)


Schedule = Annotated[Constant | Step | MultiStep | Exponential | Cosine | Warmup, Field(discriminator="kind")]


def curve(schedule: Schedule_, base: float, steps: list[int], total: int) -> list[float]:
    """The rates at `steps`, which count from 1."""
    return [schedule.rate(base, step - 1, total) for step in steps]
