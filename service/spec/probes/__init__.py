"""The probes of a run: inline ones in the training loop, on-demand probes on a copy; then their union."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.plugins import family_union
from service.spec.probes import inline, on_demand
from service.spec.probes.base import OnDemandProbe, ProbeBase
from service.spec.probes.inline import Activations, Cosines, GradientNorms, Rates, Start, Updates

if TYPE_CHECKING:
    Probe = ProbeBase
else:
    Probe = family_union("probe", ProbeBase, inline, on_demand)

MAX_PROBES = 30  # probes of one run
Probes = Annotated[tuple[Probe, ...], Field(max_length=MAX_PROBES)]
DEFAULT_PROBES: tuple[ProbeBase, ...] = (Start(), GradientNorms(), Updates(), Cosines(), Activations(), Rates())

__all__ = ["DEFAULT_PROBES", "OnDemandProbe", "Probe", "ProbeBase", "Probes"]
