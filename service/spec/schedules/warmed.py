"""Schedules with a warmup of their own: the inverse square root, and warmup-stable-decay."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count, Width
from service.spec.schedules.base import FactorOrZero, ScheduleBase, cut_short


class InverseSqrt(ScheduleBase):
    """Linear warmup, then decay by the inverse square root of the step, as for the original Transformer."""

    formula = "min((s + 1) / W, sqrt(W / (s + 1))); with d_model: d_model**-0.5 * min((s + 1)**-0.5, (s + 1) * W**-1.5)"
    paper = "Vaswani et al. 2017, arXiv:1706.03762, eq. 3 (its step counts from 1)"

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: Count = Field(4000, description="W: length of the warmup in updates")
    d_model: Width | None = Field(
        None,
        description="model width: the peak is base / sqrt(d_model * warmup_steps); null: the peak is the base rate",
    )

    def scale(self, s: int, total: int) -> float:
        """Return 1 at s = warmup_steps - 1 without `d_model`."""
        step, peak = s + 1, self.warmup_steps
        shape = min(step / peak, math.sqrt(peak / step))
        return shape if self.d_model is None else shape / math.sqrt(self.d_model * peak)

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a run that only rises."""
        if self.warmup_steps > total:
            yield cut_short("warmup_steps", self.warmup_steps, total)


class WSD(ScheduleBase):
    """Warmup-stable-decay: linear warmup, constant base rate, and decay over the last `decay_steps` updates."""

    formula = "(s + 1) / W; then 1; then m + (1 - m) * {1 - u, 1 - sqrt(u), (1 + cos(pi*u)) / 2}, u = (s - T + D) / D"
    paper = "Hu et al. 2024, arXiv:2404.06395; Hägele et al. 2024, arXiv:2405.18392 (1-sqrt)"

    kind: Literal["wsd"] = "wsd"
    warmup_steps: Annotated[int, Field(ge=0, le=10**8)] = Field(0, description="W: length of the warmup in updates")
    decay_steps: Count | None = Field(None, description="D: length of the decay in updates; null: a fifth of T")
    shape: Literal["linear", "1-sqrt", "cosine"] = Field("1-sqrt", description="shape of the decay")
    min_factor: FactorOrZero = Field(0.0, description="m: factor of the base rate at the end")
    total_steps: Count | None = Field(None, description="T: length of the schedule; null: the whole run")

    def scale(self, s: int, total: int) -> float:
        """Return 1 at s = W - 1 and until s = T - D, `min_factor` from s = T on."""
        if s < self.warmup_steps:
            return (s + 1) / self.warmup_steps
        length, falling = self._lengths(total)
        u = min(1.0, max(0, s - (length - falling)) / falling)
        left = {"linear": 1 - u, "1-sqrt": 1 - math.sqrt(u), "cosine": (1 + math.cos(math.pi * u)) / 2}[self.shape]
        return self.min_factor + (1 - self.min_factor) * left

    def _lengths(self, total: int) -> tuple[int, int]:
        """Return T and D."""
        length = self.total_steps or max(total, 1)
        return length, self.decay_steps or max(1, length // 5)

    def run_problems(self, total: int) -> Iterator[Problem]:
        """Yield a problem if rise and fall do not fit into the run."""
        length, falling = self._lengths(total)
        if self.warmup_steps + falling > length:
            detail = f"warmup_steps ({self.warmup_steps}) and decay_steps ({falling}) must fit into {length}."
            field = "warmup_steps" if self.decay_steps is None else "decay_steps"
            yield Problem(f"/{field}", "contradiction", detail, limit=length)

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield a length other than the run's."""
        if self.total_steps is not None and self.total_steps > total:
            yield cut_short("total_steps", self.total_steps, total)
        if self.total_steps is not None and self.total_steps < total:
            factor, span = self.min_factor, self.total_steps
            detail = f"from {span} on the rate stays at {factor} of its base; the run is {total} long."
            yield Problem("/total_steps", "rests", detail, limit=total)
