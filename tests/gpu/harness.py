"""Finds check modules, runs each as `python -m` in its own process group, and tabulates the results."""

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.gpu.check import DEVICE_VARIABLE

MIN_S = 5.0  # in which a check can say anything
MAX_CHARACTERS = {"stdout": 1_000_000, "stderr": 4000}  # kept, at the end
Figures = dict[str, float | str]


@dataclass(frozen=True)
class Check:
    """A check module, read without importing it."""

    name: str
    title: str  # first line of its docstring
    limit_s: float
    runs_on_cpu: bool
    folder: Path

    @property
    def module(self) -> str:
        """The name for `python -m`."""
        return ".".join(("tests", "gpu", "checks", self.name)) if self.is_own else self.name

    @property
    def is_own(self) -> bool:
        """Whether it lies in tests/gpu/checks."""
        return self.folder == Path(__file__).with_name("checks")


@dataclass(frozen=True)
class Result:
    """What came of a check."""

    name: str
    title: str
    status: str  # passed | failed | not run
    seconds: float = 0.0
    figures: Figures = field(default_factory=dict)
    detail: str = ""  # why it failed or was not run
    stderr: str = ""

    def line(self) -> str:
        """One line for the table."""
        return f"{self.status:8} {self.seconds:6.1f} s  {self.name:12} {self.title}"

    def document(self) -> dict[str, Any]:
        """The result for the JSON file."""
        return asdict(self)


def find_checks(folder: Path, order: Sequence[str]) -> list[Check]:
    """Return the check modules of a folder: those in `order` first, then the others by name."""
    paths = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    places = {name: at for at, name in enumerate(order)}
    return [read_check(path) for path in sorted(paths, key=lambda p: (places.get(p.stem, len(order)), p.stem))]


def read_check(path: Path) -> Check:
    """Read a module's docstring and constants; ValueError if it is not a check."""
    tree = ast.parse(path.read_text())
    constants = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        with suppress(ValueError, TypeError, AttributeError):
            constants |= dict.fromkeys(names, ast.literal_eval(node.value))
    title, limit = (ast.get_docstring(tree) or "").partition("\n")[0], constants.get("LIMIT_S")
    if not title or not isinstance(limit, int | float):
        raise ValueError(f"{path} is not a check: it needs a docstring and LIMIT_S")
    return Check(path.stem, title, float(limit), constants.get("RUNS_ON_CPU") is True, path.parent)


def run_check(check: Check, device: str, left_s: float, root: Path) -> Result:
    """Run a check, if the device can and time is left; kill its whole group beyond its limit or the time left."""
    if device == "cpu" and not check.runs_on_cpu:
        return Result(check.name, check.title, "not run", detail="needs a GPU")
    if left_s < MIN_S:
        return Result(check.name, check.title, "not run", detail="no time was left")
    path = os.pathsep.join([str(root)] if check.is_own else [str(check.folder), str(root)])
    environment = os.environ | {DEVICE_VARIABLE: device, "PYTHONPATH": path}
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # no pipe: a child may outlive the check
        process = subprocess.Popen(
            [sys.executable, "-m", check.module],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(min(check.limit_s, left_s))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with suppress(ProcessLookupError):  # what the check left running, too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        seconds = time.monotonic() - began
        if status is None and seconds < check.limit_s:
            detail = f"cut off after {seconds:.0f} s of its {check.limit_s:.0f}: no time was left"
            return Result(check.name, check.title, "not run", seconds, detail=detail, stderr=read_end(err, "stderr"))
        return judge(check, status, seconds, read_end(out, "stdout"), read_end(err, "stderr"))


def read_end(file: IO[bytes], stream: str) -> str:
    """Return the last characters of an output file."""
    file.seek(0)
    return file.read().decode(errors="replace")[-MAX_CHARACTERS[stream] :]


def judge(check: Check, status: int | None, seconds: float, out: str, err: str) -> Result:
    """Return the result of a process that ended with `status`, or None if it was killed at its limit."""
    last = (err.strip().splitlines() or [""])[-1]
    detail = ""
    figures: Figures = {}
    if status is None:
        detail = f"killed after {check.limit_s:.0f} s, its limit"
    elif status < 0:
        detail = f"killed by {signal.Signals(-status).name}"
    elif status > 0:
        detail = last or f"exit status {status}"
    else:
        try:
            figures = json.loads(out.strip().splitlines()[-1])
        except (IndexError, ValueError):
            detail = "it printed no figures"
    return Result(check.name, check.title, "failed" if detail else "passed", seconds, figures, detail, err)


def measure_environment(root: Path) -> dict[str, Any]:
    """Return the versions and the GPU, found by another process: this one holds no memory of a device."""
    command = [sys.executable, "-m", "tests.gpu.environment"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode:
        return {"gpu": None, "why": (ended.stderr.strip().splitlines() or ["torch does not start"])[-1]}
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def table(results: Sequence[Result], environment: dict[str, Any]) -> str:
    """Return everything as text: what ran where, each check, and below it its figures or why there are none."""
    lines = ["", "   ".join(f"{name} {value}" for name, value in environment.items() if value), ""]
    for result in results:
        lines.append(result.line())
        if result.detail:
            lines.append(f"{'':20}{result.detail}")
        lines += [f"{'':20}{name:40} {_number(value)}" for name, value in result.figures.items()]
    counts = {status: sum(r.status == status for r in results) for status in ("passed", "failed", "not run")}
    return "\n".join([*lines, "", ", ".join(f"{count} {status}" for status, count in counts.items())])


def _number(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
