"""The check modules where there is no GPU: each is one, and those whose logic runs on a CPU pass there."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.gpu.__main__ import BUDGET_S, CHECKS, ORDER
from tests.gpu.check import DEVICE_VARIABLE
from tests.gpu.harness import Check, find_checks

ROOT = Path(__file__).parents[2]
ALL = find_checks(CHECKS, ORDER)


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_a_check_imports_without_a_gpu_and_fits_into_the_budget(check: Check) -> None:
    module = import_module(check.module)
    assert callable(module.check)
    assert module.LIMIT_S == check.limit_s <= BUDGET_S / 2
    assert len(check.title) <= 100
    assert "main(check)" in Path(module.__file__ or "").read_text()


@pytest.mark.parametrize("check", [each for each in ALL if each.runs_on_cpu], ids=lambda check: check.name)
def test_a_check_passes_on_a_cpu(check: Check) -> None:
    command = [sys.executable, "-m", check.module]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {DEVICE_VARIABLE: "cpu"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])
