"""Receive uploaded files and have them read, without delaying other requests.

Dedicated threads write the files, processes of their own read them, and no database connection is held meanwhile.
"""

import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Query, Request
from pydantic import AfterValidator

from service.api.body import content_length
from service.api.dependencies import PrincipalDep, RuntimeDep, read_in_thread
from service.db.access.principal import Principal
from service.db.experiments.upload_room import UploadRoom, upload_room
from service.errors import DiskReserved, TooLarge, TooSlow, Unavailable, UnsupportedMedia
from service.ingest.upload_files import IncomingUpload
from service.process.concurrency import acquire_slot
from service.process.runtime import Runtime
from service.process.unnamed_files import remove_unless_named
from service.spec.datasets.report import Format, Report
from service.spec.text import clean_name, visible_name
from service.storage.disk import reserve_problem
from service.storage.factory import open_uploads

SLOT_TIMEOUT_S = 5.0  # for room among the uploads of this process
GRACE_S = 30.0  # that a client may let the server wait at once, and before its average rate counts
BLOCK_BYTES = 2**20  # written at once
log = logging.getLogger(__name__)

FileName = Annotated[
    str,
    Query(min_length=1, max_length=128, description="a name, not a path"),
    AfterValidator(clean_name),
    AfterValidator(visible_name),
]
Declared = Annotated[Format | None, Query(description="by default detected from the content")]
Header = Annotated[
    bool | None, Query(description="CSV only: whether the first line names the columns; by default detected")
]


@dataclass(frozen=True)
class ReadUpload:
    """A file that has arrived, and what is in it."""

    name: str
    incoming: IncomingUpload
    report: Report


async def read_upload(
    request: Request,
    runtime: RuntimeDep,
    principal: PrincipalDep,
    name: FileName,
    format: Declared = None,
    header: Header = None,
) -> AsyncIterator[ReadUpload]:
    """Receive the file, have it read, and send it to its storage; it is removed unless the route stores a row."""
    _check_headers(request, runtime.settings.upload_bytes)
    if reserve_problem(runtime.settings.data_dir, runtime.settings.disk_reserve_bytes):
        raise DiskReserved("The server's disk has only its reserve left (SADDLE_DISK_RESERVE_BYTES): tell an operator.")
    async with acquire_slot(runtime.upload_slots, SLOT_TIMEOUT_S, "Too many files are being uploaded."):
        runtime.file_readers.prepare()
        default = runtime.settings.project_bytes
        room = await read_in_thread(runtime, principal, lambda connection: upload_room(connection, principal, default))
        upload = _Receiver(runtime, principal, room)
        incoming = await upload.begin(content_length(request))
        try:
            await upload.receive(request, incoming)
            asked = {"path": str(incoming.path.resolve()), "format": format, "name": name, "header": header}
            with request.state.visit.outside():
                report = await runtime.file_readers.read(principal.project_id, asked)
            await send_to_storage(runtime, incoming)
            try:
                yield ReadUpload(name, incoming, report)
            except Exception:  # no row names it, unless the same file was stored before
                await anyio.to_thread.run_sync(remove_unless_named, runtime.engine, runtime.settings, incoming.sha256)
                raise
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(incoming.discard, limiter=runtime.file_threads)


UploadDep = Annotated[ReadUpload, Depends(read_upload, scope="function")]


def _check_headers(request: Request, limit: int) -> None:
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise UnsupportedMedia("Send the file itself as the body, not a form.")
    if content_length(request) > limit:
        raise TooLarge(f"The file is longer than {limit} bytes.")


class _Receiver:
    """Writes the body of one upload to a file; every limit is checked as it arrives, whatever the headers say."""

    def __init__(self, runtime: Runtime, principal: Principal, room: UploadRoom) -> None:
        self._runtime, self._principal, self._room = runtime, principal, room
        self._waited_s, self._received = 0.0, 0

    async def begin(self, declared_bytes: int) -> IncomingUpload:
        """Return a new file, or raise what its declared size is refused for."""

        def begin() -> IncomingUpload:
            owner = (self._principal.project_id, self._principal.member_id)
            incoming = self._runtime.unfinished_uploads.begin(*owner, declared_bytes)
            try:
                self._check(incoming, declared_bytes)
            except BaseException:
                incoming.discard()
                raise
            return incoming

        return await anyio.to_thread.run_sync(begin, limiter=self._runtime.file_threads)

    async def receive(self, request: Request, incoming: IncomingUpload) -> None:
        """Write the body to the file."""
        limit, threads = self._runtime.settings.upload_bytes, self._runtime.file_threads

        def write(block: bytes) -> None:
            incoming.write(block)
            self._check(incoming, incoming.size_bytes)

        async for block in self._blocks(request):
            if incoming.size_bytes + len(block) > limit:
                raise TooLarge(f"The file is longer than {limit} bytes.")
            await anyio.to_thread.run_sync(write, block, limiter=threads)
        await anyio.to_thread.run_sync(incoming.close, limiter=threads)

    def _check(self, incoming: IncomingUpload, size_bytes: int) -> None:
        """Raise where the file has no room beside what is stored and what is unfinished."""
        owner = (self._principal.project_id, self._principal.member_id)
        project, person = self._runtime.unfinished_uploads.check(incoming, *owner)
        self._room.check(size_bytes, project.size_bytes, person.size_bytes)

    async def _blocks(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body in blocks of about 1 MiB."""
        parts, size = list[bytes](), 0
        stream = request.stream().__aiter__()
        while (part := await self._next(stream)) is not None:
            parts.append(part)
            size += len(part)
            if size >= BLOCK_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
        yield b"".join(parts)

    async def _next(self, parts: AsyncIterator[bytes]) -> bytes | None:
        """Return the next bytes of the body, None at its end; raise `TooSlow` for a client that lets us wait."""
        rate = self._runtime.settings.upload_bytes_per_s
        patience_s = min(GRACE_S, GRACE_S + self._received / rate - self._waited_s)
        began = time.monotonic()
        try:
            with anyio.fail_after(max(patience_s, 0)):
                part = await anext(parts, None)
        except TimeoutError:
            detail = f"An upload must arrive at {rate} bytes/s on average, and pause for at most {GRACE_S:.0f} s"
            raise TooSlow(f"{detail}; after {self._waited_s:.0f} s {self._received} bytes had arrived.") from None
        self._waited_s += time.monotonic() - began
        self._received += len(part or b"")
        return part


async def send_to_storage(runtime: Runtime, incoming: IncomingUpload) -> None:
    """Send a checked file to its storage, before a transaction that would wait for it is open."""
    send = open_uploads(runtime.settings).send
    with _storage_errors():
        await anyio.to_thread.run_sync(send, incoming.path, incoming.sha256, limiter=runtime.file_threads)


def keep_in_storage(runtime: Runtime, incoming: IncomingUpload) -> None:
    """Have the storage take the file over, once a row that is not committed yet names it."""
    with _storage_errors():
        incoming.keep(open_uploads(runtime.settings))


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.warning("an upload could not be stored: %s", error)
        raise Unavailable("The storage of uploads does not answer.") from error
