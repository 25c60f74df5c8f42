"""One real API and one real worker for all tests of the client."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.client import Client
from service.client.__main__ import main
from service.local.postgres import EmbeddedPostgres
from tests.harness.databases import copy_database, create_key
from tests.harness.folders import server_folder
from tests.harness.nursery import Nursery
from tests.harness.product import Product

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


@pytest.fixture(scope="session")
def server(postgres: EmbeddedPostgres, migrated: str, nursery: Nursery) -> Iterator[Product]:
    with copy_database(postgres, migrated) as url, server_folder("saddle-client-") as home:
        product = Product(home, postgres, url, nursery, **QUICK)
        product.key = create_key(url, "client")
        try:
            product.start_worker()
            product.start_api()
            yield product
        finally:
            product.end()


@pytest.fixture
def client(server: Product) -> Iterator[Client]:
    with Client(server.url, server.key) as made:
        yield made


@pytest.fixture
def saddle(server: Product, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
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
