"""Presets: whole experiments to start from, one JSON file each in the folder `presets`."""

from functools import cache

from service.spec.experiment import Experiment
from service.spec.parse.document import validate
from service.spec.parse.preset_merge import whole, written


@cache
def presets() -> dict[str, Experiment]:
    """Name -> experiment, in the order of the names."""
    return {name: validate(Experiment, whole(name)) for name in written()}
