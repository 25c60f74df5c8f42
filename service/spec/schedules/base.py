"""What every schedule declares: the learning rate as a pure function of the step, and checks before it runs.

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
Strategy = Annotated[Literal["cos", "linear"], Field(description="shape of the annealing")]


class ScheduleBase(Component):
    """A schedule: a rate as a function of the step; `torch_scheduler` names torch's scheduler with the same values."""

    target: ClassVar[str] = ""
    torch_scheduler: ClassVar[str] = ""
    abstract = ("scale",)
    instead = {"scale": "rate"}
    renamed = {
        "absolute": "absolute_field",
        "cycles": "momentum_pointer",
        "fitting": "inferred_defaults",
        "misfits": "run_problems",
        "oddities": "warnings",
        "watches": "watched_series",
        "watching": "watched_pointer",
    }
    left_out = {
        "optimizer": "the run has one",
        "last_epoch": "a rate is a function of the step: nothing is needed to go on from the middle",
    }

    def scale(self, s: int, total: int) -> float:
        """Return the factor of the base rate at update `s`."""
        raise NotImplementedError

    def rate(self, base: float, s: int, total: int) -> float:
        """Return the rate at update `s` of a group with the base rate `base`."""
        return base * self.scale(s, total)

    def momentum(self, s: int, total: int) -> float | None:
        """Return the momentum (or first beta) at update `s`; None for the optimizer's own."""
        return None

    @property
    def absolute_field(self) -> str:
        """The field that sets an absolute rate; empty if the schedule only scales the base rate."""
        return ""

    @property
    def momentum_pointer(self) -> str:
        """Pointer to the field that cycles the momentum; empty if the schedule leaves it alone."""
        return ""

    @property
    def watched_series(self) -> str:
        """The series that the rate depends on; empty if it depends on the step alone."""
        return ""

    @property
    def watched_pointer(self) -> str:
        """Pointer to the field that names this series; empty if there is none."""
        return "/watch" if self.watched_series else ""

    @property
    def pure(self) -> bool:
        """Whether the rate depends on the step alone, so that it is known before the run."""
        return not self.watched_series

    def inferred_defaults(self) -> Iterator[Default]:
        """Yield defaults for omitted fields where the usual ones do not fit the given ones."""
        yield from ()

    def run_problems(self, total: int) -> Iterator[Problem]:
        """Yield what contradicts a run of length `total`; pointers start at this part."""
        yield from ()

    def warnings(self, base: float, total: int) -> Iterator[Problem]:
        """Yield what is probably a mistake in a run of length `total`; pointers start at this part."""
        yield from ()


Schedule_ = ScheduleBase  # the old name, kept for plug-ins until 0.3


def anneal(start: float, end: float, u: float, strategy: Strategy) -> float:
    """Interpolate from `start` at u = 0 to `end` at u = 1, linearly or along half a cosine."""
    if strategy == "cos":
        return end + (start - end) * (1 + math.cos(math.pi * u)) / 2
    return start + (end - start) * u


def cut_short(field: str, span: int, total: int) -> Problem:
    """Return the warning that the run ends before the schedule does."""
    return Problem(
        f"/{field}", "cut_short", f"{field} reaches to {span}; the run ends before, at {total}.", limit=total
    )


def stops(field: str, span: int, total: int) -> Problem:
    """Return the warning that the rate is 0 for part of the run."""
    detail = f"from {span} on the rate is 0 and nothing is learned; the run is {total} long."
    return Problem(f"/{field}", "stops_learning", detail, limit=total)


def ignored(field: str, base: float) -> Problem:
    """Return the warning that an absolute rate replaces the optimizer's."""
    return Problem(f"/{field}", "ignored", f"{field} is a rate of its own: /optimizer/lr ({base}) has no effect.")
