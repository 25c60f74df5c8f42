"""Limits on the streams that one key, and all keys together, may have open at once in this process."""

import threading
from collections import Counter

from service.errors import TooMany


class StreamLimits:
    """Counts open streams by key; whoever takes one gives it back."""

    def __init__(self, max_streams: int, max_total: int) -> None:
        self._max_streams, self._max_total = max_streams, max_total
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, key_id: str) -> None:
        """Count one more stream, or raise `TooMany`."""
        with self._lock:
            if self._open[key_id] >= self._max_streams:
                raise TooMany(f"This key has {self._max_streams} streams open: close one, or use another key.")
            if self._open.total() >= self._max_total:
                raise TooMany(f"This process of the server has {self._max_total} streams open: try again later.")
            self._open[key_id] += 1

    def give_back(self, key_id: str) -> None:
        """Count one stream less."""
        with self._lock:
            self._open[key_id] -= 1
            if not self._open[key_id]:
                del self._open[key_id]

    @property
    def total(self) -> int:
        """Open streams of all keys."""
        return self._open.total()
