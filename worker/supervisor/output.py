"""What a trainer writes to stderr, which is also its stdout: passed on to the log up to a limit, its end kept."""

import logging
import os
import threading
from typing import IO

KEPT = 8 * 1024  # bytes: the end of it, evidence of a crash
LOGGED = 64 * 1024  # bytes an attempt; whoever writes a gigabyte fills no disk with it
LINE = 1000  # bytes; longer lines are broken

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class Output:
    """Reads to the end, whatever comes, so that a trainer never waits for whoever reads its words."""

    def __init__(self, stream: IO[bytes], log: Log) -> None:
        self._stream, self._log = stream, log
        self._kept, self._line, self._left = b"", b"", LOGGED
        self.size = 0  # bytes of this attempt
        self.ended = threading.Event()
        threading.Thread(target=self._read, name="trainer-output", daemon=True).start()

    def begin(self, log: Log) -> None:
        """A new attempt: its own lines, its own allowance."""
        self._log, self._kept, self._left, self.size = log, b"", LOGGED, 0

    def tail(self, size: int = KEPT) -> str:
        """The last `size` bytes, escaped."""
        return escaped(self._kept[-size:])

    def _read(self) -> None:
        try:
            while piece := os.read(self._stream.fileno(), 1 << 16):
                self.size += len(piece)
                self._kept = (self._kept + piece)[-KEPT:]
                if self._left > 0:
                    self._pass_on(piece)
        except (OSError, ValueError):  # the stream was closed
            return
        finally:
            if self._line:
                self._log.info("trainer: %s", escaped(self._line))
            self.ended.set()

    def _pass_on(self, piece: bytes) -> None:
        *lines, rest = (self._line + piece[: self._left]).split(b"\n")
        self._left -= len(piece)
        whole = [part for line in lines for part in _broken(line)]
        *more, self._line = _broken(rest)
        for line in whole + more:
            self._log.info("trainer: %s", escaped(line))
        if self._left <= 0:
            self._line = b""
            self._log.warning("the trainer wrote more than %d bytes: no more of it is logged", LOGGED)


def _broken(line: bytes) -> list[bytes]:
    """The line in pieces of bounded length; at least one."""
    return [line[at : at + LINE] for at in range(0, len(line), LINE)] or [b""]


def escaped(raw: bytes) -> str:
    """Readable text that a terminal, a log and Postgres take: everything else as \\x1b and the like."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
