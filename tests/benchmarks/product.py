"""The product on a Postgres and a Valkey of its own, for benchmarks: API, one worker, a key."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
from sqlalchemy import Engine

from service.db.session import make_engine
from service.local.postgres import EmbeddedPostgres
from service.local.valkey import EmbeddedValkey

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Product:
    """What a benchmark talks to."""

    http: httpx.Client
    engine: Engine
    processes: list[subprocess.Popen[bytes]]
    database_url: str
    key: str
    start_api: Callable[[], subprocess.Popen[bytes]]

    def restart_api(self) -> float:
        """End the API as a deployment does and start it on the same port; seconds until it had ended."""
        began = time.monotonic()
        self.processes[0].terminate()
        self.processes[0].wait()
        spent = time.monotonic() - began
        self.processes[0] = self.start_api()
        return spent


@contextmanager
def product(worker: bool = True, **variables: str) -> Iterator[Product]:
    """Everything up, with the settings of a deployment; all of it ended afterwards. `variables` set more of them."""
    with tempfile.TemporaryDirectory(prefix="saddle-bench-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        home.chmod(0o755)
        with EmbeddedPostgres(home / "postgres") as postgres, EmbeddedValkey(home / "valkey") as valkey:
            environment = os.environ | {
                "SADDLE_DATABASE_URL": postgres.url,
                "SADDLE_BROKER_URL": valkey.url,
                "SADDLE_DATA_DIR": str(home / "data"),
                **variables,
            }
            yield from _run(environment, postgres.url, worker)


def _run(environment: dict[str, str], database_url: str, worker: bool) -> Iterator[Product]:
    def python(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=environment, **options)

    assert python("service.db", "upgrade").wait() == 0
    made = python("service.db", "key", stdout=subprocess.PIPE)
    key = made.communicate()[0].decode().strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def api() -> subprocess.Popen[bytes]:
        return python("service.api", "--port", str(port), **quiet)

    processes = [api()]
    if worker:
        processes.append(python("worker", **quiet))
    headers = {"Authorization": f"Bearer {key}"}
    engine = make_engine(database_url)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as http:
            wait_until(lambda: _ready(http))
            yield Product(http, engine, processes, database_url, key, api)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
        engine.dispose()


def _ready(http: httpx.Client) -> bool:
    try:
        return http.get("/v1/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_until(condition: Any, seconds: float = 120, pause_s: float = 0.02) -> Any:
    """The first true value of `condition`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pause_s)
    return found
