"""The pruners: at which steps trials wait for a decision, and by what rule some are stopped there."""

from collections.abc import Iterator
from itertools import count, takewhile
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.spec.component import Component
from service.spec.training import AtShare, AtStep

Eta = Annotated[int, Field(ge=2, le=10, description="of how many trials at a rung one goes on")]


class PrunerBase(Component):
    """A pruner. `learns`: whether a decision depends on other trials."""

    target: ClassVar[str] = ""  # service.studies.pruning has its rule; no worker builds it
    learns: ClassVar[bool] = True

    def shares(self, total: int) -> Iterator[float]:
        """Yield the rungs of a trial of `total` steps, as rising shares of them; those from 1 on do not count."""
        yield from ()

    def rung_steps(self, total: int) -> tuple[int, ...]:
        """Return the steps at which a trial of `total` steps waits: rising, from 1 on, all before the last step."""
        found = dict.fromkeys(max(1, round(share * total)) for share in takewhile(lambda x: x < 1, self.shares(total)))
        return tuple(step for step in found if step < total)


class NoPruner(PrunerBase):
    """Every trial is trained to its end."""

    learns = False

    kind: Literal["none"] = "none"


class EvenRungs(PrunerBase):
    """A pruner with evenly spaced rungs."""

    first: AtStep | AtShare = Field(0.2, description="first rung: a step, or a share of the trial's steps")
    every: AtStep | AtShare = Field(0.1, description="distance of the rungs, likewise")

    def shares(self, total: int) -> Iterator[float]:
        """Yield first, first + every, ..."""
        first, every = _share(self.first, total), _share(self.every, total)
        return (round(first + every * at, 12) for at in count())


class Median(EvenRungs):
    """Stop a trial whose best value so far is worse than the median of the finished trials at the same rung."""

    paper = "Golovin et al. 2017, Google Vizier, section 3.2.2"

    kind: Literal["median"] = "median"
    startup: Annotated[int, Field(ge=1, le=1000)] = Field(
        5, description="trials that are finished before any is stopped"
    )


class PatiencePruner(EvenRungs):
    """Stop a trial that has not improved for so many rungs, whatever the others do."""

    learns = False

    kind: Literal["patience"] = "patience"
    rungs: Annotated[int, Field(ge=1, le=1000)] = Field(3, description="rungs in a row without a new best value")
    min_delta: Annotated[float, Field(ge=0, le=1e12)] = Field(0.0, description="smallest improvement that counts")


class EarlyVerdict(PrunerBase):
    """Stop a trial whose extrapolated curve reaches the best value so far with less than the stated chance."""

    formula = "P(c < best), y(x) = c + a (x^-b - 1) + noise, x the share of the steps"
    paper = "after Domhan et al. 2015, Speeding up Automatic Hyperparameter Optimization"

    kind: Literal["early_verdict"] = "early_verdict"
    first: AtShare = Field(0.2, description="first rung, as a share of the trial's steps")
    every: AtShare = Field(0.1, description="distance of the rungs, likewise")
    chance: Annotated[float, Field(gt=0, lt=0.5)] = Field(0.05, description="chance below which a trial is stopped")
    startup: Annotated[int, Field(ge=1, le=1000)] = Field(
        3, description="trials that are finished before any is stopped"
    )

    def shares(self, total: int) -> Iterator[float]:
        """Yield first, first + every, ..."""
        return (round(self.first + self.every * at, 12) for at in count())


class GeometricRungs(PrunerBase):
    """A pruner with rungs at first, first eta, first eta^2, ... of the steps."""

    first: AtStep | AtShare = Field(1 / 27, description="first rung: a step, or a share of the trial's steps")
    eta: Eta = 3

    def shares(self, total: int) -> Iterator[float]:
        """Yield first, first eta, first eta^2, ..."""
        first = _share(self.first, total)
        return (round(first * self.eta**at, 12) for at in count())


class Asha(GeometricRungs):
    """Asynchronous successive halving: the best 1/eta of the trials at a rung go on, the others wait and then stop."""

    paper = "Li et al. 2020, arXiv:1810.05934"

    kind: Literal["asha"] = "asha"


class Hyperband(GeometricRungs):
    """Successive halving in several brackets, which start to stop trials at different rungs.

    A trial's number decides its bracket, in the proportions of the paper.
    """

    paper = "Li et al. 2018, arXiv:1603.06560"

    kind: Literal["hyperband"] = "hyperband"
    first: AtShare = Field(1 / 27, description="first rung, as a share of the trial's steps")


def _share(given: float, total: int) -> float:
    """Return a step or a share of a trial of `total` steps as a share."""
    return given / total if isinstance(given, int) else given
