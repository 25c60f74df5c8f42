"""What a local start runs besides the servers: five commands that other parts of Saddle provide."""

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

WORKER_GRACE_S = 120.0  # a worker saves a last checkpoint of its run before it ends
Command = Sequence[str]


@dataclass(frozen=True)
class Commands:
    """Command lines; the API gets `--host` and `--port`, the key command `--project` and `--member`."""

    migrate: Command = (sys.executable, "-m", "service.db", "upgrade")
    key: Command = (sys.executable, "-m", "service.db", "key")
    api: Command = (sys.executable, "-m", "service.api")
    worker: Command = (sys.executable, "-m", "worker")
    devices: Command = (sys.executable, "-m", "worker.trainer.devices")


def run(what: str, command: Command, environment: Mapping[str, str], folder: Path, log: Path) -> str:
    """What a short command prints; its complaints go to `log`, and a failure becomes one sentence."""
    with log.open("ab") as complaints:
        begin = complaints.tell()
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment,
            cwd=folder,
            text=True,
        )
    if done.returncode != 0:
        said = last_line(log, begin) or done.stdout.strip().rpartition("\n")[2] or "it said nothing"
        raise CannotStart(f"{what} failed: {said.removeprefix('saddle: ')} (all of it: {log})")
    return done.stdout


def last_line(log: Path, begin: int = 0) -> str:
    """The last line of a log that says something, after `begin` bytes."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


DEVICE = re.compile(r"cpu|(cuda|mps|xpu)(:\d+)?")


def read_devices(output: str) -> list[str]:
    """`["cpu"]` or `["cuda:0", ...]` from what the detection printed; a CPU there always is."""
    try:
        devices = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        return ["cpu"]
    found = [name for name in devices if isinstance(name, str)] if isinstance(devices, list) else []
    return [name for name in found if DEVICE.fullmatch(name)] or ["cpu"]


def api_program(commands: Commands, port: int, devices: Sequence[str], environment: Mapping[str, str]) -> Program:
    """The API, on loopback alone; a run waits for the first device's workers, unless SADDLE_POOL says otherwise."""
    own = {"SADDLE_POOL": environment.get("SADDLE_POOL") or pool_of(devices[0])}
    return Program("api", [*commands.api, "--host", "127.0.0.1", "--port", str(port)], {**environment, **own})


def worker_programs(
    commands: Commands, devices: Sequence[str], number: int | None, environment: Mapping[str, str]
) -> list[Program]:
    """One worker for each device, or `number` of them dealt out over the devices."""
    programs = []
    for index in range(len(devices) if number is None else number):
        device = devices[index % len(devices)]
        name = f"worker-{index + 1}"
        own = {"SADDLE_POOL": pool_of(device), "SADDLE_DEVICE": device, "SADDLE_WORKER_NAME": name}
        programs.append(Program(name, commands.worker, {**environment, **own}, WORKER_GRACE_S))
    return programs
