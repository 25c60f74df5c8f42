"""The log of an attempt: what its supervisor says, and what its trainer writes, up to a limit.

Each line goes to the worker's own log at once, and to the run's log with the attempt's next transaction.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import IO, Any

from service.db.runs.log_lines import LogLine

TAIL_BYTES = 8 * 1024  # evidence of a crash
LOG_BYTES = 256 * 1024  # per attempt, so that a trainer cannot fill the disk
LINE_BYTES = 1000  # longer lines are broken
PACE_LINES = 500  # recurring lines until their pace is halved
FROM_OUTPUT: Mapping[str, Any] = {"from_output": True}  # marks a line that the trainer wrote

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """Begins every line with the run and the attempt, ends it with the request, and keeps it for the run's log."""

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any]) -> None:
        super().__init__(logger, extra)
        self._lock, self._lines, self._number = threading.Lock(), list[LogLine](), 0

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Return the line with them."""
        extra = self.extra or {}
        request = f" [{extra['request']}]" if extra["request"] else ""
        return f"[{extra['run']} attempt {extra['attempt']}] {msg}{request}", kwargs

    def log(self, level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log a line, and keep it."""
        output = FROM_OUTPUT is kwargs.get("extra")
        self.keep(str(args[0]) if output else str(msg) % args, "output" if output else "saddle", level)
        super().log(level, msg, *args, **kwargs)

    def keep(self, line: str, source: str = "saddle", level: int = logging.INFO) -> None:
        """Keep a line for the run's log alone."""
        word = "error" if level >= logging.ERROR else "warning" if level >= logging.WARNING else "info"
        with self._lock:
            self._number += 1
            self._lines.append(LogLine(self._number, time.monotonic(), source, word, line))

    def take(self) -> list[LogLine]:
        """Return the lines since the last call."""
        with self._lock:
            taken, self._lines = self._lines, []
        return taken


class SharedLog(logging.LoggerAdapter[logging.Logger]):
    """Keeps every line in the logs of several runs; the worker's own log has it once, with the first of them."""

    def __init__(self, logs: Sequence[RunLog]) -> None:
        super().__init__(logs[0].logger, logs[0].extra)
        self._first, *self._others = logs

    def log(self, level: int, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Log a line, and keep it in each log."""
        self._first.log(level, msg, *args, **kwargs)
        output = FROM_OUTPUT is kwargs.get("extra")
        line = str(args[0]) if output else str(msg) % args
        for each in self._others:
            each.keep(line, "output" if output else "saddle", level)


class Pace:
    """Says when a recurring line is due: once a second at first, and half as often after every `PACE_LINES`.

    So the log of a run that trains for a month has some ten thousand of them.
    """

    def __init__(self) -> None:
        self._due, self._every_s, self._count = 0.0, 1.0, 0

    def is_due(self, now: float) -> bool:
        """Return whether a line may be logged at `now` (monotonic seconds), and count it."""
        if now < self._due:
            return False
        self._count += 1
        if self._count % PACE_LINES == 0:
            self._every_s *= 2
        self._due = now + self._every_s
        return True


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
                self._log_line(self._line)
            self.ended.set()

    def _log_lines(self, piece: bytes) -> None:
        *lines, rest = (self._line + piece[: self._log_bytes_left]).split(b"\n")
        self._log_bytes_left -= len(piece)
        complete = [part for line in lines for part in _break(line)]
        *more, self._line = _break(rest)
        for line in complete + more:
            self._log_line(line)
        if self._log_bytes_left <= 0:
            self._line = b""
            self._log.warning("the trainer wrote more than %d bytes: no more of it is logged", LOG_BYTES)

    def _log_line(self, line: bytes) -> None:
        self._log.info("trainer: %s", escape(line), extra=FROM_OUTPUT)


def _break(line: bytes) -> list[bytes]:
    """Cut a line into pieces of bounded length, at least one."""
    return [line[at : at + LINE_BYTES] for at in range(0, len(line), LINE_BYTES)] or [b""]


def escape(raw: bytes) -> str:
    """Return text that is safe in a terminal, a log and Postgres; other characters are escaped (\\x1b)."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
