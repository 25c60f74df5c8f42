"""The output of a trainer: logged up to a limit, with its tail kept."""

import logging
import os
import threading
from typing import IO

TAIL_BYTES = 8 * 1024  # evidence of a crash
LOG_BYTES = 64 * 1024  # per attempt, so that a trainer cannot fill the disk
LINE_BYTES = 1000  # longer lines are broken

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class TrainerOutput:
    """Reads a trainer's output, so that the trainer never blocks on it."""

    def __init__(self, stream: IO[bytes], log: Log) -> None:
        self._stream, self._log = stream, log
        self._tail, self._line, self._log_bytes_left = b"", b"", LOG_BYTES
        self.size = 0  # bytes of this attempt
        self.ended = threading.Event()
        threading.Thread(target=self._read, name="trainer-output", daemon=True).start()

    def begin(self, log: Log) -> None:
        """Begin a new attempt, with its own log and limit."""
        self._log, self._tail, self._log_bytes_left, self.size = log, b"", LOG_BYTES, 0

    def tail(self, size: int = TAIL_BYTES) -> str:
        """Return the last `size` bytes, escaped."""
        return escape(self._tail[-size:])

    def _read(self) -> None:
        try:
            while piece := os.read(self._stream.fileno(), 1 << 16):
                self.size += len(piece)
                self._tail = (self._tail + piece)[-TAIL_BYTES:]
                if self._log_bytes_left > 0:
                    self._log_lines(piece)
        except (OSError, ValueError):  # the stream was closed
            return
        finally:
            if self._line:
                self._log.info("trainer: %s", escape(self._line))
            self.ended.set()

    def _log_lines(self, piece: bytes) -> None:
        *lines, rest = (self._line + piece[: self._log_bytes_left]).split(b"\n")
        self._log_bytes_left -= len(piece)
        complete = [part for line in lines for part in _break(line)]
        *more, self._line = _break(rest)
        for line in complete + more:
            self._log.info("trainer: %s", escape(line))
        if self._log_bytes_left <= 0:
            self._line = b""
            self._log.warning("the trainer wrote more than %d bytes: no more of it is logged", LOG_BYTES)


def _break(line: bytes) -> list[bytes]:
    """Cut a line into pieces of bounded length, at least one."""
    return [line[at : at + LINE_BYTES] for at in range(0, len(line), LINE_BYTES)] or [b""]


def escape(raw: bytes) -> str:
    """Return text that is safe in a terminal, a log and Postgres; other characters are escaped (\\x1b)."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
