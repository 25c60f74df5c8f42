"""The samplers: how a study chooses its next point. Each choice is a function of the seed, the trial's number and the
trials told so far."""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component
from service.spec.studies.dimensions import Choice, DimensionBase

Startup = Annotated[int, Field(ge=1, le=1000)]


class SamplerBase(Component):
    """A sampler. `learns`: its points depend on the values of earlier trials, so many at once are worth less."""

    target: ClassVar[str] = ""  # service.studies.suggest asks it; no worker builds it
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


class Gp(SamplerBase):
    """Gaussian process with a Matern 5/2 kernel and expected improvement: the fewest trials for few dimensions."""

    learns = True
    formula = "argmax log EI(x)"
    paper = "Snoek et al. 2012, arXiv:1206.2944; Ament et al. 2023, arXiv:2310.20708 (log EI)"

    kind: Literal["gp"] = "gp"
    startup: Startup = Field(8, description="Sobol points before it starts to learn")


class CmaEs(SamplerBase):
    """CMA-ES: a normal distribution that adapts to the good points, for many continuous dimensions and many trials."""

    learns = True
    paper = "Hansen 2016, arXiv:1604.00772"

    kind: Literal["cma_es"] = "cma_es"
    population: Annotated[int, Field(ge=4, le=1000)] | None = Field(
        None, description="trials of a generation; null: 4 + 3 ln(dimensions)"
    )

    def space_problems(self, dimensions: Sequence[DimensionBase]) -> Iterator[Problem]:
        """Yield too few dimensions that are numbers."""
        numbers = sum(not isinstance(each, Choice) and each.count != 1 for each in dimensions)
        if numbers < 2:
            detail = f"it adapts to 2 or more numbers that every trial has, and the space has {numbers}: use tpe or gp."
            yield Problem("/kind", "too_few_dimensions", detail, {"ge": 2}, "tpe")
