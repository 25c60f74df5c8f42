"""Uploads over HTTP where a bucket holds them: what is named is there, what is refused or deleted is not."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from service.storage.bucket_uploads import BucketUploads
from service.storage.factory import open_uploads

CSV = ("x,kind\n" + "".join(f"{i % 7 if i else ''},{'ab'[i % 2]}\n" for i in range(60))).encode()
SHA256 = hashlib.sha256(CSV).hexdigest()


@pytest.fixture
def settings(database_url: str, tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    url = f"s3://saddle/{tmp_path.name}"
    return Settings(database_url=database_url, data_dir=tmp_path / "api", storage_url=url, project_bytes=len(CSV) + 99)


@pytest.fixture
def client(settings: Settings, key: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> BucketUploads:
    """The storage as another machine opens it."""
    assert settings.storage_url is not None
    return BucketUploads(settings.storage_url, tmp_path / "worker", 0)


def is_stored(worker: BucketUploads, content: bytes = CSV) -> bool:
    try:
        with worker.opened(hashlib.sha256(content).hexdigest()) as copy:
            return copy.read_bytes() == content
    except FileNotFoundError:
        return False


def upload(client: TestClient, content: bytes = CSV) -> Any:
    return client.post("/v1/datasets?name=table.csv", content=content)


def test_an_upload_is_in_the_bucket_until_it_is_deleted(client: TestClient, worker: BucketUploads) -> None:
    made = upload(client)
    assert made.status_code == 201, made.text
    assert is_stored(worker)
    assert client.delete(made.headers["Location"]).status_code == 204
    assert is_stored(worker), "it is in the bin"
    assert client.delete(made.headers["Location"] + "?forever=true").status_code == 204
    assert not is_stored(worker)


def test_a_spec_is_checked_against_the_file_of_the_bucket(client: TestClient, settings: Settings) -> None:
    dataset = {"kind": "upload", "upload": upload(client).json()["id"], "predict": "kind", "task": "classification"}
    open_uploads(settings)._cache.discard(SHA256)  # type: ignore[attr-defined]  as another replica, without a copy
    spec = {"dataset": dataset | {"missing": "drop"}, "model": {"kind": "linear"}, "steps": 5}
    spec |= {"loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "sgd", "lr": 0.1}}
    posted = client.post("/v1/experiments?dry_run=true", json=spec)
    assert posted.status_code == 200, posted.text
    assert posted.json()["spec"]["dataset"]["resolved"]["dropped"] == 1


def test_what_a_quota_refuses_does_not_stay_in_the_bucket(client: TestClient, worker: BucketUploads) -> None:
    assert upload(client).status_code == 201
    other = CSV.replace(b"a", b"c")
    assert upload(client, other).status_code == 409
    assert not is_stored(worker, other)
    assert upload(client).status_code == 409  # the same file again: its first row still names it
    assert is_stored(worker)


@pytest.mark.parametrize("fails", ["send", "keep"])
def test_a_bucket_that_does_not_answer_is_said_and_nothing_is_named(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def away(*_: object) -> None:
        raise OSError("no route to host")

    for part in (fails, "remove"):
        monkeypatch.setattr(BucketUploads, part, away)
    answer = upload(client)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert client.get("/v1/datasets").json()["items"] == []
