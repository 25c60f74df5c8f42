"""The client of `tests.benchmarks.load`: requests at fixed times over kept connections, and readers of streams.

Its own delays are measured too, so that a slow client is not taken for a slow server.
"""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
MOST_CONNECTIONS = 400
PATIENCE_S = 30.0


@dataclass
class Answer:
    """One request: when it was due, when it was sent and answered (seconds), with which status; 0: no answer."""

    kind: str
    due: float
    sent: float
    done: float
    status: int

    @property
    def took(self) -> float:
        """Seconds from when it was due."""
        return self.done - self.due


@dataclass
class Request:
    """A kind of request, and the bytes of one."""

    kind: str
    make: Callable[[], bytes]
    weight: int


def message(method: str, path: str, key: str, body: str = "") -> bytes:
    """Return a request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}", "Accept-Encoding: gzip"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Pool:
    """Kept connections; a new one where all are in use."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)

    async def ask(self, request: bytes) -> tuple[int, float]:
        """Send a request; return the status, and when it was sent."""
        async with self._room:
            while self._free and self._free[-1][0].at_eof():
                self._free.pop()[1].close()
            if self._free:
                reader, writer = self._free.pop()
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
            sent = time.perf_counter()
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                found = LENGTH.search(head)
                if found:
                    await reader.readexactly(int(found[1]))
            except BaseException:
                writer.close()
                raise
            if found is None or b"connection: close" in head.lower():
                writer.close()
            else:
                self._free.append((reader, writer))
            return int(head[9:12]), sent

    def close(self) -> None:
        """Close what is kept."""
        for _, writer in self._free:
            writer.close()


async def offer(pool: Pool, requests: list[Request], rate: float, seconds: float, seed: int) -> list[Answer]:
    """Send `rate` requests a second for some seconds, whatever becomes of them; return all once they have ended."""
    chosen = random.Random(seed)
    weights = [each.weight for each in requests]
    answers: list[Answer] = []

    async def one(request: Request, due: float) -> None:
        sent, status = due, 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                status, sent = await pool.ask(request.make())
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status = 0
        answers.append(Answer(request.kind, due, sent, time.perf_counter(), status))

    due = begin = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        while due < begin + seconds:
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            tasks.create_task(one(chosen.choices(requests, weights)[0], due))
            due += chosen.expovariate(rate)
    return answers


@dataclass
class Readers:
    """Streams that are read for as long as the benchmark lasts."""

    port: int
    heard: Counter[str] = field(default_factory=Counter)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, path: str, key: str) -> None:
        """Follow a stream."""
        self.tasks.append(asyncio.create_task(self._follow(path, key)))

    async def _follow(self, path: str, key: str) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(message("GET", path, key))
                status = (await reader.readuntil(b"\r\n\r\n"))[9:12]
                self.heard[f"opened {status.decode()}"] += 1
                while status == b"200" and (piece := await reader.read(65536)):
                    self.heard["messages"] += piece.count(b"\n\n")
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                self.heard["broken"] += 1
            await asyncio.sleep(1)

    def stop(self) -> None:
        """End all of them."""
        for task in self.tasks:
            task.cancel()


async def measure_lag(lags: list[float]) -> None:
    """Note by how much the client's own loop comes late, until cancelled."""
    while True:
        due = time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - due)
