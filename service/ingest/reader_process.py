"""The handle of a process that reads uploaded files under limits (`service.ingest.reader`)."""

import atexit
import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from service.errors import Invalid, Problem
from service.ingest.reader import END, OUT_OF_MEMORY, PROBLEMS, WALL_FACTOR, ReadLimits

STARTUP_S = 30.0  # beyond the file's own time
MAX_ANSWER_BYTES = 2**26
PRIVATE = ("SADDLE_", "AWS_", "PG")  # variables that a reader has no use for
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # a fork has one thread
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # reserves no address space, which the limit counts
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "TOKENIZERS_PARALLELISM": "false",
}
log = logging.getLogger(__name__)


class ReaderProcess:
    """One `python -m service.ingest.reader`; start and `ask` it from threads that wait."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service.ingest.reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=kept | ENVIRONMENT,
            start_new_session=True,  # so that a fork is ended with it
            bufsize=0,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], limits: ReadLimits) -> bytes:
        """Return the JSON of what a fork found; raise `Invalid` for a file that cannot be read."""
        patience_s = limits.cpu_s * WALL_FACTOR + STARTUP_S
        answer, status = self._exchange(request | {"limits": asdict(limits)}, patience_s)
        if status:
            raise _problem(status, limits)
        kind, _, found = answer.partition(b" ")
        if kind == PROBLEMS:
            raise Invalid.of([Problem(**problem) for problem in json.loads(found)])
        return found

    def _exchange(self, request: dict[str, Any], patience_s: float) -> tuple[bytes, int]:
        """Return what its fork wrote, and how that ended, as `waitpid` tells; it is killed where it says nothing."""
        pipe, answer = self._process.stdout, bytearray()
        assert self._process.stdin is not None
        assert pipe is not None
        deadline = time.monotonic() + patience_s
        with contextlib.suppress(OSError, ValueError):  # it has died, or was killed meanwhile
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            while len(answer) <= MAX_ANSWER_BYTES:
                ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
                piece = os.read(pipe.fileno(), 2**20) if ready else b""
                if not piece:
                    break
                answer += piece
                at = answer.rfind(b"\n" + END, max(len(answer) - 64, 0))
                if at >= 0 and answer.endswith(b"\n"):
                    return bytes(answer[:at]), int(answer[at + 1 + len(END) :])
        self.kill()
        return b"", signal.SIGKILL

    def kill(self) -> None:
        """End it, and what it reads."""
        if self._process.poll() is None:  # later the number may be another process's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()


class SharedReader:
    """One reader for what a request asks of a stored file; one asks at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: ReaderProcess | None = None
        atexit.register(self.close)

    def ask(self, request: dict[str, Any], limits: ReadLimits) -> bytes:
        """Ask a running reader, or a new one where there is none."""
        with self._lock:
            if self._process is None or not self._process.is_alive():
                self._process = ReaderProcess()
            return self._process.ask(request, limits)

    def close(self) -> None:
        """End the reader."""
        if self._process is not None:
            self._process.kill()


SHARED = SharedReader()


def _problem(status: int, limits: ReadLimits) -> Invalid:
    """Return what a reader's end says of its file."""
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    log.warning("a reader of an upload ended: %s", signal.Signals(ended_by).name if ended_by else status >> 8)
    if ended_by in (signal.SIGXCPU, signal.SIGALRM):
        most = limits.cpu_s
        detail = f"reading the file takes more than {most} s of a core: upload it in parts, or as Parquet or NPZ"
        return _invalid("too_slow", f"{detail} (the server's limit SADDLE_READ_S).", most)
    if ended_by in (signal.SIGKILL, signal.SIGABRT) or status >> 8 == OUT_OF_MEMORY:
        memory = limits.memory_bytes
        detail = f"reading the file takes more than {memory} bytes of memory: upload it in parts, or in smaller rows"
        advice = "and row groups (the server's limit SADDLE_READ_MEMORY_BYTES)."
        return _invalid("too_much_memory", f"{detail} {advice}", memory)
    return _invalid("unreadable", "the file ends the process that reads it: it is damaged.")


def _invalid(code: str, detail: str, limit: int | None = None) -> Invalid:
    return Invalid.of([Problem("", code, detail, limit)])
