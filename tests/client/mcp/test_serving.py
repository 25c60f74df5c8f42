"""`saddle mcp` as a command: over HTTP, whose key is used, and what is refused at its door."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
import pytest
from mcp.client.streamable_http import streamable_http_client

from service.client import Client
from service.local.port import find_free_port
from tests.client.mcp.conftest import Session, session
from tests.harness.product import ROOT, Product, clean_environment
from tests.harness.waiting import until

Saddle = Callable[..., int]


@contextmanager
def served(server: Product, *arguments: str, **environment: str) -> Iterator[str]:
    """The address of `saddle mcp --http` in a process of its own."""
    port = find_free_port()
    command = [sys.executable, "-m", "service.client", "mcp", "--http", "--port", str(port), *arguments]
    settings = clean_environment() | {"SADDLE_URL": server.url, "PYTHONPATH": os.fspath(ROOT)} | environment
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            until(lambda: process.poll() is not None or answers(port))
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()
            said = process.communicate()[0].decode()
            for key in (server.key, environment.get("SADDLE_KEY", server.key)):
                assert key.partition(".")[2] not in said


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
    except httpx.TransportError:
        return False


def ask(address: str, do: Any, key: str | None = None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def asked() -> None:
        async with httpx.AsyncClient(headers=headers, timeout=60) as http:
            await session(streamable_http_client(address, http_client=http), do)

    asyncio.run(asked())


async def list_all(session: Session) -> None:
    await session.call("list_experiments")


def test_on_this_machine_the_configured_key_serves_unless_a_caller_brings_one(server: Product, client: Client) -> None:
    reader = client.create_key("http assistant", scope="read")

    async def cannot_submit(session: Session) -> None:
        await session.call("list_experiments")
        assert "scope" in await session.refused("submit", spec={"preset": "digits-adam"})

    async def unknown(session: Session) -> None:
        assert "valid key" in await session.refused("list_experiments")

    with served(server, SADDLE_KEY=server.key) as address:
        ask(address, list_all)
        ask(address, cannot_submit, reader.key)
        ask(address, unknown, f"{reader.key[:-4]}0000")
        strange = httpx.post(address, json={}, headers={"Host": "evil.example"})
        assert strange.status_code == 421, "another name for this machine is how a web page would come in"
        assert httpx.post(address, json={}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_beyond_this_machine_nobody_works_with_somebody_elses_key(server: Product) -> None:
    async def refused(session: Session) -> None:
        assert "send a key of your own" in await session.refused("list_experiments")

    with served(server, "--host", "0.0.0.0", SADDLE_KEY=server.key) as address:
        ask(address, refused)
        ask(address, list_all, server.key)


def test_what_is_missing_is_said_before_anything_is_served(
    saddle: Saddle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert saddle("mcp") == 2
    assert "pip install 'saddle[mcp]'" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("SADDLE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("SADDLE_KEY", raising=False)
    monkeypatch.setenv("SADDLE_DATA", "/nonexistent")
    assert saddle("mcp") == 2
    assert "no key for http://127.0.0.1:9" in capsys.readouterr().err
