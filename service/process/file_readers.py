"""Readers of uploaded files: processes beside the API's, each of which reads one file at a time under limits."""

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import anyio
from anyio import CapacityLimiter

from service.errors import Invalid, Problem, Unavailable
from service.ingest.reader import END, OUT_OF_MEMORY, PROBLEMS, REPORT, WALL_FACTOR, ReadLimits
from service.spec.datasets.report import Report

READERS, READERS_OF_PROJECT = 2, 1  # files read at once: one project's leave a reader to the others
WAIT_S = 120.0  # for a reader: sending the file again would cost more
STARTUP_S = 30.0  # beyond the file's own time
MAX_ANSWER_BYTES = 2**26
PRIVATE = ("SADDLE_", "AWS_", "PG")  # variables that a reader has no use for
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # a fork has one thread
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # reserves no address space, which the limit counts
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
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

    def ask(self, request: dict[str, Any], patience_s: float) -> tuple[bytes, int]:
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


class FileReaders:
    """The readers of an API process. They are started with the first file, and stay."""

    def __init__(self, limits: ReadLimits) -> None:
        self.limits = limits
        self._idle: list[ReaderProcess] = []
        self._all: set[ReaderProcess] = set()
        self._running: Counter[str] = Counter()  # by project
        self._changed = anyio.Condition()
        self._threads = CapacityLimiter(READERS)

    async def read(self, project_id: str, request: dict[str, Any]) -> Report:
        """Return the report that a reader makes once one is free; `Invalid` for a file that cannot be read."""
        async with self._turn(project_id):
            reader = self._idle.pop() if self._idle else self._start()
            try:
                report = await anyio.to_thread.run_sync(
                    self._ask, reader, request, limiter=self._threads, abandon_on_cancel=True
                )
            except anyio.get_cancelled_exc_class():
                reader.kill()
                raise
            finally:
                if reader.is_alive():
                    self._idle.append(reader)
                else:
                    self._all.discard(reader)
            return report

    def prepare(self) -> None:
        """Have a reader started, so that the next file need not wait for its start."""
        if not self._all:
            self._idle.append(self._start())

    def close(self) -> None:
        """End all readers."""
        for reader in self._all:
            reader.kill()

    def _start(self) -> ReaderProcess:
        reader = ReaderProcess()
        self._all.add(reader)
        return reader

    def _ask(self, reader: ReaderProcess, request: dict[str, Any]) -> Report:
        limits = asdict(self.limits)
        patience_s = self.limits.cpu_s * WALL_FACTOR + STARTUP_S
        answer, status = reader.ask(request | {"limits": limits}, patience_s)
        if status:
            raise self._problem(status)
        if answer.startswith(PROBLEMS):
            raise Invalid.of([Problem(**problem) for problem in json.loads(answer[len(PROBLEMS) :])])
        return Report.model_validate_json(answer[len(REPORT) :])

    def _problem(self, status: int) -> Invalid:
        """Return what a reader's end says of its file."""
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        log.warning("a reader of an upload ended: %s", signal.Signals(ended_by).name if ended_by else status >> 8)
        if ended_by in (signal.SIGXCPU, signal.SIGALRM):
            most = self.limits.cpu_s
            detail = f"reading the file takes more than {most} s of a core: upload it in parts, or as Parquet or NPZ"
            return _invalid("too_slow", f"{detail} (the server's limit SADDLE_READ_S).", most)
        if ended_by in (signal.SIGKILL, signal.SIGABRT) or status >> 8 == OUT_OF_MEMORY:
            memory = self.limits.memory_bytes
            detail = (
                f"reading the file takes more than {memory} bytes of memory: upload it in parts, or in smaller rows"
            )
            advice = "and row groups (the server's limit SADDLE_READ_MEMORY_BYTES)."
            return _invalid("too_much_memory", f"{detail} {advice}", memory)
        return _invalid("unreadable", "the file ends the process that reads it: it is damaged.")

    @asynccontextmanager
    async def _turn(self, project_id: str) -> AsyncIterator[None]:
        """Wait for a reader that this project may use; `Unavailable` where that takes too long."""
        try:
            with anyio.fail_after(WAIT_S):
                async with self._changed:
                    while not self._is_free(project_id):
                        await self._changed.wait()
                    self._running[project_id] += 1
        except TimeoutError:
            raise Unavailable("Too many files are being read: try again later.") from None
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._running[project_id] -= 1
                    self._running += Counter()  # without the projects that read none
                    self._changed.notify_all()

    def _is_free(self, project_id: str) -> bool:
        return self._running.total() < READERS and self._running[project_id] < READERS_OF_PROJECT


def _invalid(code: str, detail: str, limit: int | None = None) -> Invalid:
    return Invalid.of([Problem("", code, detail, limit)])
