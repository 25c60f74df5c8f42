"""One broadcaster a process: polls for news of all followed runs and projects and hands them to every reader.

Messages carry positions, so a reader can tell whether one follows on what it has. If not (it joined late, or the run
was cut back), it reads the database itself and continues from there. Nothing is missed or repeated at any timing.
"""

import logging
import time
from typing import Any

import anyio

from service.db.access.principal import Principal
from service.db.session import Engine
from service.diagnosis.diagnose_run import diagnosis_event
from service.errors import SaddleError
from service.streaming.poller import Poller
from service.streaming.positions import ProjectPosition, RunPosition
from service.streaming.readers import Batch, Channel, Reader
from service.streaming.updates import Message, P

SHUTDOWN_S = 2.0  # for the poll that is under way when the process ends
DIAGNOSE_S = 5.0  # least time between two rounds of diagnoses
CHECK_CREDENTIALS_S = 0.5  # between two checks that keys and sessions are still open, and runs still shared
log = logging.getLogger(__name__)


class Broadcaster:
    """Followed runs and projects by id. Only polls and diagnoses run in threads; everything else in the event loop."""

    def __init__(self, engine: Engine, poll_s: float) -> None:
        self._engine, self._poll_s = engine, poll_s
        self._poller = Poller(engine)
        self._polling = anyio.Lock()
        self._runs: dict[str, Channel[RunPosition]] = {}
        self._projects: dict[str, Channel[ProjectPosition]] = {}
        self._credentials_checked = 0.0
        self._closed = False
        self._has_readers = anyio.Event()

    def follow(self, run_id: str, principal: Principal) -> Reader[RunPosition]:
        """Return a reader of a run that the principal may see; give it back with `leave`."""
        reader = self._join(self._runs, run_id, principal)
        channel = self._runs[run_id]
        if channel.diagnosis is not None:
            reader.put(Batch([Message(channel.diagnosis.text)], channel.position))
        return reader

    def follow_project(self, principal: Principal) -> Reader[ProjectPosition]:
        """Return a reader of the principal's project; give it back with `leave`."""
        self._poller.resend(principal.project_id)  # the new reader needs all running runs
        return self._join(self._projects, principal.project_id, principal)

    def _join(self, channels: dict[str, Channel[P]], name: str, principal: Principal) -> Reader[P]:
        reader: Reader[P] = Reader(principal)
        channels.setdefault(name, Channel()).readers.add(reader)
        self._has_readers.set()
        if self._closed:
            reader.drop("ending")
        return reader

    def leave(self, reader: Reader[Any]) -> None:
        """Remove a reader, and its channel if it was the last."""
        _remove(self._runs, reader)
        _remove(self._projects, reader)

    async def run(self, shutting_down: anyio.Event) -> None:
        """Serve until the process shuts down, then end every stream, whatever Postgres does."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._poll)
            tasks.start_soon(self._diagnose)
            await shutting_down.wait()
            self._closed = True
            for reader in self._readers():
                reader.drop("ending")
            with anyio.move_on_after(SHUTDOWN_S):  # a poll under way gives its connection back
                await self._polling.acquire()
            tasks.cancel_scope.cancel()

    async def _poll(self) -> None:
        while True:
            if not (self._runs or self._projects):
                self._has_readers = anyio.Event()
                await self._has_readers.wait()
            began = time.monotonic()
            await self._poll_once()
            await anyio.sleep(max(self._poll_s - (time.monotonic() - began), 0))

    async def _poll_once(self) -> None:
        """Poll and hand out the news; the next poll makes up for a failed one."""
        runs = {run_id: channel.position for run_id, channel in self._runs.items()}
        projects = {project_id: channel.position for project_id, channel in self._projects.items()}
        due = self._credentials_due()
        shown = {reader.principal.access for reader in self._readers()} if due else set()
        followed = {(run_id, reader.principal.project_id) for run_id, reader in self._run_readers()} if due else set()
        try:
            async with self._polling:
                found = await anyio.to_thread.run_sync(
                    self._poller.poll, runs, projects, shown, followed, abandon_on_cancel=True
                )
        except SaddleError as error:
            log.warning("polling for news failed: %s", error)
            return
        except Exception:  # if this task died, every stream would fall silent
            log.exception("polling for news failed")
            return
        _publish(self._runs, found.runs)
        _publish(self._projects, found.projects)
        for reader in self._readers():
            if reader.principal.access in found.closed:
                reader.drop("revoked")
        for run_id, reader in self._run_readers():
            if (run_id, reader.principal.project_id) in found.hidden:
                reader.drop("revoked")

    def _credentials_due(self) -> bool:
        due = time.monotonic() - self._credentials_checked >= CHECK_CREDENTIALS_S
        if due:
            self._credentials_checked = time.monotonic()
        return due

    async def _diagnose(self) -> None:
        """Diagnose followed runs that moved, one at a time, for at most a tenth of the time."""
        while True:
            began = time.monotonic()
            for run_id, channel in list(self._runs.items()):
                if channel.readers and channel.position is not None and channel.position != channel.diagnosed_at:
                    await self._diagnose_run(run_id, channel)
            took = time.monotonic() - began
            await anyio.sleep(max(DIAGNOSE_S, 9 * took))

    async def _diagnose_run(self, run_id: str, channel: Channel[RunPosition]) -> None:
        """Send a run's diagnosis to its readers if it changed."""
        position, principal = channel.position, next(iter(channel.readers)).principal
        try:
            diagnosis = await anyio.to_thread.run_sync(
                diagnosis_event, self._engine, principal, run_id, abandon_on_cancel=True
            )
        except SaddleError as error:
            log.warning("diagnosing run %s failed: %s", run_id, error)
            return
        except Exception:  # a run that breaks a rule must not cost the others their diagnoses
            log.exception("diagnosing run %s failed", run_id)
            channel.diagnosed_at = position
            return
        before, channel.diagnosed_at = channel.diagnosis, position
        if before is None or before.found != diagnosis.found:
            channel.diagnosis = diagnosis
            channel.publish(Batch([Message(diagnosis.text)], position))

    def _run_readers(self) -> list[tuple[str, Reader[RunPosition]]]:
        return [(run_id, reader) for run_id, channel in self._runs.items() for reader in channel.readers]

    def _readers(self) -> list[Reader[Any]]:
        channels: list[Channel[Any]] = [*self._runs.values(), *self._projects.values()]
        return [reader for channel in channels for reader in channel.readers]


def _publish(channels: dict[str, Channel[P]], batches: dict[str, Batch[P]]) -> None:
    for name, batch in batches.items():
        if name in channels:
            channels[name].position = batch.position
            channels[name].publish(batch)


def _remove(channels: dict[str, Channel[P]], reader: Reader[P]) -> None:
    for name in [name for name, channel in channels.items() if reader in channel.readers]:
        channels[name].readers.discard(reader)
        if not channels[name].readers:
            del channels[name]
