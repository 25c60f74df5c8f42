"""The process `python -m service.api`: starts, serves, ends in time, and refuses with one sentence."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import psycopg
import pytest
from alembic import command as migration
from sqlalchemy import Engine, text

from service.db.session import ROOT, alembic_config, transaction
from service.local.port import find_free_port
from service.local.postgres import EmbeddedPostgres
from tests.fixtures.api import SPEC
from tests.harness.waiting import until

PATIENCE_S = 240  # for a process to start, on a machine that does other things too


def command(port: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "service.api", "--port", str(port), *more]


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "SADDLE_DATABASE_URL": url, "SADDLE_SSE_POLL_S": "0.05"}


@contextmanager
def served(url: str, log: Path, *more: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = find_free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(command(port, *more), cwd=ROOT, env=environment(url), stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if httpx.get(f"{address}/v1/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process, address
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_server_ends_within_six_seconds_although_somebody_listens(
    database_url: str, key: str, tmp_path: Path, workers: str
) -> None:
    log = tmp_path / "log"
    headers = {"Authorization": f"Bearer {key}"}
    with served(database_url, log, "--workers", workers) as (process, address), httpx.Client(headers=headers) as client:
        run_id = client.post(f"{address}/v1/experiments", json=SPEC).json()["runs"][0]["id"]
        with client.stream("GET", f"{address}/v1/runs/{run_id}/events", timeout=20) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            for _ in lines:
                pass
            told = time.monotonic() - begin
        process.wait(10)
        took = time.monotonic() - begin
    assert told < 3, "the stream ends by itself"
    assert took < 6
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in log.read_text()


def refusal(url: str, port: int) -> str:
    done = subprocess.run(command(port), cwd=ROOT, env=environment(url), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_taken_port_is_one_sentence(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in refusal(database_url, port)


def test_another_schema_is_one_sentence_with_the_remedy(database_url: str, engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert "service.db upgrade" in refusal(database_url, find_free_port())


@contextmanager
def waiting(url: str) -> Iterator[httpx.Client]:
    """A server that has begun before its database was there."""
    port = find_free_port()
    process = subprocess.Popen(command(port), cwd=ROOT, env=environment(url))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            until(lambda: answers(client), PATIENCE_S)
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


def answers(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/v1/livez").status_code == 200
    return False


def test_an_api_that_starts_before_its_database_says_so_and_serves_once_it_is_there(postgres: EmbeddedPostgres) -> None:
    name = f"later_{secrets.token_hex(4)}"
    url = postgres.url.replace("/saddle?", f"/{name}?")
    with waiting(url) as client:
        not_ready = client.get("/v1/readyz")
        assert (not_ready.status_code, not_ready.json()["code"]) == (503, "unavailable")
        assert "database does not answer" in not_ready.json()["detail"]
        for path in ("/v1/me", "/v1/experiments", "/v1/nowhere"):
            assert client.get(path).json()["code"] == "unavailable"
        assert client.post("/v1/session", json={"key": "key_x"}).status_code == 503
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name}")
        until(lambda: client.get("/v1/readyz").json()["code"] == "schema_mismatch", PATIENCE_S)
        assert "service.db upgrade" in client.get("/v1/me").json()["detail"]
        migration.upgrade(alembic_config(url), "head")
        until(lambda: client.get("/v1/readyz").status_code == 200, PATIENCE_S)
        assert client.get("/v1/me").status_code == 401


def test_importing_the_api_loads_neither_torch_nor_celery_nor_alembic() -> None:
    code = "import sys, service.api.app; print(*({'torch','celery','alembic','sklearn','pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
