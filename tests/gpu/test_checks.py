"""The check modules where there is no GPU: each is one, and those whose logic runs on a CPU pass there."""

import json
import os
import runpy
import sys
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.gpu.__main__ import BUDGET_S, CHECKS, ORDER
from tests.gpu.check import DEVICE_VARIABLE
from tests.gpu.harness import Check, find_checks

ALL = find_checks(CHECKS, ORDER)


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_a_check_imports_without_a_gpu_and_fits_into_the_budget(check: Check) -> None:
    module = import_module(check.module)
    assert callable(module.check)
    assert module.LIMIT_S == check.limit_s <= BUDGET_S / 2
    assert len(check.title) <= 100
    assert "main(check)" in Path(module.__file__ or "").read_text()


@pytest.mark.parametrize("check", [each for each in ALL if each.runs_on_cpu], ids=lambda check: check.name)
def test_a_check_passes_on_a_cpu(check: Check, torch_loaded: ForkServerContext, tmp_path: Path) -> None:
    process = torch_loaded.Process(target=run_check, args=(check.module, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == 0, (tmp_path / "stderr").read_text()
    assert json.loads((tmp_path / "stdout").read_text().splitlines()[-1])


@pytest.fixture(scope="module")
def torch_loaded() -> ForkServerContext:
    """Processes that begin with torch imported, and nothing done with it: the import is most of what a check costs."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.nn.functional"])
    return context


def run_check(module: str, folder: Path) -> None:
    """Be `python -m` of a check, with its output in files."""
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), stream)
    os.environ[DEVICE_VARIABLE], sys.argv = "cpu", [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
