"""Receive and parse uploaded files without delaying other requests.

Dedicated threads write the files. A large file is parsed in a separate process: in a thread, parsing would block the
event loop; and a file that takes too much time or memory ends that process, not the server.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import anyio
from anyio import BrokenWorkerProcess
from fastapi import Depends, Request

from service.api.body import content_length
from service.api.dependencies import RuntimeDep
from service.errors import Invalid, Malformed, Problem, TooLarge, Unavailable, UnsupportedMedia
from service.ingest.upload_files import IncomingUpload
from service.process.concurrency import acquire_slot
from service.process.runtime import Runtime
from service.spec.datasets.report import Report
from service.storage.factory import open_uploads

BLOCK_TIMEOUT_S = 30.0  # for the next bytes of a body
SLOT_TIMEOUT_S = 120.0  # to wait for a reader: sending the file again would cost more
READ_TIMEOUT_S = 300.0  # for parsing one file
BLOCK_BYTES = 2**20  # written at once
MAX_THREAD_BYTES = 2**19  # larger files are parsed in a process, which takes longer to start
log = logging.getLogger(__name__)


async def receive_upload(request: Request, runtime: RuntimeDep) -> AsyncIterator[IncomingUpload]:
    """Write the body to a temporary file; the limit is checked while it arrives, whatever the headers say."""
    limit = runtime.settings.upload_bytes
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise UnsupportedMedia("Send the file itself as the body, not a form.")
    if content_length(request) > limit:
        raise TooLarge(f"The file is longer than {limit} bytes.")
    threads = runtime.file_threads
    incoming = await anyio.to_thread.run_sync(IncomingUpload, runtime.settings.dataset_dir, limiter=threads)
    try:
        async for block in _blocks(request):
            if incoming.size_bytes + len(block) > limit:
                raise TooLarge(f"The file is longer than {limit} bytes.")
            await anyio.to_thread.run_sync(incoming.write, block, limiter=threads)
        await anyio.to_thread.run_sync(incoming.close, limiter=threads)
        yield incoming
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(incoming.discard, limiter=threads)


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in blocks of about 1 MiB."""
    parts, size = list[bytes](), 0
    stream = request.stream().__aiter__()
    while (part := await _next(stream)) is not None:
        parts.append(part)
        size += len(part)
        if size >= BLOCK_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    """Return the next bytes of the body; None at its end."""
    try:
        with anyio.fail_after(BLOCK_TIMEOUT_S):
            return await anext(parts, None)
    except TimeoutError:
        raise Malformed(f"No data arrived for {BLOCK_TIMEOUT_S:.0f} s.") from None


IncomingDep = Annotated[IncomingUpload, Depends(receive_upload, scope="function")]


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


async def read_report(runtime: Runtime, incoming: IncomingUpload, inspect: Callable[[Path], Report]) -> Report:
    """Return what `inspect` finds in the file once a reader is free; raise `Invalid` if it cannot be read."""
    async with acquire_slot(runtime.file_readers, SLOT_TIMEOUT_S, "Too many files are being read."):
        if incoming.size_bytes <= MAX_THREAD_BYTES:
            return await anyio.to_thread.run_sync(inspect, incoming.path)
        try:
            with anyio.fail_after(READ_TIMEOUT_S):
                return await anyio.to_process.run_sync(inspect, incoming.path, cancellable=True)
        except TimeoutError:
            raise _unreadable(f"reading it takes longer than {READ_TIMEOUT_S:.0f} s: send it in parts.") from None
        except BrokenWorkerProcess as error:
            log.warning("the process that read an upload died: %r", error.__cause__)
            raise _unreadable("reading it needs more memory than the server has: send it in parts.") from None


def _unreadable(detail: str) -> Invalid:
    return Invalid.of([Problem("", "unreadable", detail)])
