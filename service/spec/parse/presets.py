"""Presets, whole experiments to start from, and merging a document over one: RFC 7396 with two additions.

An object of another `kind` replaces the old one, whose other fields would mean nothing in it; and of two fields that
exclude each other, the new one removes the old.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from service.errors import Invalid, Problem
from service.spec.component import Json
from service.spec.experiment import Experiment
from service.spec.parse.document import read_json, validate
from service.spec.validation_errors import closest

FOLDER = Path(__file__).parents[1] / "presets"
EXCLUSIVE = (("steps", "epochs"), ("seeds", "restarts"), ("norm", "value"), ("below", "above"))


@cache
def preset_documents() -> Mapping[str, Json]:
    """Return every preset as its file has it, by name; one may start from another."""
    return {path.stem: read_json(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))}


@cache
def presets() -> dict[str, Experiment]:
    """Return every preset by name, in alphabetical order."""
    return {name: validate(Experiment, expand_preset(name)) for name in preset_documents()}


def expand_preset(name: str) -> Json:
    """Return a preset merged over the one it starts from."""
    merged: Json = merge_patch(*split_preset(preset_documents()[name]))
    return merged


def split_preset(document: object) -> tuple[Json, Any]:
    """Return the preset that a document starts from ({}: none) and the rest; raise `Invalid` for an unknown one."""
    if not isinstance(document, dict) or "preset" not in document:
        return {}, document
    name, names = document["preset"], list(preset_documents())
    if not isinstance(name, str) or name not in names:
        meant = closest(name, names) if isinstance(name, str) else None
        raise Invalid.of([Problem("/preset", "unknown_preset", "there is no such preset.", names, meant)])
    return expand_preset(name), {key: value for key, value in document.items() if key != "preset"}


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `patch` merged over `target`; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    kind = patch.get("kind")
    if not isinstance(target, dict) or (kind is not None and kind != target.get("kind", kind)):
        target = {}
    dropped = {old for pair in EXCLUSIVE for new, old in (pair, pair[::-1]) if patch.get(new) is not None}
    made = {key: value for key, value in target.items() if key not in dropped}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge_patch(made.get(key), value)
    return made
