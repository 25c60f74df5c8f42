"""Presets: whole experiments to start from, one JSON file each in the folder `presets`."""

from functools import cache
from pathlib import Path

from service.spec.document import read_json, validate
from service.spec.experiment import Experiment

FOLDER = Path(__file__).parent / "presets"


@cache
def presets() -> dict[str, Experiment]:
    """Name -> experiment, in the order of the names."""
    return {path.stem: validate(Experiment, read_json(path.read_bytes())) for path in sorted(FOLDER.glob("*.json"))}
