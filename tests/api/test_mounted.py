"""Datasets of a mounted folder over HTTP: counts and memory come from headers, and what is absent is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from tests.fixtures.api import quick
from tests.ingest.mounted_files import mnist

SPEC: dict[str, Any] = {
    "dataset": {"kind": "torchvision", "name": "MNIST"},
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "batch_size": 16,
    "epochs": 2,
}


@pytest.fixture
def mounting(database_url: str, key: str, tmp_path: Path) -> Iterator[TestClient]:
    """A client of an API that mounts an empty folder."""
    settings = quick(database_url).model_copy(update={"dataset_folder": tmp_path})
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def test_rows_and_memory_are_known_from_the_headers(mounting: TestClient, tmp_path: Path) -> None:
    mnist(tmp_path)
    answer = mounting.post("/v1/experiments?dry_run=true", json=SPEC)
    assert answer.status_code == 200, answer.text
    view = answer.json()
    resolved = view["spec"]["dataset"]["resolved"]
    assert (resolved["rows"], resolved["test"], resolved["shape"]) == (80, 20, [1, 28, 28])
    assert view["derived"]["steps_per_epoch"] == 3
    assert view["derived"]["memory_bytes"] > 60 * 784 * 4
    again = mounting.post("/v1/experiments", json=view["spec"])
    assert (again.status_code, again.json()["hash"]) == (201, view["hash"])


def test_an_absent_set_is_refused_with_the_file_it_needs(mounting: TestClient, client: TestClient) -> None:
    answer = mounting.post("/v1/experiments", json=SPEC)
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["pointer"] == "/dataset/name"
    assert "MNIST/raw/train-images-idx3-ubyte" in problem["detail"]
    without = client.post("/v1/experiments", json=SPEC)
    assert without.status_code == 422
    assert "SADDLE_DATASET_FOLDER" in without.json()["errors"][0]["detail"]
