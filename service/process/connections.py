"""The open connections of a process: how long each may let the server wait, and how many there may be.

Where there is no room, a new connection takes the place of the one that has let the server wait longest, so idle and
slow clients never lock others out. A connection that the server works for is never given up for another.
"""

import ipaddress
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import anyio

from service.process.senders import network_of
from service.settings import Settings

RESERVED_FILES = 256  # of the process: the database, uploads, libraries
EVERY_S = 1.0  # between two looks for connections beyond their time


class Awaits(Enum):
    """What the server waits for. The clock of `HEAD` runs on while bytes arrive, so a slow one ends too."""

    HEAD = "the request line and headers"
    BODY = "the next bytes of a body"
    NEXT = "the next request"
    TAKEN = "the client to take the next bytes of an answer"


@dataclass(eq=False)
class Connection:
    """One connection; `end` closes it, told what the server had waited for."""

    sender: str  # a network
    end: Callable[[Awaits], None]
    awaits: Awaits | None = None
    since: float = field(default_factory=time.monotonic)


class Connections:
    """At most `most`, of which one sender has at most half, unless it is a proxy that stands for many."""

    def __init__(self, settings: Settings) -> None:
        self.most = allow_connections(settings.connections)
        self._per_sender = self.most // 2
        self._limits_s = {
            Awaits.HEAD: settings.head_s,
            Awaits.BODY: settings.body_s,
            Awaits.NEXT: settings.idle_s,
            Awaits.TAKEN: settings.send_s,
        }
        self._proxies = [ipaddress.ip_network(each) for each in settings.proxies]
        self._counts: Counter[str] = Counter()
        self._waiting: dict[Connection, None] = {}  # the one that has been silent longest comes first

    def open(self, address: str, end: Callable[[Awaits], None]) -> Connection | None:
        """Return a new connection, in place of another if need be; None if the server works for all of them."""
        sender = network_of(address)
        if self._counts[sender] >= self._per_sender and not self._is_proxy(address):
            room = self._give_up(sender)
        else:
            room = self._counts.total() < self.most or self._give_up(None)
        if not room:
            return None
        connection = Connection(sender, end)
        self._counts[sender] += 1
        self.wait(connection, Awaits.HEAD)
        return connection

    def wait(self, connection: Connection, awaits: Awaits) -> None:
        """Note that something was heard from the client, and what the server now waits for."""
        if awaits is not Awaits.HEAD or connection.awaits is not Awaits.HEAD:
            connection.since = time.monotonic()
        connection.awaits = awaits
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """Note that the server works for this connection, and does not wait for it."""
        connection.awaits = None
        self._waiting.pop(connection, None)

    def close(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._waiting.pop(connection, None)
        self._counts[connection.sender] -= 1
        if not self._counts[connection.sender]:
            del self._counts[connection.sender]

    async def watch(self, shutting_down: anyio.Event) -> None:
        """End connections beyond their time, until the process shuts down."""
        while not shutting_down.is_set():
            with anyio.move_on_after(EVERY_S):
                await shutting_down.wait()
            self.end_overdue(time.monotonic())

    def end_overdue(self, now: float) -> None:
        """End the connections that have let the server wait too long."""
        for connection in list(self._waiting):
            if connection.awaits and now - connection.since > self._limits_s[connection.awaits]:
                self._end(connection)

    def _give_up(self, sender: str | None) -> bool:
        """End the connection that has been silent longest, of this sender if one is named; False if there is none."""
        for connection in self._waiting:
            if sender in (None, connection.sender):
                self._end(connection)
                return True
        return False

    def _end(self, connection: Connection) -> None:
        awaits = connection.awaits
        self.work(connection)  # it is not ended twice
        if awaits:
            connection.end(awaits)

    def _is_proxy(self, address: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) in network for network in self._proxies)
        except ValueError:
            return False

    def __len__(self) -> int:
        return self._counts.total()


def allow_connections(wanted: int) -> int:
    """Raise this process's limit of open files as far as it may; return how many of `wanted` connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + RESERVED_FILES:
        soft = wanted + RESERVED_FILES if hard == resource.RLIM_INFINITY else min(hard, wanted + RESERVED_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(min(wanted, soft - RESERVED_FILES), 1)
