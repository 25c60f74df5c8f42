"""The same training with other seeds, or under another name."""

from service.spec.experiment import Experiment
from service.spec.parse.fork import with_suffix


def reseeded(spec: Experiment, seeds: tuple[int, ...]) -> Experiment:
    """Return the same training with these seeds."""
    return spec.model_copy(update={"seeds": seeds, "restarts": None})


def renamed(spec: Experiment, suffix: str) -> Experiment:
    """Return the same training with `suffix` after its name."""
    return spec.model_copy(update={"name": with_suffix(spec.name, suffix)})
