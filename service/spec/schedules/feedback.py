"""Reduce on plateau: the rate falls when a metric stops improving. Its state is small and explicit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Json
from service.spec.measures import SeriesName, better_direction
from service.spec.schedules.base import Floor, ScheduleBase

Evaluations = Annotated[int, Field(ge=0, le=10**6)]


@dataclass(frozen=True)
class PlateauState:
    """The state of a plateau between two evaluations."""

    best: float | None = None  # None: nothing yet, which differs from infinite
    bad: int = 0  # consecutive evaluations without improvement
    cooling: int = 0  # evaluations that do not count yet
    reductions: int = 0

    def document(self) -> Json:
        """Return the state as JSON, exactly: the best value may be infinite, so it is a hexadecimal text."""
        best = None if self.best is None else self.best.hex()
        return {"best": best, "bad": self.bad, "cooling": self.cooling, "reductions": self.reductions}

    @classmethod
    def of(cls, document: Json) -> "PlateauState":
        """Return the state from its `document`."""
        best = None if document["best"] is None else float.fromhex(document["best"])
        return cls(best, document["bad"], document["cooling"], document["reductions"])


class Plateau(ScheduleBase):
    """Reduce on plateau: multiplies the rate by `factor` after more than `patience` evaluations without improvement.

    NaN is never an improvement. As in PyTorch, mode `rel` of the threshold is not meant for negative values.
    """

    torch_scheduler = "ReduceLROnPlateau"
    formula = "rate -> max(rate * factor, min_lr) after more than patience evaluations without improvement"

    kind: Literal["plateau"] = "plateau"
    watch: SeriesName = Field("val/loss", description="series that must improve, read at each evaluation")
    mode: Literal["min", "max"] = Field("min", description="whether lower or higher values are better")
    factor: Annotated[float, Field(gt=0, lt=1, description="factor of each reduction")] = 0.1
    patience: Evaluations = Field(10, description="evaluations without improvement before a reduction")
    threshold: Annotated[float, Field(ge=0, le=1e9, description="smallest improvement that counts")] = 1e-4
    threshold_mode: Literal["rel", "abs"] = Field(
        "rel", description="threshold relative to the best value, or absolute"
    )
    cooldown: Evaluations = Field(0, description="evaluations after a reduction that do not count")
    min_lr: Floor = Field(0.0, description="minimum rate")
    eps: Annotated[float, Field(ge=0, le=1)] = Field(1e-8, description="skip reductions smaller than this")

    @property
    def watched_series(self) -> str:
        """The field `watch`."""
        return self.watch

    @property
    def absolute_field(self) -> str:
        """The lowest rate, and the smallest change of rate, are given as rates."""
        return "min_lr"

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for a threshold with which nothing can improve."""
        if self.threshold_mode == "rel" and self.mode == "min" and self.threshold >= 1:
            detail = "a relative threshold must be below 1: no value would be an improvement."
            yield Problem("/threshold", "contradiction", detail, limit=1)

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate while the metric improves; the rate of a run is `rate_of` its state."""
        return base

    def advance(self, state: PlateauState, metric: float) -> PlateauState:
        """Return the state after one more evaluation."""
        best, bad = (metric, 0) if self._improves(metric, state.best) else (state.best, state.bad + 1)
        cooling, reductions = state.cooling, state.reductions
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > self.patience:
            cooling, bad, reductions = self.cooldown, 0, reductions + 1
        return PlateauState(best, bad, cooling, reductions)

    def _improves(self, metric: float, best: float | None) -> bool:
        sign = 1 if self.mode == "min" else -1
        best = sign * math.inf if best is None else best
        if self.threshold_mode == "rel":
            best *= 1 - sign * self.threshold
        else:
            best -= sign * self.threshold
        return metric < best if self.mode == "min" else metric > best

    def rate_of(self, state: PlateauState, base: float) -> float:
        """Return the rate, after the reductions so far, of a group with the base rate `base`."""
        rate = base
        for _ in range(state.reductions):
            lower = max(rate * self.factor, self.min_lr)
            if rate - lower <= self.eps:
                break  # later reductions would be smaller still
            rate = lower
        return rate

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield bounds that leave nothing to reduce, and a mode opposite to the series' better direction."""
        if self.min_lr >= base:
            yield Problem("/min_lr", "no_effect", "min_lr is not below /optimizer/lr: the rate never falls.")
        if self.mode != better_direction(self.watch):
            yield Problem("/mode", "probably_reversed", f"{self.watch} is better the other way round.")
