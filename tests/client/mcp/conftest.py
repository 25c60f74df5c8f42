"""Assistants: the SDK's own client at `saddle mcp`, which asks a real API with a real worker."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client as Assistant
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client

from service.markdown import MAX_CHARACTERS
from tests.harness.product import ROOT, Product

PATIENCE_S = 60


class Session:
    """A session of an assistant: each answer is text of bounded length, each error is told."""

    def __init__(self, assistant: Assistant) -> None:
        self.assistant = assistant

    async def call(self, tool: str, **arguments: Any) -> str:
        """What a tool answers; it must be no error."""
        text, is_error = await self._called(tool, arguments)
        assert not is_error, text
        assert len(text) <= MAX_CHARACTERS
        return text

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The words of a tool's error."""
        text, is_error = await self._called(tool, arguments)
        assert is_error, text
        return text

    async def _called(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        answer = await self.assistant.call_tool(tool, arguments)
        return "".join(part.text for part in answer.content if part.type == "text"), bool(answer.is_error)


Do = Callable[[Session], Awaitable[None]]
Assist = Callable[..., str]


async def session(server: Any, do: Do) -> None:
    """Let an assistant do something with the tools of a server."""
    async with Assistant(server, read_timeout_seconds=PATIENCE_S) as assistant:
        await do(Session(assistant))


@pytest.fixture
def assist(server: Product, tmp_path: Path) -> Assist:
    """Run a session over standard input and output, with a key; return what was written on standard error."""

    def run(do: Do, key: str | None = None) -> str:
        log = tmp_path / "stderr"
        environment = {"SADDLE_URL": server.url, "SADDLE_KEY": key or server.key, "PYTHONPATH": os.fspath(ROOT)}
        command = StdioServerParameters(command=sys.executable, args=["-m", "service.client", "mcp"], env=environment)
        with log.open("w") as errors:
            asyncio.run(session(stdio_client(command, errors), do))
        return log.read_text()

    return run
