"""Wrong keys, counted by the address they come from: beyond a few a minute they are refused without asking Postgres.

A key that opened lately is still looked up, so a script with a wrong one stops nobody else behind the same address.
"""

import hashlib
import ipaddress
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import WrongKeys

MAX_WRONG, WINDOW_S = 20, 60.0
MAX_ADDRESSES, MAX_GOOD = 10_000, 10_000  # remembered; the oldest are forgotten
log = logging.getLogger(__name__)


@dataclass
class _Window:
    since: float
    wrong: int = 0


class WrongKeyLimit:
    """Counts the wrong keys of each address in windows of a minute, and logs one line for each that fills."""

    def __init__(self, max_wrong: int = MAX_WRONG, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_wrong, self._clock = max_wrong, clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str | None, key: str) -> None:
        """Raise `WrongKeys` where the address has sent too many and this key has not opened lately."""
        if not self._windows:
            return
        with self._lock:
            window = self._windows.get(_network(address))
            if window is None or window.wrong < self._max_wrong or _digest(key) in self._good:
                return
            left_s = window.since + WINDOW_S - self._clock()
        if left_s > 0:
            detail = f"{self._max_wrong} wrong keys came from your address within a minute: check the key, then wait."
            raise WrongKeys(detail, retry_after_s=left_s)

    def count(self, address: str | None) -> None:
        """Count a wrong key."""
        network, now = _network(address), self._clock()
        with self._lock:
            window = self._windows.get(network)
            if window is None or now - window.since >= WINDOW_S:
                self._windows.pop(network, None)
                window = self._windows[network] = _Window(now)
                _shorten(self._windows, MAX_ADDRESSES)
            window.wrong += 1
            full = window.wrong == self._max_wrong
        if full:
            left_s = window.since + WINDOW_S - now
            log.warning("%d wrong keys from %s: refusing others for %.0f s", self._max_wrong, network, left_s)

    def remember(self, key: str) -> None:
        """Remember a key that opened."""
        digest = _digest(key)
        with self._lock:
            self._good[digest] = None
            self._good.move_to_end(digest)
            _shorten(self._good, MAX_GOOD)


def _network(address: str | None) -> str:
    """Return what is counted as one sender: an IPv4 address, or the network of 64 bits that one IPv6 host may hold."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _shorten(kept: OrderedDict[str, _Window] | OrderedDict[bytes, None], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
