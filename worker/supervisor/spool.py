"""A queue of frames from a trainer, in memory and beyond a limit in a file.

Frames pile up while Postgres is down or slower than the run. The thread that reads the pipe never waits for them, so
the training loop does not either. The file has no name, so it disappears with the process. It needs no recovery: the
next attempt starts from the last checkpoint in Postgres.
"""

import io
import logging
import os
import queue
import struct
import tempfile
import threading
import zlib
from collections import deque
from pathlib import Path

from worker.pipe import encode, read_frame
from worker.protocol import Failed, Frame, Points, Reading

log = logging.getLogger(__name__)
RECORD = struct.Struct("<II")  # bytes of an encoded frame, CRC-32 of it
FRAME_BYTES = 1024  # of memory per frame, without its payload; an estimate


class FrameQueue:
    """An unbounded queue that continues in a file in `folder` beyond `memory_bytes`."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self.folder, self.memory_bytes = folder, memory_bytes
        self.used_bytes = 0  # of memory
        self._head: deque[Frame] = deque()
        self._spool: SpoolFile | None = None  # frames that came after `_head`
        self._tail: deque[Frame] = deque()  # frames that came after a failed write to disk
        self._disk_warned = False  # since the queue was last empty
        self._closed = False  # no further frame of this trainer is wanted
        self._changed = threading.Condition()

    @property
    def spooled_bytes(self) -> int:
        """Bytes of the file; 0 without a file."""
        return self._spool.size if self._spool else 0

    def put(self, frame: Frame) -> None:
        """Add a frame; never waits and never refuses. A closed queue takes only frames that were put back."""
        with self._changed:
            if self._closed and not frame.put_back:
                return
            if not self._put_on_disk(frame):
                (self._tail if self._spool else self._head).append(frame)
                self.used_bytes += _size(frame)
            self._changed.notify()

    def _put_on_disk(self, frame: Frame) -> bool:
        """Write the frame to disk if it should go there; return False if it must stay in memory.

        The file is read before `_tail`, so after a failed write frames stay in memory.
        """
        fits = self._spool is None and self.used_bytes + _size(frame) <= self.memory_bytes
        if self._closed or self._tail or fits:
            return False
        spool = self._spool
        try:
            spool = spool or SpoolFile(self.folder)
            spool.append(frame)
        except OSError as error:
            if not self._disk_warned:
                log.warning("points wait in memory, because %s is not writable: %s", self.folder, error)
            self._disk_warned = True
            if spool is not None and not spool.size:
                spool.close()
            return False
        self._spool = spool
        return True

    def get(self, timeout: float | None = None) -> Frame:
        """Take the oldest frame; raise `queue.Empty` if none comes within `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self.empty(), timeout):
                raise queue.Empty
            frame = self._next()
            self._disk_warned = self._disk_warned and not self.empty()
            return frame

    def _next(self) -> Frame:
        if not self._head and self._spool is not None:
            return self._next_from_disk(self._spool)
        frame = self._head.popleft()
        self.used_bytes -= _size(frame)
        return frame

    def _next_from_disk(self, spool: "SpoolFile") -> Frame:
        try:
            frame = spool.read()
        except (OSError, ValueError) as error:  # frames after a gap must not be stored
            self._drop()
            detail = f"points that waited for the database in {self.folder} cannot be read: {error}"
            return Failed(kind="spool_damaged", detail=detail, trainer_usable=False)
        if not spool.has_more:
            spool.close()
            self._spool, self._head, self._tail = None, self._tail, deque()
        return frame

    def empty(self) -> bool:
        """Whether the queue is empty."""
        return not self._head and self._spool is None

    def close(self) -> None:
        """Drop all frames, because the trainer and its attempt have ended."""
        with self._changed:
            self._drop()

    def _drop(self) -> None:
        self._closed = True
        if self._spool is not None:
            self._spool.close()
        self._spool, self.used_bytes = None, 0
        self._head.clear()
        self._tail.clear()


class SpoolFile:
    """An unnamed file of records, appended at the end and read from the beginning."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  open as long as anything waits
        self._read_bytes = 0
        self.size = 0  # bytes of whole records

    @property
    def has_more(self) -> bool:
        """Whether a record is left to read."""
        return self._read_bytes < self.size

    def append(self, frame: Frame) -> None:
        """Append one record; after an OSError nothing of it is kept."""
        content = encode(frame)
        record = memoryview(RECORD.pack(len(content), zlib.crc32(content)) + content)
        at = self.size
        while record:
            written = os.pwrite(self._file.fileno(), record, at)
            at, record = at + written, record[written:]
        self.size = at

    def read(self) -> Frame:
        """Read the next record; ValueError if it is not what was written."""
        size, crc = RECORD.unpack(self._pread(RECORD.size, self._read_bytes))
        if self._read_bytes + RECORD.size + size > self.size:
            raise ValueError("a record extends beyond the end")
        content = self._pread(size, self._read_bytes + RECORD.size)
        if zlib.crc32(content) != crc or (frame := read_frame(io.BytesIO(content))) is None:
            raise ValueError("a record's checksum is wrong")
        self._read_bytes += RECORD.size + size
        return frame

    def _pread(self, size: int, at: int) -> bytes:
        """Read exactly `size` bytes."""
        found = bytearray()
        while len(found) < size:
            if not (piece := os.pread(self._file.fileno(), size - len(found), at + len(found))):
                raise ValueError("the file ends within a record")
            found += piece
        return bytes(found)

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


def _size(frame: Frame) -> int:
    return FRAME_BYTES + (len(frame.payload) if isinstance(frame, Points | Reading) else 0)
