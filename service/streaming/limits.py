"""How many streams one key may have open at once in this process."""

import threading
from collections import Counter

from service.errors import TooMany


class StreamSlots:
    """Counts open streams by key; a taken slot must be given back."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, key_id: str) -> None:
        """`TooMany` beyond the limit."""
        with self._lock:
            if self._open[key_id] >= self._limit:
                raise TooMany(f"This key has {self._limit} streams open: close one, or use another key.")
            self._open[key_id] += 1

    def give_back(self, key_id: str) -> None:
        """The stream has ended."""
        with self._lock:
            self._open[key_id] -= 1
            if not self._open[key_id]:
                del self._open[key_id]

    @property
    def total(self) -> int:
        """Open streams of all keys."""
        return self._open.total()
