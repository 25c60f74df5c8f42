"""The commands that a local start runs besides the servers: migration, key, API, workers, device detection."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.devices import parse_devices, pool_of
from service.local.failure import CannotStart
from service.local.processes import Program

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


def read_devices(output: str) -> list[str]:
    """Return `["cpu"]` or `["cuda:0", ...]` from the output of the detection; the CPU if it is unreadable."""
    try:
        devices = json.loads(output.strip().rpartition("\n")[2])
    except ValueError:
        return ["cpu"]
    found = [name for name in devices if isinstance(name, str)] if isinstance(devices, list) else []
    return [name for name in found if is_slot(name)] or ["cpu"]


def is_slot(name: str) -> bool:
    """Whether this names the devices of a slot."""
    try:
        return bool(parse_devices(name))
    except ValueError:
        return False


def api_program(
    commands: Commands, host: str, port: int, devices: Sequence[str], environment: Mapping[str, str]
) -> Program:
    """Return the API's program. Its default pool is the first device's, unless SADDLE_POOL is set."""
    own = {"SADDLE_POOL": environment.get("SADDLE_POOL") or pool_of(parse_devices(devices[0]))}
    return Program("api", [*commands.api, "--host", host, "--port", str(port)], {**environment, **own})


def worker_programs(
    commands: Commands, devices: Sequence[str], number: int | None, environment: Mapping[str, str]
) -> list[Program]:
    """Return a worker per pool, with a slot for each device, or with `number` slots dealt out over the devices."""
    pools: dict[str, list[str]] = {}
    for index in range(len(devices) if number is None else number):
        slot = devices[index % len(devices)]
        pools.setdefault(pool_of(parse_devices(slot)), []).append(slot)
    programs = []
    for index, (pool, slots) in enumerate(pools.items(), start=1):
        name = f"worker-{index}"
        own = {"SADDLE_POOL": pool, "SADDLE_DEVICES": ",".join(slots), "SADDLE_WORKER_NAME": name}
        programs.append(Program(name, commands.worker, {**environment, **own}, WORKER_GRACE_S))
    return programs


def count_slots(programs: Sequence[Program]) -> int:
    """Return how many slots these workers have, each of which registers."""
    return sum(len(program.environment["SADDLE_DEVICES"].split(",")) for program in programs)
