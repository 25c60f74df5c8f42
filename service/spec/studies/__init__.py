"""Studies: what is searched, how, by what measure and within which budget; the families and their unions."""

from typing import TYPE_CHECKING

from service.spec.plugins import family_union
from service.spec.studies import dimensions, pruners, samplers
from service.spec.studies.dimensions import DimensionBase
from service.spec.studies.pruners import PrunerBase
from service.spec.studies.samplers import SamplerBase

if TYPE_CHECKING:
    Dimension = DimensionBase
    StudySampler = SamplerBase
    Pruner = PrunerBase
else:
    Dimension = family_union("dimension", DimensionBase, dimensions)
    StudySampler = family_union("study sampler", SamplerBase, samplers)
    Pruner = family_union("pruner", PrunerBase, pruners)

__all__ = ["Dimension", "DimensionBase", "Pruner", "PrunerBase", "SamplerBase", "StudySampler"]
