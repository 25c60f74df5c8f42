"""Runs `no_waiting.py` in an interpreter of its own: a device must be known before torch's first backward pass."""

import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("no_waiting.py")


@pytest.mark.parametrize("chosen", ["optimizer", "not optimizer"])
def test_no_step_waits_for_the_device(chosen: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=short",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        str(CASES),
    ]
    ended = subprocess.run([*command, "-k", chosen], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
