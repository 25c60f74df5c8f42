"""What a trainer has said and nobody has handled yet: some of it in memory, the rest in a file, handed out in order.

While Postgres is away, or slower than the run writes, frames wait here. The reader of the pipe never waits for them, so
neither does the training loop. The file has no name: it ends with the process, whatever ends that. Nothing needs to be
recovered from it, because what counts is committed: the next attempt starts from the last checkpoint that Postgres
knows, and computes again what lay here.
"""

import json
import logging
import os
import queue
import struct
import tempfile
import threading
import zlib
from collections import deque
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
RECORD = struct.Struct("<III")  # bytes of the header, bytes of the payload, CRC-32 of both
BESIDE = 1024  # bytes that a frame takes in memory beside its payload, about
Frame = tuple[dict[str, Any] | None, bytes]


class Frames:
    """A queue without an end; beyond `bound` bytes in memory it goes on in a file in `folder`."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder, self.bound = folder, bound
        self.held = 0  # bytes of the frames in memory
        self._head: deque[Frame] = deque()
        self._spool: Spool | None = None  # what came after `_head`
        self._tail: deque[Frame] = deque()  # what came after the spool took no more
        self._told = False  # that the disk takes nothing, since the queue was empty last
        self._over = False  # nothing of this trainer is wanted any more
        self._changed = threading.Condition()

    @property
    def spooled(self) -> int:
        """Bytes of the file; 0: there is none."""
        return self._spool.size if self._spool else 0

    def put(self, frame: Frame) -> None:
        """Take one more; never waits for its reader, and never refuses."""
        with self._changed:
            if self._over and not _returned(frame):
                return
            if not self._to_disk(frame):
                (self._tail if self._spool else self._head).append(frame)
                self.held += _size(frame)
            self._changed.notify()

    def _to_disk(self, frame: Frame) -> bool:
        """Whether it went there. What is on disk is read before what comes later, so after a refusal nothing goes."""
        if self._over or self._tail or (self._spool is None and self.held + _size(frame) <= self.bound):
            return False
        spool = self._spool
        try:
            spool = spool or Spool(self.folder)
            spool.append(frame)
        except OSError as error:
            if not self._told:
                log.warning("points wait in memory, because they cannot wait in %s: %s", self.folder, error)
            self._told = True
            if spool is not None and not spool.size:
                spool.close()
            return False
        self._spool = spool
        return True

    def get(self, timeout: float | None = None) -> Frame:
        """The oldest frame; `queue.Empty` where none comes within `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self.empty(), timeout):
                raise queue.Empty
            frame = self._next()
            self._told = self._told and not self.empty()
            return frame

    def _next(self) -> Frame:
        if not self._head and self._spool is not None:
            return self._from_disk(self._spool)
        frame = self._head.popleft()
        self.held -= _size(frame)
        return frame

    def _from_disk(self, spool: "Spool") -> Frame:
        try:
            frame = spool.read()
        except (OSError, ValueError) as error:  # what follows a gap must not be written
            self._drop()
            detail = f"what waited for the database in {self.folder} cannot be read: {error}"
            return {"type": "failed", "kind": "spool_damaged", "detail": detail, "step": None}, b""
        if not spool.left:
            spool.close()
            self._spool, self._head, self._tail = None, self._tail, deque()
        return frame

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._head and self._spool is None

    def close(self) -> None:
        """Forget what waits: its trainer is gone, and so is the attempt."""
        with self._changed:
            self._drop()

    def _drop(self) -> None:
        self._over = True
        if self._spool is not None:
            self._spool.close()
        self._spool, self.held = None, 0
        self._head.clear()
        self._tail.clear()


class Spool:
    """Records one after the other in a file without a name: written at the end, read from the beginning."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  open as long as anything waits
        self._read = 0
        self.size = 0  # bytes of whole records

    @property
    def left(self) -> bool:
        """Whether there is a record that was not read."""
        return self._read < self.size

    def append(self, frame: Frame) -> None:
        """Write one record; OSError where it did not fit, and then it is not there at all."""
        header, payload = json.dumps(frame[0]).encode(), frame[1]
        content = header + payload
        record = memoryview(RECORD.pack(len(header), len(payload), zlib.crc32(content)) + content)
        at = self.size
        while record:
            written = os.pwrite(self._file.fileno(), record, at)
            at, record = at + written, record[written:]
        self.size = at

    def read(self) -> Frame:
        """The oldest record that was not read; ValueError where it is not what was written."""
        header_size, payload_size, crc = RECORD.unpack(self._exactly(RECORD.size, self._read))
        if self._read + RECORD.size + header_size + payload_size > self.size:
            raise ValueError("a record goes on behind the end")
        content = self._exactly(header_size + payload_size, self._read + RECORD.size)
        if zlib.crc32(content) != crc:
            raise ValueError("a record's checksum is wrong")
        self._read += RECORD.size + len(content)
        return json.loads(content[:header_size]), content[header_size:]

    def _exactly(self, size: int, at: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            if not (piece := os.pread(self._file.fileno(), size - len(found), at + len(found))):
                raise ValueError("the file ends within a record")
            found += piece
        return bytes(found)

    def close(self) -> None:
        """Give its room back."""
        self._file.close()


def _size(frame: Frame) -> int:
    return len(frame[1]) + BESIDE


def _returned(frame: Frame) -> bool:
    """Whether it was handled once before and comes back (worker.supervisor.checkpoint_transfer)."""
    return frame[0] is not None and "lease" in frame[0]
