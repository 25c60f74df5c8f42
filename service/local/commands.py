"""The commands that a local start runs besides the servers: migration, key, API, workers, device detection."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.local.failure import CannotStart
from service.local.processes import Program
from service.settings import pool_of

WORKER_GRACE_S = 120.0  # for a worker to save a last checkpoint
Command = Sequence[str]


@dataclass(frozen=True)
class Commands:
    """Command lines; `--host` and `--port` are appended for the API, `--project` and `--member` for the key."""

    migrate: Command = (sys.executable, "-m", "service.db", "upgrade")
    key: Command = (sys.executable, "-m", "service.db", "key")
    api: Command = (sys.executable, "-m", "service.api")
    worker: Command = (sys.executable, "-m", "worker")
    devices: Command = (sys.executable, "-m", "worker.trainer.devices")


def run_command(what: str, command: Command, environment: Mapping[str, str], folder: Path, log: Path) -> str:
    """Run a short command and return its stdout; stderr goes to `log`. Raise `CannotStart` if it fails."""
    with log.open("ab") as errors:
        begin = errors.tell()
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=folder,
            text=True,
        )
    if done.returncode != 0:
        reason = last_line(log, begin) or done.stdout.strip().rpartition("\n")[2] or "it printed nothing"
        raise CannotStart(f"{what} failed: {reason.removeprefix('saddle: ')} (full output: {log})")
    return done.stdout


def last_line(log: Path, begin: int = 0) -> str:
    """Return the last line of a log that is not blank, after the first `begin` bytes."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


DEVICE = re.compile(r"cpu|(cuda|mps|xpu)(:\d+)?")


def read_devices(output: str) -> list[str]:
    """Return `["cpu"]` or `["cuda:0", ...]` from the output of the detection; the CPU if it is unreadable."""
    try:
        devices = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        return ["cpu"]
    found = [name for name in devices if isinstance(name, str)] if isinstance(devices, list) else []
    return [name for name in found if DEVICE.fullmatch(name)] or ["cpu"]


def api_program(commands: Commands, port: int, devices: Sequence[str], environment: Mapping[str, str]) -> Program:
    """Return the API's program, on loopback only. Its default pool is the first device's, unless SADDLE_POOL is set."""
    own = {"SADDLE_POOL": environment.get("SADDLE_POOL") or pool_of(devices[0])}
    return Program("api", [*commands.api, "--host", "127.0.0.1", "--port", str(port)], {**environment, **own})


def worker_programs(
    commands: Commands, devices: Sequence[str], number: int | None, environment: Mapping[str, str]
) -> list[Program]:
    """Return one worker per device, or `number` workers assigned to the devices in turn."""
    programs = []
    for index in range(len(devices) if number is None else number):
        device = devices[index % len(devices)]
        name = f"worker-{index + 1}"
        own = {"SADDLE_POOL": pool_of(device), "SADDLE_DEVICE": device, "SADDLE_WORKER_NAME": name}
        programs.append(Program(name, commands.worker, {**environment, **own}, WORKER_GRACE_S))
    return programs
