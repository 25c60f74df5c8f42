"""The instruments that a run may carry: watchers in the loop, lookers on a copy; then their union."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.plugins import gathered
from service.spec.probes import lookers, watchers
from service.spec.probes.base import Looker_, Probe_
from service.spec.probes.watchers import Activations, Cosines, GradientNorms, Rates, Start, Updates

if TYPE_CHECKING:
    Probe = Probe_
else:
    Probe = gathered(Probe_, watchers, lookers)

MOST = 30  # probes of one run
Probes = Annotated[tuple[Probe, ...], Field(max_length=MOST)]
DEFAULT: tuple[Probe_, ...] = (Start(), GradientNorms(), Updates(), Cosines(), Activations(), Rates())

__all__ = ["DEFAULT", "Looker_", "Probe", "Probe_", "Probes", "lookers", "watchers"]
