"""What every schedule is: a rate as a pure function of the step, and what it can say about itself before it runs.

`s` counts updates from 0 (the update that makes step 1 has s = 0); `total` is the length of the run in the same unit.
"""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Default

Factor = Annotated[float, Field(gt=0, le=1)]
FactorOrZero = Annotated[float, Field(ge=0, le=1)]
Floor = Annotated[float, Field(ge=0, le=10)]  # a rate that may be 0
Strategy = Literal["cos", "linear"]


class ScheduleBase(Component):
    """A rate as a function of the step; `twin` names torch's scheduler with the same values."""

    target: ClassVar[str] = ""
    twin: ClassVar[str] = ""
    abstract = ("scale",)
    instead = {"scale": "rate"}
    left_out = {
        "optimizer": "the run has one",
        "last_epoch": "a rate is a function of the step: nothing is needed to go on from the middle",
    }

    def scale(self, s: int, total: int) -> float:
        """What the base rate is multiplied with at update `s`."""
        raise NotImplementedError

    def rate(self, base: float, s: int, total: int) -> float:
        """The rate at update `s` of a group whose base rate is `base`."""
        return base * self.scale(s, total)

    def momentum(self, s: int, total: int) -> float | None:
        """The momentum (or first beta) at update `s`; None: the optimizer's own."""
        return None

    @property
    def absolute(self) -> str:
        """The field that sets a rate whatever the base rate is; empty: the schedule only scales the base rate."""
        return ""

    @property
    def cycles(self) -> str:
        """Pointer to the field that asks for a cycling momentum; empty: the optimizer's own stays."""
        return ""

    @property
    def watches(self) -> str:
        """The series whose values decide the rate; empty: the step alone does."""
        return ""

    @property
    def watching(self) -> str:
        """Pointer to the field that names this series."""
        return "/watch" if self.watches else ""

    @property
    def pure(self) -> bool:
        """Whether the rate is known before anything runs."""
        return not self.watches

    def fitting(self) -> Iterator[Default]:
        """Yield defaults that fit what was given where the usual ones do not."""
        yield from ()

    def misfits(self, total: int) -> Iterator[Problem]:
        """What contradicts a run that is `total` long; pointers start at this part."""
        yield from ()

    def oddities(self, base: float, total: int) -> Iterator[Problem]:
        """What a run that is `total` long allows and probably does not mean; pointers start at this part."""
        yield from ()


Schedule_ = ScheduleBase  # the old name, kept for plug-ins until 0.3


def anneal(start: float, end: float, u: float, strategy: Strategy) -> float:
    """From `start` at u = 0 to `end` at u = 1, straight or along half a cosine."""
    if strategy == "cos":
        return end + (start - end) * (1 + math.cos(math.pi * u)) / 2
    return start + (end - start) * u


def cut_short(field: str, span: int, total: int) -> Problem:
    """The warning that the run ends before the schedule does."""
    return Problem(
        f"/{field}", "cut_short", f"{field} reaches to {span}; the run ends before, at {total}.", limit=total
    )


def stops(field: str, span: int, total: int) -> Problem:
    """The warning that the rate is 0 for a part of the run."""
    detail = f"from {span} on the rate is 0 and nothing is learned; the run is {total} long."
    return Problem(f"/{field}", "stops_learning", detail, limit=total)


def ignored(field: str, base: float) -> Problem:
    """The warning that an absolute rate takes the place of the optimizer's."""
    return Problem(f"/{field}", "ignored", f"{field} is a rate of its own: /optimizer/lr ({base}) has no effect.")
