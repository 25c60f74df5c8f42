"""A cache of response bodies: for a succeeded run, a repeated request costs one query to see that nothing changed."""

import threading
from collections import OrderedDict

CACHE_BYTES = 64 * 2**20  # of a process


class ResponseCache:
    """Least recently used bodies, by an entity tag that covers the request and everything the body depends on."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tag: str) -> bytes | None:
        """Return the body, or None."""
        with self._lock:
            body = self._bodies.get(tag)
            if body is not None:
                self._bodies.move_to_end(tag)
            return body

    def put(self, tag: str, body: bytes) -> None:
        """Keep the body. Skip bodies larger than a quarter of the cache."""
        if len(body) > self._max_bytes // 4:
            return
        with self._lock:
            self._bytes += len(body) - len(self._bodies.pop(tag, b""))
            self._bodies[tag] = body
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._bodies.popitem(last=False)[1])

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._bytes
