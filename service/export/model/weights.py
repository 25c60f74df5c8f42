"""A model's own tensors out of a checkpoint's file, without torch: other tensors are read over.

A safetensors file is the length of a JSON header (8 bytes, little-endian), the header with type, shape and place of
each tensor, then the tensors' bytes one after the other.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from service.spec.component import Json

LENGTH = 8  # bytes that say how long the header is
MAX_HEADER = 100_000_000  # bytes, as in the library


class NamedTensors(NamedTuple):
    """A file of some tensors: its size and its bytes."""

    size: int
    pieces: Iterator[bytes]


class Damaged(ValueError):
    """The file is not what its header says."""


def select_tensors(pieces: Iterable[bytes], prefix: str) -> NamedTensors:
    """Return a file of the tensors whose names start with `prefix`, without the prefix, in their order in the file."""
    stream = _Stream(pieces)
    header = read_header(stream.read)
    placed = sorted(header.items(), key=lambda item: item[1]["data_offsets"][0])
    chosen: dict[str, Json] = {}
    size = 0
    for name, tensor in placed:
        if name.startswith(prefix):
            count = tensor["data_offsets"][1] - tensor["data_offsets"][0]
            chosen[name.removeprefix(prefix)] = tensor | {"data_offsets": [size, size + count]}
            size += count
    text = json.dumps(chosen, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)  # tensors start at a multiple of eight bytes
    head = len(text).to_bytes(LENGTH, "little") + text
    return NamedTensors(len(head) + size, _copied(stream, head, placed, prefix))


def read_header(read: Any) -> dict[str, Json]:
    """Return the tensors that a file names, without its metadata; `read(n)` returns its next n bytes."""
    length = int.from_bytes(read(LENGTH), "little")
    if length > MAX_HEADER:
        raise Damaged(f"a header of {length} bytes")
    found = json.loads(read(length))
    return {name: tensor for name, tensor in found.items() if name != "__metadata__"}


def _copied(stream: "_Stream", head: bytes, placed: list[tuple[str, Json]], prefix: str) -> Iterator[bytes]:
    yield head
    at = 0
    for name, tensor in placed:
        first, last = tensor["data_offsets"]
        if first != at:
            raise Damaged(f"{name} does not follow the tensor before it")
        at = last
        for piece in stream.take(last - first):
            if name.startswith(prefix):
                yield piece


class _Stream:
    """Bytes that arrive in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._rest = iter(pieces), memoryview(b"")

    def take(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes; raise `Damaged` where the file ends before."""
        while count:
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b""))
            if not self._rest:
                raise Damaged("the file ends early")
            yield bytes(self._rest[:count])
            taken = min(count, len(self._rest))
            count, self._rest = count - taken, self._rest[taken:]

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        return b"".join(self.take(count))
