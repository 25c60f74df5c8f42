"""The samplers: how a study chooses its next point. Each choice is a function of the seed, the trial's number and the
trials told so far."""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component
from service.spec.studies.dimensions import DimensionBase

Startup = Annotated[int, Field(ge=1, le=1000)]


class SamplerBase(Component):
    """A sampler. `learns`: its points depend on the values of earlier trials, so many at once are worth less."""

    learns: ClassVar[bool] = False

    def space_problems(self, dimensions: Sequence[DimensionBase]) -> Iterator[Problem]:
        """Yield why it cannot search a space with these dimensions at its top; pointers start at this part."""
        yield from ()


class Grid(SamplerBase):
    """Every combination once, in order; it ends when all were tried."""

    kind: Literal["grid"] = "grid"
    points: Annotated[int, Field(ge=1, le=1000)] = Field(
        5, description="values of a continuous dimension, evenly spaced on its scale, both bounds included"
    )


class Random(SamplerBase):
    """Independent random points."""

    paper = "Bergstra & Bengio 2012, Random Search for Hyper-Parameter Optimization"

    kind: Literal["random"] = "random"


class Sobol(SamplerBase):
    """A scrambled Sobol sequence: as random, but without clusters and gaps."""

    paper = "Owen 1998, Scrambling Sobol' and Niederreiter-Xing points"

    kind: Literal["sobol"] = "sobol"


class Tpe(SamplerBase):
    """Tree-structured Parzen estimator: densities of good and of other points; takes conditional spaces and choices."""

    learns = True
    formula = "argmax l(x) / g(x)"
    paper = "Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization; Watanabe 2023, arXiv:2304.11127"

    kind: Literal["tpe"] = "tpe"
    startup: Startup = Field(10, description="random points before it starts to learn")
