"""A limit on the streams that one key may have open at once in this process."""

import threading
from collections import Counter

from service.errors import TooMany


class StreamLimits:
    """Counts open streams by key; whoever takes one gives it back."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, key_id: str) -> None:
        """Count one more stream, or raise `TooMany`."""
        with self._lock:
            if self._open[key_id] >= self._max_streams:
                raise TooMany(f"This key has {self._max_streams} streams open: close one, or use another key.")
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
