"""Wrong keys, counted by the address they come from: beyond a few a minute most are refused without asking Postgres.

A key that opened lately is still looked up, and of the others a few each second, so a script with a wrong one stops
nobody else behind the same address for longer than a moment.
"""

import hashlib
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.errors import WrongKeys
from service.process.senders import network_of

MAX_WRONG, WINDOW_S = 20, 60.0
LOOK_S = 0.2  # between two keys from a full window that are looked up all the same
MAX_ADDRESSES, MAX_GOOD = 10_000, 10_000  # remembered; the oldest are forgotten
log = logging.getLogger(__name__)


@dataclass
class _Window:
    since: float
    wrong: int = 0
    looked_at: float = -math.inf  # once it was full


class WrongKeyLimit:
    """Counts the wrong keys of each address in windows of a minute, and logs one line for each that fills."""

    def __init__(self, max_wrong: int = MAX_WRONG, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_wrong, self._clock = max_wrong, clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str | None, key: str) -> None:
        """Raise `WrongKeys` where the address has sent too many, this key has not opened lately, and it is no turn."""
        if not self._windows:
            return
        with self._lock:
            window = self._windows.get(network_of(address))
            if window is None or window.wrong < self._max_wrong or _digest(key) in self._good:
                return
            now = self._clock()
            if now - window.since >= WINDOW_S or now - window.looked_at >= LOOK_S:
                window.looked_at = now
                return
        detail = f"{self._max_wrong} wrong keys came from your address within a minute: check the key, then try again."
        raise WrongKeys(detail, retry_after_s=1.0)

    def count(self, address: str | None) -> None:
        """Count a wrong key."""
        network, now = network_of(address), self._clock()
        with self._lock:
            window = self._windows.get(network)
            if window is None or now - window.since >= WINDOW_S:
                self._windows.pop(network, None)
                window = self._windows[network] = _Window(now)
                _shorten(self._windows, MAX_ADDRESSES)
            window.wrong += 1
            full = window.wrong == self._max_wrong
            if full:
                window.looked_at = now
        if full:
            left_s = window.since + WINDOW_S - now
            log.warning("%d wrong keys from %s: refusing most others for %.0f s", self._max_wrong, network, left_s)

    def remember(self, key: str) -> None:
        """Remember a key that opened."""
        digest = _digest(key)
        with self._lock:
            self._good[digest] = None
            self._good.move_to_end(digest)
            _shorten(self._good, MAX_GOOD)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _shorten(kept: OrderedDict[str, _Window] | OrderedDict[bytes, None], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
