"""`python -m tests.gpu` itself: it tells checks that pass, fail, hang and crash apart, and keeps to its budget."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.harness import find_checks
from tests.harness.waiting import until

ROOT = Path(__file__).parents[2]
PASSES = "def check():\n    print('a stray line')\n    return {'steps': 200, 'ratio': 1.5}\n"
FAILS = "def check():\n    assert 1 + 1 == 3, 'a promise is broken'\n"
CRASHES = "import os, signal\ndef check():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
SILENT = "import os\ndef check():\n    os._exit(0)\n"
HANGS = """import os, subprocess, time
def check():
    child = subprocess.Popen(["sleep", "600"])
    print("child", child.pid, flush=True)
    with open(os.environ["CHILD"], "w") as file:
        file.write(str(child.pid))
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checks"
    made.mkdir()
    return made


def write(folder: Path, name: str, body: str, limit: float = 30, cpu: bool = True) -> None:
    head = f'"""The check {name}.\n\nMore about it."""\n\nLIMIT_S = {limit}\nRUNS_ON_CPU = {cpu}\n'
    end = 'if __name__ == "__main__":\n    from tests.gpu.check import main\n    main(check)\n'
    (folder / f"{name}.py").write_text(f"{head}{body}\n{end}")


def prove(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, output, and results by name."""
    out = folder.parent / "out"
    command = [sys.executable, "-m", "tests.gpu", "--checks", str(folder), "--out", str(out), *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    path = out / "gpu-checks.json"
    document = json.loads(path.read_text()) if path.exists() else {"checks": []}
    return ended.returncode, ended.stdout + ended.stderr, {each["name"]: each for each in document["checks"]}


def test_each_end_of_a_check_is_told_apart(folder: Path, tmp_path: Path) -> None:
    for name, body in (("passes", PASSES), ("fails", FAILS), ("crashes", CRASHES), ("silent", SILENT)):
        write(folder, name, body)
    write(folder, "hangs", HANGS, limit=6)
    write(folder, "needs", PASSES, cpu=False)
    child = tmp_path / "child"
    status, output, found = prove(folder, "--device", "cpu", CHILD=str(child))
    assert status == 1, output
    assert {name: each["status"] for name, each in found.items()} == {
        **{"passes": "passed", "fails": "failed", "crashes": "failed", "silent": "failed", "hangs": "failed"},
        "needs": "not run",
    }
    assert found["passes"]["figures"] == {"steps": 200, "ratio": 1.5}
    assert found["passes"]["title"] == "The check passes."
    assert found["fails"]["detail"] == "AssertionError: a promise is broken"
    assert "line" in found["fails"]["stderr"]
    assert found["crashes"]["detail"] == "killed by SIGSEGV"
    assert found["silent"]["detail"] == "it printed no figures"
    assert found["hangs"]["detail"] == "killed after 6 s, its limit"
    assert found["needs"]["detail"] == "needs a GPU"
    assert "1 passed, 4 failed, 1 not run" in output
    pid = int(child.read_text())
    until(lambda: not _runs(pid), 30)


def _runs(pid: int) -> bool:
    """Whether a process exists and is no zombie that waits for init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_does_not_fit_into_the_budget_is_listed_as_not_run(folder: Path, tmp_path: Path) -> None:
    write(folder, "first", HANGS, limit=500)
    write(folder, "second", PASSES, limit=20)
    began = time.monotonic()
    status, output, found = prove(folder, "--device", "cpu", "--budget", "15", CHILD=str(tmp_path / "child"))
    assert {name: each["status"] for name, each in found.items()} == {"first": "not run", "second": "not run"}, output
    assert status == 0
    assert re.fullmatch(r"cut off after \d+ s of its 500: no time was left", found["first"]["detail"])
    assert found["second"]["detail"] == "no time was left"
    assert time.monotonic() - began < 60


def test_without_a_gpu_it_says_so(folder: Path) -> None:
    write(folder, "passes", PASSES)
    status, output, found = prove(folder, CUDA_VISIBLE_DEVICES="")
    assert (status, found) == (2, {}), output
    assert output.startswith("No GPU can be used here: torch ")
    assert output.count("\n") == 1


def test_an_unknown_name_is_refused(folder: Path) -> None:
    write(folder, "passes", PASSES)
    status, output, _ = prove(folder, "--device", "cpu", "pases")
    assert (status, "no such check: pases; there are passes" in output) == (1, True)


def test_the_important_checks_come_first(folder: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        write(folder, name, PASSES)
    assert [each.name for each in find_checks(folder, ("gamma", "none", "alpha"))] == ["gamma", "alpha", "beta"]
