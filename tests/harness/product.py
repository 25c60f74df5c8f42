"""The product as processes: an API and workers on a database, each with its role's rights and a log of its own.

Tests and benchmarks use it alike; tests give it a nursery, whose processes import nothing (tests.harness.nursery).
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psycopg
from sqlalchemy import Engine

from service.db.session import make_engine
from service.local.port import find_free_port
from service.local.postgres import EmbeddedPostgres
from service.local.valkey import EmbeddedValkey
from tests.harness.nursery import Nursery, is_nursery
from tests.harness.waiting import FIRST_PAUSE_S, PATIENCE_S, until

ROOT = Path(__file__).resolve().parents[2]
ROLES = {"service.api": "saddle_api", "worker": "saddle_worker"}  # all others act as the owner
ENDED = ("succeeded", "failed", "cancelled")
Process = subprocess.Popen[bytes]


def clean_environment() -> dict[str, str]:
    """Our own variables without any setting of the product."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SADDLE_")}


def children(pid: int) -> list[int]:
    """The processes that `pid` started, whichever of its threads did."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [child for child in found if not is_nursery(child)]


def environment_of(pid: int) -> dict[str, str]:
    """The variables that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return {name: value for name, _, value in (entry.partition("=") for entry in entries) if name}


class Product:
    """Processes that share a database, a folder and their settings, and a client of their API."""

    def __init__(
        self,
        home: Path,
        postgres: EmbeddedPostgres,
        database_url: str,
        nursery: Nursery | None = None,
        **settings: str,
    ) -> None:
        self.home, self.postgres, self.database_url = home, postgres, database_url
        self.popen = nursery.popen if nursery else subprocess.Popen
        self.environment = clean_environment() | {"SADDLE_DATA_DIR": str(home / "data")} | settings
        self.environment["SADDLE_DATABASE_URL"] = database_url
        self.processes: list[Process] = []
        self.port = find_free_port()
        self.http = httpx.Client(base_url=self.url, timeout=60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """What `http` signs in with."""
        return self.http.headers["Authorization"].removeprefix("Bearer ")

    @key.setter
    def key(self, key: str) -> None:
        self.http.headers["Authorization"] = f"Bearer {key}"

    @cached_property
    def engine(self) -> Engine:
        return make_engine(self.database_url)

    def sql(self, statement: str, *values: object) -> list[Any]:
        """The rows of a statement that the owner runs."""
        with psycopg.connect(self.database_url.replace("+psycopg", ""), autocommit=True) as session:
            cursor = session.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def manage(self, *arguments: str) -> str:
        """Run `python -m service.db`; return what it prints."""
        command = [sys.executable, "-m", "service.db", *arguments]
        with self.popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE) as process:
            printed, _ = process.communicate()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, printed)
        return printed.decode().strip()

    def start(self, module: str, *arguments: str, **settings: str) -> Process:
        """Start a module of the product under its role, its output in a log in `home`."""
        login = self.database_url.replace("//saddle@", f"//{ROLES.get(module, 'saddle')}@", 1)
        environment = self.environment | {"SADDLE_DATABASE_URL": login} | settings
        command = [sys.executable, "-m", module, *arguments]
        with (self.home / f"{module}-{len(self.processes)}.log").open("wb") as log:
            self.processes.append(self.popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        return self.processes[-1]

    def start_api(self) -> Process:
        """Start the API, again on the same port, and wait until it is ready."""
        process = self.start("service.api", "--host", "127.0.0.1", "--port", str(self.port))
        until(lambda: self.is_ready() or process.poll() is not None)
        assert process.poll() is None, self.logs()
        return process

    def start_worker(self, name: str = "w1", **settings: str) -> Process:
        return self.start("worker", SADDLE_WORKER_NAME=name, **settings)

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/v1/readyz").status_code == 200
        return False

    def restart_api(self, how: int = signal.SIGTERM, pause_s: float = 0.0) -> float:
        """End the API and start it again; return the seconds it took to end."""
        began = time.monotonic()
        self.stop(next(each for each in reversed(self.processes) if "service.api" in arguments_of(each)), how)
        spent = time.monotonic() - began
        time.sleep(pause_s)
        self.start_api()
        return spent

    def stop(self, process: Process, how: int = signal.SIGTERM, seconds: float = PATIENCE_S) -> int:
        """Signal a process and wait for its end; return its status."""
        if process.poll() is None:
            process.send_signal(how)
        return process.wait(seconds)

    def logs(self, size: int = 4000) -> str:
        """The last `size` characters of every log."""
        files = sorted(self.home.glob("*.log"))
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-size:]}" for file in files)

    def end(self) -> None:
        """End every process, the newest first; kill what has not ended within 30 s."""
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
        if "engine" in self.__dict__:
            self.engine.dispose()

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

    def wait_for_end(self, run_id: str, seconds: float = PATIENCE_S, pause_s: float = FIRST_PAUSE_S) -> Any:
        """Return the run once it has ended."""
        return until(lambda: run if (run := self.run(run_id))["state"] in ENDED else None, seconds, pause_s)

    def wait_for_step(self, run_id: str, step: int, seconds: float = PATIENCE_S) -> Any:
        """Return the run once it has done `step` steps."""
        return until(lambda: run if (run := self.run(run_id))["step"] >= step else None, seconds)

    def exact_series(self, run_id: str, name: str = "loss") -> tuple[list[int], list[float]]:
        """Steps and values of a series, every point."""
        series = self.get(f"/v1/runs/{run_id}/series", names=name, points="all")["series"][name]
        return series["step"], series["value"]


def arguments_of(process: Process) -> Sequence[Any]:
    """The command line of a process that `Product.start` started."""
    assert isinstance(process.args, list)
    return process.args


@contextlib.contextmanager
def install_product(*, broker: bool = True, project: str = "default", **settings: str) -> Iterator[Product]:
    """Yield a migrated product on servers of its own, with a key; no process of it is started."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="saddle-", ignore_cleanup_errors=True)))
        home.chmod(0o755)
        postgres = stack.enter_context(EmbeddedPostgres(home / "postgres"))
        if broker:
            settings["SADDLE_BROKER_URL"] = stack.enter_context(EmbeddedValkey(home / "valkey")).url
        product = Product(home, postgres, postgres.url, **settings)
        stack.callback(product.end)
        product.manage("upgrade")
        product.key = product.manage("key", "--project", project)
        yield product


@contextlib.contextmanager
def product(worker: bool = True, **settings: str) -> Iterator[Product]:
    """Yield an API and a worker that run; end all of it afterwards."""
    with install_product(**settings) as running:
        running.start_api()
        if worker:
            running.start_worker()
        yield running
