"""The product as processes that may be hurt: each with its own gate to Postgres, and started again when it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from service.local.port import find_free_port
from service.local.postgres import EmbeddedPostgres
from service.local.valkey import EmbeddedValkey
from tests.faults.disk import Disk
from tests.faults.proxy import Gate, Gates
from tests.harness.nursery import Nursery
from tests.harness.product import ROOT, children, clean_environment

CLOCK = {  # the protocol's clock, fifteen times as fast as in a deployment
    "SADDLE_BEAT_S": "0.3",
    "SADDLE_LEASE_WINDOW_S": "2",
    "SADDLE_REAP_S": "0.3",
    "SADDLE_POLL_S": "1",
    "SADDLE_FLUSH_S": "0.1",
    "SADDLE_TURN_S": "0.2",
    "SADDLE_DISK_RESERVE_BYTES": "0",  # a disk that can be filled has less than the default
}
WINDOW_S = 2.0
DISKS = {"small": 48, "data": 64}  # MB: of the points' tablespace, and of the checkpoints
DURABLE = {  # a stopped server loses nothing that it answered; only a loss of power is not played
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
}


@dataclass(eq=False)
class Process:
    """One API process or worker. `held` while a fault wants it to stay dead."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    nursery: Nursery
    gate: Gate
    log: Path
    clock: Path
    port: int = 0
    held: bool = False
    popen: subprocess.Popen[bytes] | None = None
    starts: int = 0
    ended_badly: list[int] = field(default_factory=list)  # statuses nobody asked for

    def start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            log.write(f"--- {time.time():.3f} start {self.starts}\n".encode())
            log.flush()
            command = [sys.executable, "-m", "tests.faults.launch", *self.arguments]
            self.popen = self.nursery.popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        assert self.popen is not None
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number: int) -> None:
        if self.alive:
            self.popen.send_signal(number)  # type: ignore[union-attr]

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self.popen is not None:
            self.popen.wait()

    def children(self) -> list[int]:
        """What it started, whichever of its threads did."""
        with contextlib.suppress(OSError):
            return children(self.pid)
        return []


class Stack:
    """Postgres, Valkey, two API processes and some workers, in one folder."""

    def __init__(self, home: Path, workers: int, trainer: str, conditions: Mapping[str, str]) -> None:
        self.home, self.trainer, self.conditions = home, trainer, dict(conditions)
        home.chmod(0o711)
        self.postgres = EmbeddedPostgres(home / "pg", conf=DURABLE)
        self.valkey = EmbeddedValkey(home / "valkey", conf={"appendonly": "no"})
        self._workers, self._ending = workers, threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._kept = threading.local()
        self.apis: list[Process] = []
        self.workers: list[Process] = []
        self.key = ""

    def start(self) -> None:
        self.disks = {name: Disk(self.home / name, megabytes) for name, megabytes in DISKS.items()}
        self.postgres.start()
        self.valkey.start()
        self.gates = Gates(str(self.postgres.socket))
        self.nursery = Nursery.start(trainers=False)
        self._product("service.db", "upgrade")
        self.key = self._product("service.db", "key", "--project", "faults").strip()
        self.apis = [self._process(f"api{n}", "service.api", find_free_port()) for n in range(2)]
        self.workers = [self._process(f"w{n}", "worker") for n in range(self._workers)]
        for process in self.processes:
            process.start()
        self._keeper.start()

    def end(self) -> None:
        self._ending.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.kill()
        if hasattr(self, "nursery"):
            self.nursery.end()
        with contextlib.suppress(Exception):
            os.kill(int((self.valkey.home / "pid").read_text()), signal.SIGCONT)
        self.valkey.stop()
        self.postgres.stop()
        for disk in self.disks.values():
            disk.gone()

    @property
    def processes(self) -> list[Process]:
        return self.apis + self.workers

    @property
    def gates_in_use(self) -> list[Gate]:
        return [process.gate for process in self.processes]

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A session of the harness itself, past every gate."""
        return psycopg.connect(
            self.postgres.dsn(), autocommit=True, application_name="faults", connect_timeout=3, **options
        )

    def look(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of the harness's own look, on a session that each thread keeps while it lasts."""
        kept: psycopg.Connection[Any] | None = getattr(self._kept, "session", None)
        if kept is not None:
            with contextlib.suppress(psycopg.Error):
                return kept.execute(query, values).fetchall()  # type: ignore[arg-type]
            kept.close()
        self._kept.session = self.connect()
        return self._kept.session.execute(query, values).fetchall()  # type: ignore[no-any-return]

    def heal(self) -> None:
        """Everything passes, everything runs."""
        for process in self.processes:
            process.gate.heal()
            process.clock.write_text("0")
            process.signal(signal.SIGCONT)
            process.held = False
        for disk in self.disks.values():
            disk.free()

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in clean_environment().items() if not key.startswith("FAULTS_")}
        url = {"SADDLE_DATABASE_URL": self.postgres.url, "SADDLE_BROKER_URL": self.valkey.url}
        kept |= CLOCK | url | {"SADDLE_DATA_DIR": str(self.home / "data"), "OMP_NUM_THREADS": "1"}
        return kept | {"FAULTS_TRAINER": self.trainer} | self.conditions

    def _product(self, *arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment(), capture_output=True, check=True, text=True)
        return done.stdout

    def _process(self, name: str, module: str, port: int = 0) -> Process:
        gate, clock = self.gates.make(), self.home / f"{name}.clock"
        clock.write_text("0")
        url = f"postgresql+psycopg://saddle@127.0.0.1:{gate.port}/saddle?sslmode=disable&gssencmode=disable"
        environment = self.environment() | {"SADDLE_DATABASE_URL": url, "FAULTS_CLOCK": str(clock)}
        environment |= {"SADDLE_WORKER_NAME": name}
        arguments = [module]
        if port:
            arguments += ["--host", "127.0.0.1", "--port", str(port)]
        return Process(name, arguments, environment, self.nursery, gate, self.home / f"{name}.log", clock, port)

    def _keep(self) -> None:
        """What a supervisor of a host does: whatever ended is started again a moment later."""
        while not self._ending.wait(0.1):
            for process in self.processes:
                if not process.held and not process.alive:
                    status = process.popen.returncode if process.popen else 0
                    if status > 0:
                        process.ended_badly.append(status)
                        time.sleep(0.2)
                    if not self._ending.is_set():
                        process.start()
