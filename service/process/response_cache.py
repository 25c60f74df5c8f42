"""Answers of ended runs, kept in memory: a curve's second reader costs one look at whether it is the same still."""

import threading
from collections import OrderedDict

KEPT_BYTES = 64 * 2**20  # of a process; the least recently asked go first


class Answers:
    """Bodies by entity tag, which covers the question and all that the answer depends on."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most, self._bytes = most, 0
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tag: str) -> bytes | None:
        """The body, if it is here."""
        with self._lock:
            body = self._bodies.get(tag)
            if body is not None:
                self._bodies.move_to_end(tag)
            return body

    def keep(self, tag: str, body: bytes) -> None:
        """Unless it would push out most of the others."""
        if len(body) > self._most // 4:
            return
        with self._lock:
            self._bytes += len(body) - len(self._bodies.pop(tag, b""))
            self._bodies[tag] = body
            while self._bytes > self._most:
                self._bytes -= len(self._bodies.popitem(last=False)[1])

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._bytes
