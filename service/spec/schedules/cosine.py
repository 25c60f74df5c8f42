"""Cosine annealing: once, with restarts, and to the rate of stochastic weight averaging."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count, PositiveRate
from service.spec.schedules.base import Floor, ScheduleBase, Strategy, anneal, cut_short


class Cosine(ScheduleBase):
    """Cosine annealing from the base rate to `eta_min`. After T_max the rate rises again, as in PyTorch."""

    torch_scheduler = "CosineAnnealingLR"
    formula = "eta_min + (base - eta_min) * (1 + cos(pi * s / T_max)) / 2"
    paper = "Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5"

    kind: Literal["cosine"] = "cosine"
    T_max: Count | None = Field(None, description="updates until eta_min; null: the whole run")
    eta_min: Floor = Field(0.0, description="minimum rate")

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate: `base` at s = 0, `eta_min` at s = T_max."""
        span = self.T_max or max(total, 1)
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * s / span)) / 2

    @property
    def absolute_field(self) -> str:
        """A minimum above 0 does not scale with the base rate."""
        return "eta_min" if self.eta_min else ""

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a rate that rises, and an end that is not reached."""
        if self.T_max is not None and self.T_max < total:
            yield Problem("/T_max", "rises_again", f"past T_max the rate rises again; the run is {total} long.")
        if self.T_max is not None and self.T_max > total:
            yield cut_short("T_max", self.T_max, total)
        yield from _above(self.eta_min, base)


class CosineRestarts(ScheduleBase):
    """Cosine annealing with warm restarts (SGDR). Each cycle is `T_mult` times as long as the one before."""

    torch_scheduler = "CosineAnnealingWarmRestarts"
    formula = "eta_min + (base - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2"
    paper = "Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5"

    kind: Literal["cosine_restarts"] = "cosine_restarts"
    T_0: Count = Field(description="length of the first cycle in updates")
    T_mult: Annotated[int, Field(ge=1, le=1000, description="factor of the cycle length at each restart")] = 1
    eta_min: Floor = Field(0.0, description="minimum rate")

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate: `base` at s = 0 and at every restart; a restart comes just before `eta_min` is reached."""
        passed, span = s, self.T_0
        if self.T_mult == 1:
            passed = s % span
        while passed >= span:
            passed, span = passed - span, span * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * passed / span)) / 2

    @property
    def absolute_field(self) -> str:
        """A minimum above 0 does not scale with the base rate."""
        return "eta_min" if self.eta_min else ""

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a rate that rises, and a restart that is never reached."""
        if total <= self.T_0:
            yield Problem("/T_0", "never_due", f"the first restart lies beyond the run, which is {total} long.")
        yield from _above(self.eta_min, base)


class SWA(ScheduleBase):
    """Anneals from the base rate to `swa_lr` and stays there, for stochastic weight averaging."""

    torch_scheduler = "SWALR"
    formula = "swa_lr * a + base * (1 - a), a = (1 - cos(pi * min(1, s / anneal_epochs))) / 2"
    paper = "Izmailov et al. 2018, arXiv:1803.05407"

    kind: Literal["swa"] = "swa"
    swa_lr: PositiveRate = Field(description="final rate")
    anneal_epochs: Annotated[int, Field(ge=0, le=10**8)] = Field(
        10, description="length of the annealing, in the unit of /schedule_unit; 0: swa_lr at once"
    )
    anneal_strategy: Strategy = "cos"

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate: `base` at s = 0, `swa_lr` from s = anneal_epochs on."""
        if s >= self.anneal_epochs:
            return self.swa_lr
        return anneal(base, self.swa_lr, s / self.anneal_epochs, self.anneal_strategy)

    @property
    def absolute_field(self) -> str:
        """`swa_lr` is a rate."""
        return "swa_lr"

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield an annealing that the run does not finish."""
        if self.anneal_epochs > total:
            yield cut_short("anneal_epochs", self.anneal_epochs, total)


def _above(eta_min: float, base: float) -> Iterator[Problem]:
    if eta_min > base:
        detail = f"eta_min is above /optimizer/lr ({base:g}): the rate would rise instead of falling."
        yield Problem("/eta_min", "rises", detail, limit=base)
