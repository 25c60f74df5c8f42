"""Readers of uploaded files: processes beside the API's, each of which reads one file at a time under limits."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio import CapacityLimiter

from service.errors import Unavailable
from service.ingest.reader import ReadLimits
from service.ingest.reader_process import ReaderProcess
from service.spec.datasets.report import Report

READERS, READERS_OF_PROJECT = 2, 1  # files read at once: one project's leave a reader to the others
WAIT_S = 120.0  # for a reader: sending the file again would cost more


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
        return Report.model_validate_json(reader.ask(request, self.limits))

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
