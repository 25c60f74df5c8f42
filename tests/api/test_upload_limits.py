"""What one person's uploads may take while they arrive and while they are read."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.api import uploads
from service.api.app import create_app
from service.db.access import quotas
from service.db.session import transaction
from service.settings import Settings
from tests.fixtures.hostile_files import repeated_text
from tests.harness.waiting import until

CSV = b"size,kind\n" + b"1.5,a\n" * 60
UPLOAD = "/v1/datasets?name=x.csv"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Two uploads at once, of 100,000 bytes together."""
    return Settings(
        database_url=database_url,
        data_dir=tmp_path / "data",
        upload_bytes=100_000,
        unfinished_uploads=2,
        unfinished_bytes=100_000,
    )


@pytest.fixture
def client(live: str, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        yield client


def on_disk(settings: Settings) -> list[Path]:
    return [path for path in settings.dataset_dir.rglob("*") if path.is_file()]


def bomb() -> bytes:
    """2 kB of Parquet that are 1 GB of texts."""
    return repeated_text(50_000, 20_000)


@pytest.mark.parametrize(
    ("limit", "content", "code"),
    [
        ({"read_bytes": 10_000_000}, bomb, "too_large"),
        ({"read_cells": 100}, lambda: CSV, "too_many_cells"),
        ({"read_s": 1}, lambda: b"x\n" + b"1.5\n" * 40_000_000, "too_slow"),
        ({"read_memory_bytes": 2**24}, lambda: b"x\n" + b"1.5\n" * 16_000_000, "too_much_memory"),
    ],
)
def test_each_limit_of_reading_refuses_a_file_and_leaves_nothing_behind(
    limit: dict[str, int], content: Any, code: str, settings: Settings, key: str
) -> None:
    tight = settings.model_copy(update={"upload_bytes": 2**28, **limit})
    with TestClient(create_app(tight), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        answer = client.post(UPLOAD, content=content())
        assert answer.status_code == 422, answer.text
        (problem,) = answer.json()["errors"]
        assert problem["code"] == code
        assert f"SADDLE_{next(iter(limit)).upper()}" in problem["detail"]
        assert problem["limit"] == next(iter(limit.values()))
        assert client.post(UPLOAD, content=b"x,y\n1,2\n3,4\n").status_code == 201
    assert len(on_disk(settings)) == 1


def body_that_waits(first: bytes, go: threading.Event) -> Iterator[bytes]:
    yield first
    go.wait(60)
    yield b"1,2\n"


def test_unfinished_uploads_of_a_person_are_few_and_their_end_makes_room(
    client: httpx.Client, settings: Settings
) -> None:
    go = threading.Event()
    answers: list[int] = []

    def send() -> None:
        content = body_that_waits(b"a,b\n" + b"1,2\n" * 10, go)
        answers.append(client.post(UPLOAD, content=content).status_code)

    sending = [threading.Thread(target=send) for _ in range(2)]
    for each in sending:
        each.start()
    until(lambda: len([*settings.dataset_dir.glob(".incoming/*")]) == 2)
    refused = client.post(UPLOAD, content=b"a,b\n1,2\n")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
    assert "2" in refused.json()["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    go.set()
    for each in sending:
        each.join()
    assert answers == [201, 201]
    assert client.post(UPLOAD, content=b"a,b\n1,2\n").status_code == 201
    assert not [*settings.dataset_dir.glob(".incoming/*")]


@contextmanager
def begun(client: httpx.Client, size_bytes: int, sent: bytes = b"") -> Iterator[socket.socket]:
    """An upload whose head says its size, and whose body does not go on."""
    host, port, key = client.base_url.host, client.base_url.port, client.headers["Authorization"]
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {key}\r\nContent-Length: {size_bytes}\r\n\r\n"
    with socket.create_connection((host, port or 80)) as slow:
        slow.sendall(head.encode() + sent)
        yield slow


def test_a_declared_size_counts_before_it_has_arrived(client: httpx.Client, settings: Settings) -> None:
    with begun(client, 90_000):
        until(lambda: on_disk(settings))
        refused = client.post(UPLOAD, content=b"a,b\n" + b"1,2\n" * 9_000)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
        assert "100000" in refused.json()["detail"]
        assert client.post(UPLOAD, content=b"a,b\n1,2\n").status_code == 201
    until(lambda: len(on_disk(settings)) == 1)


def test_an_upload_that_trickles_is_ended(
    client: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "GRACE_S", 0.5)
    with begun(client, 90_000) as slow:
        slow.settimeout(0.1)
        answer, beginning = b"", time.monotonic()
        while not answer.endswith(b"}") and time.monotonic() < beginning + 30:
            with suppress(OSError):  # nothing yet; or it was answered and closed
                slow.sendall(b"1,2\n")  # each piece within the patience, all of them below the rate
                answer += slow.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too_slow" in answer
    assert str(settings.upload_bytes_per_s).encode() in answer
    until(lambda: not on_disk(settings))


def test_the_quota_of_a_project_is_held_before_and_while_bytes_arrive(
    client: httpx.Client, settings: Settings, engine: Engine
) -> None:
    with transaction(engine) as connection:
        project = connection.execute(text("SELECT id FROM project")).scalar_one()
        quotas.set_limit(connection, "upload_bytes", "project", project, None, 60_000)
    assert client.post(UPLOAD, content=b"a,b\n" + b"1,2\n" * 10_000).status_code == 201
    with begun(client, 15_000):
        until(lambda: len(on_disk(settings)) == 2)
        for body in (b"1,2\n" * 2_000, iter([b"1,2\n" * 2_000])):  # with a declared size, and without
            refused = client.post(UPLOAD, content=body)
            (problem,) = refused.json()["errors"]
            assert (refused.status_code, problem["code"]) == (409, "quota_exceeded")
            assert problem["limit"] == {
                **{"quota": "upload_bytes", "of": "project", "limit": 60_000},
                **{"used": 40_004 + 15_000, "asked": 8_000},
            }
    until(lambda: len(on_disk(settings)) == 1)
    assert client.post(UPLOAD, content=b"1.5\n" * 2_000 + b"2\n").status_code == 422, "it has room, and no header"


def test_no_upload_enters_while_the_disk_has_only_its_reserve(settings: Settings, key: str) -> None:
    full = settings.model_copy(update={"disk_reserve_bytes": 2**60})
    with TestClient(create_app(full), headers={"Authorization": f"Bearer {key}"}) as client:
        refused = client.post("/v1/datasets?name=a.csv", content=b"x,y\n1,2\n")
        assert (refused.status_code, refused.json()["code"]) == (503, "disk_reserve")
        assert "SADDLE_DISK_RESERVE_BYTES" in refused.json()["detail"]
        assert client.get("/v1/datasets").json()["items"] == []
