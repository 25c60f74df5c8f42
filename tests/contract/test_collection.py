"""Pytest collects quickly: seen in a fresh interpreter, without garbage collection and mostly without torch."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TORCH_IS_REFEREE = {"spec", "contract", "worker"}  # of the worker's folders only the supervisor's can do without
OBSERVER = """
import gc, json, sys

def full_passes():
    return gc.get_stats()[2]["collections"]

def pytest_sessionstart():
    global before
    before = full_passes()

def pytest_collection_finish(session):
    seen = {"passes": full_passes() - before, "cases": len(session.items), "modules": sorted(sys.modules)}
    print("seen", json.dumps(seen))
"""


def collect(folders: list[str], plug_ins: Path) -> dict[str, Any]:
    """Passes of the garbage collector over all objects, cases and modules of a collection in a fresh interpreter."""
    (plug_ins / "observer.py").write_text(OBSERVER)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "observer", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(plug_ins)}
    done = subprocess.run([*command, *folders], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("seen ")]
    seen: dict[str, Any] = json.loads(line.removeprefix("seen "))
    return seen


def test_folders_are_collected_without_torch_and_without_garbage_collection(tmp_path: Path) -> None:
    every = {path.parent.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/*/**/test_*.py")}
    folders = [f"tests/{name}" for name in sorted(every - TORCH_IS_REFEREE | {"worker/supervisor"})]
    seen = collect(folders, tmp_path)
    assert seen["cases"] > 1500
    assert not {"torch", "sklearn", "scipy.stats"} & set(seen["modules"])
    assert seen["passes"] == 0


def test_what_was_collected_is_frozen_and_garbage_is_collected_during_the_tests() -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 100_000
