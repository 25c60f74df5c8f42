"""One real API and one real worker for all tests of the client."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service.client import Client
from service.client.__main__ import main
from service.client.errors import ClientError
from service.local.postgres import DATABASE, EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "SADDLE_POLL_S": "0.2",
    "SADDLE_FLUSH_S": "0.05",
    "SADDLE_BEAT_S": "0.5",
    "SADDLE_BROKER_URL": "redis://127.0.0.1:1",
}
SPEC: dict[str, Any] = {
    "name": "digits",
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [16]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05},
    "batch_size": 64,
    "steps": 40,
}


@dataclass
class Server:
    """Where the API is, and how to restart it."""

    url: str
    key: str
    dsn: str
    environment: dict[str, str]
    logs: Path
    api: subprocess.Popen[bytes] | None = None

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.logs / f"{command[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def start_api(self) -> None:
        self.api = self.start("service.api", "--host", "127.0.0.1", "--port", self.url.rpartition(":")[2])
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(ClientError), Client(self.url, self.key) as client:
                client.http.get("/v1/readyz")
                return
        raise AssertionError("the API did not start")

    def kill_api(self) -> None:
        assert self.api is not None
        self.api.kill()
        self.api.wait()

    def sql(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as session:
            session.execute(statement.encode(), values)


@pytest.fixture(scope="session")
def server(postgres: EmbeddedPostgres, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("client")
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as session:
        session.execute(f"CREATE DATABASE client TEMPLATE {migrated}".encode())
    url = postgres.url.replace(f"/{DATABASE}?", "/client?")
    own = {name: value for name, value in os.environ.items() if not name.startswith("SADDLE_")}
    environment = own | QUICK | {"SADDLE_DATABASE_URL": url, "SADDLE_DATA_DIR": str(home / "data")}
    key = subprocess.run(
        [sys.executable, "-m", "service.db", "key", "--project", "client"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Server(f"http://127.0.0.1:{port}", key, postgres.dsn("client"), environment, home)
    worker = made.start("worker")
    try:
        made.start_api()
        yield made
    finally:
        for process in (worker, made.api):
            if process is not None:
                process.terminate()
                process.wait(60)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, server.key) as made:
        yield made


@pytest.fixture
def saddle(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`saddle` with these arguments, in this process: its exit status."""
    monkeypatch.setenv("SADDLE_URL", server.url)
    monkeypatch.setenv("SADDLE_KEY", server.key)
    monkeypatch.setenv("COLUMNS", "120")  # names are cut where a terminal is narrow

    def run(*arguments: object) -> int:
        try:
            return main([str(each) for each in arguments])
        except SystemExit as leaving:  # argparse
            return int(str(leaving.code))

    return run


@pytest.fixture
def spec() -> Callable[..., dict[str, Any]]:
    """A short training, with what the test changes."""
    return lambda **changes: SPEC | changes
