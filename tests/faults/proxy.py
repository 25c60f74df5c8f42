"""A gate in front of Postgres, one for each process: it knows enough of the protocol to lose the answer to a COMMIT.

What a transaction does is read from its statements, so that the answer of a claim, a flush, a checkpoint, an end or a
post can be lost on purpose. The database has committed by then; only the news of it never arrives.
"""

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

MARKS = (  # the first that a transaction holds says what it is about
    ("post", b"INSERT INTO experiment"),
    ("claim", b"INSERT INTO attempt"),
    ("end", b"UPDATE attempt SET ended_at"),
    ("checkpoint", b"INSERT INTO checkpoint"),
    ("flush", b"INSERT INTO metric_chunk"),
)
LOOK_S = 0.01


@dataclass(eq=False)
class Link:
    """One connection through a gate."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    statements: dict[bytes, bytes] = field(default_factory=dict)  # prepared ones, by name
    seen: set[str] = field(default_factory=set)  # what the open transaction has done

    def note(self, sql: bytes) -> None:
        """Remember what a statement is about."""
        self.seen |= {kind for kind, mark in MARKS if mark in sql}

    def about(self) -> str:
        """What the transaction is about."""
        return next((kind for kind, _ in MARKS if kind in self.seen), "other")

    def reset(self) -> None:
        """End it as a crash of the host would: no goodbye in either direction."""
        for writer in (self.client, self.server):
            with contextlib.suppress(Exception):
                writer.transport.abort()


class Gate:
    """A loopback port that leads to the database's socket, for as long as nothing is done to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: str) -> None:
        self._loop, self._socket = loop, socket
        self.port = 0
        self.delay_s = 0.0  # before every statement
        self.refusing = False  # new connections are cut at once
        self.blackholed = False  # nothing passes, nobody is told
        self.lose: str | None = None  # the kind of transaction whose next COMMIT answer is lost
        self.lost_at: float | None = None
        self.tear: int | None = None  # bytes of the next statement that still pass
        self._links: set[Link] = set()

    async def open(self) -> None:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def reset_all(self) -> None:
        """Cut every connection; from any thread."""
        self._loop.call_soon_threadsafe(lambda: [link.reset() for link in list(self._links)])

    def heal(self) -> None:
        """Let everything pass again."""
        self.delay_s, self.refusing, self.blackholed, self.lose, self.tear = 0.0, False, False, None, None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = None
        try:
            if self.refusing:
                return
            answers, upward = await asyncio.open_unix_connection(self._socket)
            link = Link(writer, upward)
            self._links.add(link)
            ways = [asyncio.create_task(self._up(link, reader)), asyncio.create_task(self._down(link, answers))]
            _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in rest:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            if link is not None:
                self._links.discard(link)
                for end in (link.client, link.server):
                    with contextlib.suppress(Exception):
                        end.close()

    async def _up(self, link: Link, reader: asyncio.StreamReader) -> None:
        """Statements; each is delayed, held or torn as the gate is told."""
        async for kind, message in messages(reader, greeting=True):
            if kind == b"P":
                name, sql = message[5:].split(b"\0", 2)[:2]
                link.statements[name] = sql
                link.note(sql)
            elif kind == b"B":
                link.note(link.statements.get(message[5:].split(b"\0", 2)[1], b""))
            elif kind == b"Q":
                link.note(message[5:])
            if self.delay_s and kind in b"SQ":
                await asyncio.sleep(self.delay_s)
            await self._passable()
            if self.tear is not None and kind in b"PQ":
                link.server.write(message[: self.tear])
                self.tear = None
                await link.server.drain()
                link.reset()
                return
            link.server.write(message)
            await link.server.drain()

    async def _down(self, link: Link, reader: asyncio.StreamReader) -> None:
        """Answers; the one to a COMMIT may be lost, and the connection with it."""
        async for kind, message in messages(reader):
            await self._passable()
            if kind == b"C" and message[5:] == b"COMMIT\0":
                if self.lose is not None and self.lose == link.about():
                    self.lose, self.lost_at = None, time.time()
                    link.reset()
                    return
                link.seen.clear()
            elif kind == b"C" and message[5:] == b"ROLLBACK\0":
                link.seen.clear()
            link.client.write(message)
            await link.client.drain()

    async def _passable(self) -> None:
        while self.blackholed:
            await asyncio.sleep(LOOK_S)


async def messages(reader: asyncio.StreamReader, greeting: bool = False) -> AsyncIterator[tuple[bytes, bytes]]:
    """Whole messages with their type byte; the greeting alone has none. Ends where the other side does."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        if greeting:
            head = await reader.readexactly(4)
            yield b"", head + await reader.readexactly(struct.unpack(">I", head)[0] - 4)
        while True:
            head = await reader.readexactly(5)
            yield head[:1], head + await reader.readexactly(struct.unpack(">I", head[1:])[0] - 4)


class Gates:
    """The thread that all gates live in."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="gates", daemon=True).start()

    def make(self) -> Gate:
        """One more gate, open."""
        gate = Gate(self._loop, self._socket)
        asyncio.run_coroutine_threadsafe(gate.open(), self._loop).result(10)
        return gate
