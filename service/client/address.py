"""The server's address and key: as given, else from the environment, else of the server on this machine."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from service.client.errors import Unreachable, Unusable

BESIDE = Path(__file__).resolve().parents[2] / ".saddle"
SYSTEM = Path("/var/lib/saddle")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """A server and its key, which `repr` leaves out."""

    url: str
    key: str = field(repr=False)

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, where no proxy is used."""
        return urlsplit(self.url).hostname in LOOPBACK


def find(url: str | None, key: str | None, environment: Mapping[str, str] = os.environ) -> Address:
    """Return the address. A key stored on this machine is only sent to the server that it was made for."""
    url = _check_url((url or environment.get("SADDLE_URL") or "").strip())
    key = (key or _environment_key(environment)).strip()  # keys are pasted, and files end with a newline
    if url and key:
        return Address(url, _check_key(key))
    running = _running_server(environment)
    if running is None and not url:
        raise Unreachable(
            "no server is named and none runs here: set SADDLE_URL and SADDLE_KEY, or start one (run.py up)"
        )
    if running is None or (url and url != running[0]):
        raise Unusable(f"no key for {url}: set SADDLE_KEY")
    return Address(running[0], _check_key(key or _read_key(running[1] / "key").strip()))


def _check_url(url: str) -> str:
    """Return the address without a trailing slash, or raise `Unusable`."""
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Unusable("the server's address must look like http://host:port or https://host; see SADDLE_URL")
    return url.rstrip("/")


def _check_key(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Unusable("the key has characters that no key has: was it copied whole? See SADDLE_KEY")
    return key


def _environment_key(environment: Mapping[str, str]) -> str:
    """Return the key from SADDLE_KEY or from the file SADDLE_KEY_FILE, or an empty text."""
    held, named = environment.get("SADDLE_KEY") or "", environment.get("SADDLE_KEY_FILE") or ""
    if held.strip() and named:
        raise Unusable("SADDLE_KEY and SADDLE_KEY_FILE are both set: keep one")
    return _read_key(Path(named).expanduser()) if named else held


def _running_server(environment: Mapping[str, str]) -> tuple[str, Path] | None:
    """Return address and data folder of the server that runs on this machine."""
    named = environment.get("SADDLE_DATA")
    for folder in [Path(named).expanduser()] if named else [Path.cwd() / ".saddle", BESIDE, SYSTEM]:
        with suppress(OSError, ValueError, AttributeError):
            if not named and folder.stat().st_uid not in (os.geteuid(), 0):
                continue  # somebody else's folder in the working directory
            url = json.loads((folder / "up.json").read_text()).get("url")
            if isinstance(url, str) and urlsplit(url).hostname in LOOPBACK:
                return url.rstrip("/"), folder
    return None


def _read_key(file: Path) -> str:
    try:
        key = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Unusable(f"the key in {file} cannot be read ({why}): set SADDLE_KEY") from error
    if not key.strip():
        raise Unusable(f"the file {file} holds no key: set SADDLE_KEY")
    return key
