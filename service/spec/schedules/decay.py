"""Exponential, linear, polynomial and inverse time decay."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count
from service.spec.schedules.base import Factor, FactorOrZero, ScheduleBase, cut_short, stops


class Exponential(ScheduleBase):
    """Exponential decay: multiplies the rate by gamma at every update."""

    torch_scheduler = "ExponentialLR"
    formula = "gamma ** s"

    kind: Literal["exponential"] = "exponential"
    gamma: Factor = Field(description="factor per update")

    def scale(self, s: int, total: int) -> float:
        """Return 1 at the first update."""
        return float(self.gamma**s)


class Linear(ScheduleBase):
    """Linear change from `start_factor` to `end_factor` of the base rate, then constant."""

    torch_scheduler = "LinearLR"
    formula = "start_factor + (end_factor - start_factor) * min(1, s / total_iters)"

    kind: Literal["linear"] = "linear"
    start_factor: Factor = Field(1 / 3, description="factor of the first update")
    end_factor: FactorOrZero = Field(1.0, description="factor after total_iters updates")
    total_iters: Count | None = Field(5, description="updates until end_factor; null: the whole run")

    def scale(self, s: int, total: int) -> float:
        """Return `start_factor` at s = 0, `end_factor` from s = total_iters on."""
        span = self.total_iters or max(total, 1)
        if s >= span:
            return self.end_factor
        return self.start_factor + (self.end_factor - self.start_factor) * s / span

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield an end that is not reached, and a rate of 0 before the run's end."""
        if self.total_iters is not None and self.total_iters > total:
            yield cut_short("total_iters", self.total_iters, total)
        if self.end_factor == 0 and self.total_iters is not None and self.total_iters < total:
            yield stops("total_iters", self.total_iters, total)


class Polynomial(ScheduleBase):
    """Polynomial decay to 0 over the first `total_iters` updates."""

    torch_scheduler = "PolynomialLR"
    formula = "(1 - min(1, s / total_iters)) ** power"

    kind: Literal["polynomial"] = "polynomial"
    total_iters: Count | None = Field(5, description="updates until the rate is 0; null: the whole run")
    power: Annotated[float, Field(ge=0, le=100, description="exponent; 1: linear")] = 1.0

    def scale(self, s: int, total: int) -> float:
        """Return 1 at s = 0, 0 from s = total_iters on (with power 0 always 1)."""
        span = self.total_iters or max(total, 1)
        return float((1.0 - min(s, span) / span) ** self.power)

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield an end that is not reached, and a rate of 0 before the run's end."""
        if self.total_iters is not None and self.total_iters > total:
            yield cut_short("total_iters", self.total_iters, total)
        if self.power > 0 and self.total_iters is not None and self.total_iters < total:
            yield stops("total_iters", self.total_iters, total)


class InverseTime(ScheduleBase):
    """Inverse time decay: divides the rate by 1 + decay_rate * s / decay_steps."""

    formula = "1 / (1 + decay_rate * s / decay_steps)"
    paper = "Robbins & Monro 1951, doi:10.1214/aoms/1177729586; Keras' InverseTimeDecay"

    kind: Literal["inverse_time"] = "inverse_time"
    decay_steps: Count = Field(description="updates per unit of decay_rate")
    decay_rate: Annotated[float, Field(gt=0, le=1e6, description="growth of the divisor per decay_steps updates")]
    staircase: bool = Field(False, description="change the rate only every decay_steps updates")

    def scale(self, s: int, total: int) -> float:
        """Return 1 at s = 0, 1 / (1 + decay_rate) at s = decay_steps."""
        passed = s // self.decay_steps if self.staircase else s / self.decay_steps
        return 1 / (1 + self.decay_rate * passed)

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a staircase whose first stair is beyond the run."""
        if self.staircase and self.decay_steps >= total:
            yield Problem("/decay_steps", "never_due", f"the first change lies beyond the run, which is {total} long.")
