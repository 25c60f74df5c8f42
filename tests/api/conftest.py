"""The API over a real database, and somebody who acts as its worker."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.api.app import create_app
from service.api.protocol import EitherVersion
from service.api.server import listen
from service.db.access.projects import new_key
from service.db.metrics.codec import Chunk, pack
from service.db.runs import endings, leases, workers
from service.db.runs.leases import Claim, SavedCheckpoint
from service.db.session import make_engine, transaction
from service.lifecycle import State, Wish
from service.settings import Settings

SPEC: dict[str, Any] = {
    "name": "iris",
    "dataset": {"kind": "iris"},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 1000,
    "seeds": [0],
}


class Worker:
    """Writes what a worker writes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def claim(self) -> Claim:
        with transaction(self.engine) as connection:
            held = leases.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
        assert held is not None
        return held

    def flush(self, held: Claim, chunks: dict[str, Chunk]) -> Wish:
        with transaction(self.engine) as connection:
            return leases.flush(connection, held, chunks)

    def save(self, held: Claim, step: int, chunks: dict[str, Chunk] | None = None) -> None:
        saved = SavedCheckpoint(step, f"/nowhere/a{held.attempt}/{step}", "0" * 64, 10)
        with transaction(self.engine) as connection:
            leases.save_checkpoint(connection, held, saved, chunks or {})

    def finish(
        self, held: Claim, chunks: dict[str, Chunk] | None = None, state: State = State.SUCCEEDED, failure: Any = None
    ) -> None:
        with transaction(self.engine) as connection:
            endings.finish(connection, held, state, chunks or {}, failure)


def until(fact: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true value; an error where none comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := fact():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s")


def points(first: int, last: int, scale: float = 1.0) -> dict[str, Chunk]:
    steps = np.arange(first, last + 1)
    return {"loss": pack(steps, scale / steps), "lr": pack(steps, np.full(len(steps), 0.1))}


def quick(url: str) -> Settings:
    url = url.replace("//saddle@", "//saddle_api@", 1)  # with the rights of a deployment, not of the owner
    return Settings(database_url=url, sse_poll_s=0.02, reap_s=0.1, broker_url=None)


@pytest.fixture
def settings(database_url: str) -> Settings:
    return quick(database_url)


@pytest.fixture(scope="session")
def open_house(shared_url: str) -> Iterator[TestClient]:
    """A client without a key of an API that many tests share."""
    with TestClient(create_app(quick(shared_url)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def shared_key(shared_url: str) -> str:
    engine = make_engine(shared_url, pool_size=1)
    with transaction(engine) as connection:
        key = new_key(connection, "default", "ada")
    engine.dispose()
    return key


@pytest.fixture
def shared(open_house: TestClient, shared_key: str) -> Iterator[TestClient]:
    """The same client with a key; for tests that only ask, or mind nothing that others wrote."""
    open_house.headers["Authorization"] = f"Bearer {shared_key}"
    yield open_house
    del open_house.headers["Authorization"]


@pytest.fixture
def bare(settings: Settings) -> Iterator[TestClient]:
    """A client without a key."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(bare: TestClient, key: str) -> TestClient:
    bare.headers["Authorization"] = f"Bearer {key}"
    return bare


@pytest.fixture
def stranger(engine: Engine) -> dict[str, str]:
    """The header of another project's member."""
    with transaction(engine) as connection:
        return {"Authorization": f"Bearer {new_key(connection, 'elsewhere', 'eve')}"}


@pytest.fixture
def worker(engine: Engine) -> Worker:
    return Worker(engine)


@pytest.fixture
def served(engine: Engine) -> None:
    """An idle worker of pool cpu that has nothing beyond what every worker has."""
    with transaction(engine) as connection:
        workers.announce(connection, "idle", "cpu", "host", 1, "1", {"kind": "cpu"})
        workers.beat(connection, "idle", "idle")


@pytest.fixture
def submit(client: TestClient) -> Callable[..., dict[str, Any]]:
    def submitted(**changes: Any) -> dict[str, Any]:
        answer = client.post("/v1/experiments", json=SPEC | changes)
        assert answer.status_code == 201, answer.text
        posted: dict[str, Any] = answer.json()
        return posted

    return submitted


@pytest.fixture
def live(settings: Settings) -> Iterator[str]:
    """The address of a real server in a thread: for what a test client cannot show."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(settings), http=EitherVersion, log_config=None, timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.lifespan.state["runtime"].closing.set()
    server.should_exit = True
    thread.join()
    listener.close()
