"""The catalogue: every component by family and kind, read from the unions."""

from typing import Any, get_args

from service.spec.augmentations import Augmentation, AugmentationBase
from service.spec.component import Component
from service.spec.datasets import Dataset, DatasetBase
from service.spec.inits import Init, InitBase
from service.spec.losses import Loss, LossBase
from service.spec.metrics import Metric, MetricBase
from service.spec.models import Model, ModelBase
from service.spec.optimizers import Optimizer, OptimizerBase
from service.spec.preparation import NumberStepBase, PreparationStep
from service.spec.probes import Probe, ProbeBase
from service.spec.schedules import Schedule, ScheduleBase
from service.spec.studies import Dimension, Pruner, StudySampler


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
    "metrics": _members(Metric),
    "preparations": _members(PreparationStep),
    "dimensions": _members(Dimension),  # these and what follows: of a study
    "samplers": _members(StudySampler),
    "pruners": _members(Pruner),
}

BASES: dict[str, tuple[str, type[Component]]] = {  # family of an entry point -> its name here, and the base class
    "dataset": ("datasets", DatasetBase),
    "model": ("models", ModelBase),
    "loss": ("losses", LossBase),
    "optimizer": ("optimizers", OptimizerBase),
    "schedule": ("schedules", ScheduleBase),
    "init": ("inits", InitBase),
    "probe": ("probes", ProbeBase),
    "augmentation": ("augmentations", AugmentationBase),
    "metric": ("metrics", MetricBase),
    "preparation": ("preparations", NumberStepBase),
}
