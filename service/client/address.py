"""Which server is meant, and with which key: what is given, else the environment, else what runs on this machine."""

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
    """A server and the key that opens it; the key is in no text that the address makes of itself."""

    url: str
    key: str = field(repr=False)

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, where no proxy is to be asked."""
        return urlsplit(self.url).hostname in LOOPBACK


def find(url: str | None, key: str | None, environment: Mapping[str, str] = os.environ) -> Address:
    """The address meant. A key that lies on this machine is only ever sent to the server it was made for."""
    url = _checked((url or environment.get("SADDLE_URL") or "").strip())
    key = (key or _named_key(environment)).strip()  # keys are pasted, and files end with a newline
    if url and key:
        return Address(url, _printable(key))
    running = _running(environment)
    if running is None and not url:
        raise Unreachable(
            "no server is named and none runs here: set SADDLE_URL and SADDLE_KEY, or start one (run.py up)"
        )
    if running is None or (url and url != running[0]):
        raise Unusable(f"no key for {url}: set SADDLE_KEY")
    return Address(running[0], _printable(key or _key(running[1])))


def _checked(url: str) -> str:
    """The address without its last slash, or `Unusable`."""
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Unusable("the server's address must look like http://host:port or https://host; see SADDLE_URL")
    return url.rstrip("/")


def _printable(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise Unusable("the key has characters that no key has: was it copied whole? See SADDLE_KEY")
    return key


def _named_key(environment: Mapping[str, str]) -> str:
    """The key that the environment holds, or names the file of; empty without."""
    held, named = environment.get("SADDLE_KEY") or "", environment.get("SADDLE_KEY_FILE") or ""
    if held.strip() and named:
        raise Unusable("SADDLE_KEY and SADDLE_KEY_FILE are both set: keep one")
    return _read(Path(named).expanduser()) if named else held


def _running(environment: Mapping[str, str]) -> tuple[str, Path] | None:
    """Address and data folder of the start that runs on this machine."""
    named = environment.get("SADDLE_DATA")
    for folder in [Path(named).expanduser()] if named else [Path.cwd() / ".saddle", BESIDE, SYSTEM]:
        with suppress(OSError, ValueError, AttributeError):
            if not named and folder.stat().st_uid not in (os.geteuid(), 0):
                continue  # a folder that somebody else put where we stand
            url = json.loads((folder / "up.json").read_text()).get("url")
            if isinstance(url, str) and urlsplit(url).hostname in LOOPBACK:
                return url.rstrip("/"), folder
    return None


def _key(folder: Path) -> str:
    return _read(folder / "key").strip()


def _read(file: Path) -> str:
    try:
        key = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Unusable(f"the key in {file} cannot be read ({why}): set SADDLE_KEY") from error
    if not key.strip():
        raise Unusable(f"the file {file} holds no key: set SADDLE_KEY")
    return key
