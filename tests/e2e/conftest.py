"""The whole product as processes: Postgres, Valkey, the API and workers, as a team would run them."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psycopg
import pytest
import torch

from service.local.postgres import EmbeddedPostgres
from service.local.valkey import EmbeddedValkey
from service.spec.experiment import Experiment
from worker.trainer.loop import prepare, train

ROOT = Path(__file__).resolve().parents[2]
QUICK = {  # the protocol's clock, ten times as fast as in a deployment
    "SADDLE_BEAT_S": "0.5",
    "SADDLE_LEASE_WINDOW_S": "3",
    "SADDLE_REAP_S": "0.5",
    "SADDLE_POLL_S": "1",
    "SADDLE_FLUSH_S": "0.05",
    "SADDLE_SPARES": "0",  # each costs seconds of importing torch; the supervisor tests have them
}
TEMPLATE = "e2e_template"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PATIENCE_S = 240.0  # for what must come true; how soon is asserted where it matters, on whatever machine this is


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """The first true value of `condition`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


@dataclass
class Stack:
    """What runs, and how a client talks to it."""

    home: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    http: httpx.Client = field(default_factory=httpx.Client)

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[bytes]:
        """A Python process of the product, its output in a log beside the data."""
        command = [sys.executable, "-m", *arguments]
        with (self.home / f"{arguments[0]}-{len(self.processes)}.log").open("wb") as log:
            environment = self.environment | self.login(arguments[0]) | extra
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def login(self, program: str) -> dict[str, str]:
        """The API and the workers have the rights of their roles, as in a deployment."""
        role = {"service.api": "saddle_api", "worker": "saddle_worker"}.get(program, "saddle")
        return {"SADDLE_DATABASE_URL": self.environment["SADDLE_DATABASE_URL"].replace("//saddle@", f"//{role}@", 1)}

    def start_api(self) -> subprocess.Popen[bytes]:
        port = free_port()
        process = self.start("service.api", "--host", "127.0.0.1", "--port", str(port))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=self.http.headers, timeout=30)
        until(self.answers)
        return process

    def answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/v1/readyz").status_code == 200
        return False

    def start_worker(self, name: str = "w1", **extra: str) -> subprocess.Popen[bytes]:
        return self.start("worker", SADDLE_WORKER_NAME=name, **extra)

    def stop(self, process: subprocess.Popen[bytes], how: int = signal.SIGTERM, seconds: float = PATIENCE_S) -> int:
        if process.poll() is None:
            process.send_signal(how)
        return process.wait(seconds)

    def post(self, path: str, document: Any, status: int = 201) -> Any:
        answer = self.http.post(path, json=document)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, run_id: str) -> Any:
        return self.get(f"/v1/runs/{run_id}")

    def ended(self, run_id: str, seconds: float = PATIENCE_S) -> Any:
        """The run once it has ended."""
        over = ("succeeded", "failed", "cancelled")
        return until(lambda: run if (run := self.run(run_id))["state"] in over else None, seconds)

    def reached(self, run_id: str, step: int, seconds: float = PATIENCE_S) -> Any:
        return until(lambda: run if (run := self.run(run_id))["step"] >= step else None, seconds)

    def exact(self, run_id: str, name: str = "loss") -> tuple[list[int], list[float]]:
        found = self.get(f"/v1/runs/{run_id}/series", names=name, points="all")["series"][name]
        return found["step"], found["value"]

    def end(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.http.close()


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[EmbeddedPostgres, EmbeddedValkey]]:
    with tempfile.TemporaryDirectory(prefix="saddle-e2e-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o755)
        with EmbeddedPostgres(home / "postgres") as postgres, EmbeddedValkey(home / "valkey") as valkey:
            yield postgres, valkey


@pytest.fixture(scope="session")
def copied(servers: tuple[EmbeddedPostgres, EmbeddedValkey]) -> str:
    """Makes the database that others are copied from; returns the key that is valid in each."""
    key = migrated(servers[0])
    with psycopg.connect(servers[0].dsn("postgres"), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE saddle")
    return key


def migrated(postgres: EmbeddedPostgres) -> str:
    """Makes the tables of the server's own database; returns a key."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("SADDLE_")}
    said = [
        subprocess.run(
            [sys.executable, "-m", "service.db", *command],
            cwd=ROOT,
            env=plain | {"SADDLE_DATABASE_URL": postgres.url},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for command in (["upgrade"], ["key", "--project", "e2e"])
    ]
    return said[-1].strip()


@pytest.fixture
def database_url(servers: tuple[EmbeddedPostgres, EmbeddedValkey], copied: str) -> Iterator[str]:
    """A database of its own on the durable server, so that a test may break what it likes."""
    postgres, _ = servers
    name = f"e2e_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield postgres.url.replace("/saddle?", f"/{name}?")
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as session:
        session.execute(f"DROP DATABASE {name} WITH (FORCE)")


def stack_on(database_url: str, broker_url: str | None, home: Path, key: str) -> Stack:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SADDLE_")} | QUICK
    environment |= {"SADDLE_DATABASE_URL": database_url, "SADDLE_DATA_DIR": str(home / "data")}
    if broker_url:
        environment["SADDLE_BROKER_URL"] = broker_url
    stack = Stack(home, environment)
    stack.http.headers["Authorization"] = f"Bearer {key}"
    return stack


@pytest.fixture(scope="session")
def stack(
    servers: tuple[EmbeddedPostgres, EmbeddedValkey], copied: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """One API and one worker, shared by the tests that break nothing."""
    postgres, valkey = servers
    made = stack_on(postgres.url, valkey.url, tmp_path_factory.mktemp("stack"), copied)
    made.start_api()
    made.start_worker()
    yield made
    made.end()


@pytest.fixture
def own_stack(
    servers: tuple[EmbeddedPostgres, EmbeddedValkey], database_url: str, copied: str, tmp_path: Path
) -> Iterator[Callable[..., Stack]]:
    """A stack on a database of its own, for tests that break things; nothing of it is started yet."""
    made: list[Stack] = []

    def make(broker: bool = True) -> Stack:
        made.append(stack_on(database_url, servers[1].url if broker else None, tmp_path, copied))
        return made[-1]

    yield make
    for stack in made:
        stack.end()


SPEC: dict[str, Any] = {
    "name": "digits",
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [64]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    "batch_size": 32,
    "epochs": 4,
}


Curve = tuple[list[int], list[float]]


def undisturbed(changes: dict[str, Any]) -> Curve:
    """Steps and losses of the spec with these changes, its first seed, trained in this process."""
    torch.set_num_threads(1)
    made = Experiment.model_validate_json(json.dumps(SPEC | changes))
    losses = [step.loss.item() for step in train(prepare(made, made.seeds[0], torch.device("cpu")))]
    return list(range(1, made.total_steps + 1)), losses


@pytest.fixture
def spec() -> Callable[..., dict[str, Any]]:
    """A spec that learns the digits, with what the test changes."""
    return lambda **changes: json.loads(json.dumps(SPEC)) | changes


def children(pid: int) -> list[int]:
    """The processes that `pid` started, whichever of its threads did."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@pytest.fixture
def trainer_of() -> Callable[[subprocess.Popen[bytes]], int]:
    """The pid of a worker's trainer."""
    return lambda worker: until(lambda: children(worker.pid))[0]
