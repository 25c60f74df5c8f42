"""Specs that were stored once can be read by every later release, mean the same, and keep their hash."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment

FILES = sorted((Path(__file__).parent / "written").glob("*.json"))


def kept(old: Any, new: Any, pointer: str = "") -> list[str]:
    """Where `new` does not say what `old` says; it may have fields that `old` has not."""
    if isinstance(old, dict) and isinstance(new, dict):
        missing = [f"{pointer}/{name}" for name in old.keys() - new.keys()]
        return missing + [
            p for name in old.keys() & new.keys() for p in kept(old[name], new[name], f"{pointer}/{name}")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [p for at, pair in enumerate(zip(old, new, strict=True)) for p in kept(*pair, f"{pointer}/{at}")]
    return [] if old == new and type(old) is type(new) else [pointer]


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_stored_spec_is_read_means_the_same_and_hashes_the_same(path: Path) -> None:
    document = json.loads(path.read_text())
    spec = Experiment.model_validate_json(json.dumps(document["spec"]))
    assert kept(document["spec"], spec.normalised()) == []
    assert spec.hash == document["hash"]
    assert find_problems(spec) == []
