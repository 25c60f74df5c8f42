"""The catalogue: every component by family and kind, read from the unions."""

from typing import Any, get_args

from service.spec.augmentations import Augmentation
from service.spec.component import Component
from service.spec.datasets import Dataset
from service.spec.inits import Init
from service.spec.losses import Loss
from service.spec.models import Model
from service.spec.optimizers import Optimizer
from service.spec.probes import Probe
from service.spec.schedules import Schedule


def _members(union: Any) -> dict[str, type[Component]]:
    """Return the classes of an `Annotated[A | B, Field(discriminator="kind")]` by kind."""
    return {member.model_fields["kind"].default: member for member in get_args(get_args(union)[0])}


CATALOG: dict[str, dict[str, type[Component]]] = {
    "datasets": _members(Dataset),
    "models": _members(Model),
    "losses": _members(Loss),
    "optimizers": _members(Optimizer),
    "schedules": _members(Schedule),
    "inits": _members(Init),
    "probes": _members(Probe),
    "augmentations": _members(Augmentation),
}
