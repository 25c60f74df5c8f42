"""Transfers of checkpoints and uploads between this machine's disk and their storage, on a thread of their own.

Frames that depend on an upload are intercepted and put back in order: a checkpoint once it is stored, an end or a
failure once every earlier checkpoint is. With a shared folder no frame waits.
"""

import errno
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from service.db.runs.claims import SavedCheckpoint
from service.errors import RunFailure
from service.storage.files import sha256_of_folder
from service.storage.store import Store
from service.storage.uploads import DamagedFile, UploadStore
from worker.protocol import Checkpoint, CheckpointFailed, Died, Ended, Failed, Fetched, Frame

log = logging.getLogger(__name__)
RETRY_S = 2.0  # between attempts to fetch while the storage does not answer


class FileTransfer:
    """The transfers of one attempt; `put_back` puts a frame, marked with the lease, into the frame queue."""

    def __init__(
        self, store: Store, uploads: UploadStore, cache: Path, lease: str, put_back: Callable[[Frame], None]
    ) -> None:
        self.store, self.uploads, self.cache, self.lease, self.put_back = store, uploads, cache, lease, put_back
        self.fetching = False  # the trainer waits for what the run starts from
        self.ending = False  # the trainer has ended the run; its last checkpoint is being uploaded
        self._fetched: dict[str, Path] = {}  # checkpoints by location
        self._held = ExitStack()  # the upload, until the attempt is over
        self._uploads = 0  # intercepted checkpoints that have not come back
        self._closed = threading.Event()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Put no more frames back and let the upload go; a running transfer finishes."""
        self._closed.set()
        if self._thread is not None:
            self._jobs.put(None)

    def trainer_folder(self, final: Path) -> Path:
        """Return where the trainer writes: the final folder, or one in the cache to upload from."""
        return final if self.store.in_place else self.cache / final.parent.name / final.name

    def fetch(self, saved: SavedCheckpoint | None, uploads: Sequence[str]) -> bool:
        """Whether what a run starts from is on this machine; else `Fetched` or a failure follows."""
        if (saved is None or self.store.in_place) and (not uploads or self.uploads.in_place):
            return True
        self.fetching = True
        self._submit(partial(self._fetch, saved, uploads))
        return False

    def _fetch(self, saved: SavedCheckpoint | None, uploads: Sequence[str]) -> None:
        """Fetch all, retrying while a storage does not answer."""
        while not self._closed.is_set():
            try:
                for sha256 in uploads:
                    self._fetch_upload(sha256)
                if saved is not None and not self.store.in_place:
                    self._fetch_checkpoint(saved)
                self._put_back(Fetched())
            except RunFailure as failure:
                self._put_back(Failed(kind=failure.kind, detail=failure.detail, trainer_usable=True))
            except OSError as error:
                log.warning("what the run starts from cannot be fetched (%s); trying again", error)
                self._closed.wait(RETRY_S)
                continue
            return

    def _fetch_upload(self, sha256: str) -> None:
        try:
            self._held.enter_context(self.uploads.opened(sha256))
        except FileNotFoundError:
            detail = f"the uploaded file {sha256[:12]} is missing from the storage"
            raise RunFailure("dataset_missing", detail) from None
        except DamagedFile as error:
            raise RunFailure("dataset_changed", str(error)) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                detail = "the upload does not fit on this worker's disk"
                raise RunFailure("out_of_disk", detail) from error
            raise

    def _fetch_checkpoint(self, saved: SavedCheckpoint) -> None:
        name = saved.folder.rsplit("/", 1)[-1]
        try:
            folder = self._fetched[saved.folder] = self.store.fetch(saved.folder, self.cache)
        except FileNotFoundError:
            raise RunFailure("checkpoint_damaged", f"the checkpoint {name} is missing from the storage") from None
        if sha256_of_folder(folder) != saved.sha256:
            detail = f"the checkpoint {name} is not what was written: its sha256 differs"
            raise RunFailure("checkpoint_damaged", detail)

    def prefetch(self, saved: Sequence[SavedCheckpoint]) -> None:
        """Fetch these before the checkpoint to start from, so `local_folder` finds them once that has arrived."""
        if not self.store.in_place:
            for each in saved:
                self._submit(partial(self._prefetch, each))

    def _prefetch(self, saved: SavedCheckpoint) -> None:
        try:
            self._fetched[saved.folder] = self.store.fetch(saved.folder, self.cache)
        except OSError as error:  # the probe that needs it reports that it is missing
            log.warning("a checkpoint to compare with cannot be fetched (%s)", error)

    def local_folder(self, saved: SavedCheckpoint) -> Path:
        """Return a checkpoint's folder on this machine, whether it exists or not."""
        try:
            return self.store.fetch(saved.folder, self.cache) if self.store.in_place else self._fetched[saved.folder]
        except (KeyError, FileNotFoundError):
            return Path(saved.folder)

    def intercepts(self, frame: Frame) -> bool:
        """Whether this frame must wait for an upload and is put back later."""
        if self.store.in_place:
            return False
        if frame.put_back:  # its upload has finished
            self._uploads -= frame.lease == self.lease and isinstance(frame, Checkpoint | CheckpointFailed)
            return False
        if isinstance(frame, Checkpoint):
            self._uploads += 1
            self._submit(partial(self._upload, frame))
            return True
        is_last = isinstance(frame, Failed | Died) or (isinstance(frame, Ended) and frame.outcome != "cancelled")
        if is_last and self._uploads:
            self.ending = True
            self._submit(partial(self._put_back, frame))
            return True
        return False

    def _upload(self, frame: Checkpoint) -> None:
        folder, began = Path(frame.folder), time.monotonic()
        stored: Frame
        try:
            location = self.store.keep(folder, frame.sha256)
            log.info("stored %s in %.1f s", location, time.monotonic() - began)
            stored = replace(frame, folder=location)
        except OSError as error:
            stored = CheckpointFailed(step=frame.step, reason=frame.reason, detail=f"it could not be stored: {error}")
        shutil.rmtree(folder, ignore_errors=True)
        self._put_back(stored)

    def remove(self, locations: list[str]) -> None:
        """Remove checkpoints without a row; the next cleanup retries what fails."""
        if self.store.in_place:
            self._remove(locations)
        elif locations:
            self._submit(partial(self._remove, locations))

    def _remove(self, locations: list[str]) -> None:
        for location in locations:
            try:
                self.store.remove(location)
            except OSError as error:
                log.warning("%s could not be removed: %s", location, error)

    def _put_back(self, frame: Frame) -> None:
        if not self._closed.is_set():
            self.put_back(replace(frame, lease=self.lease, put_back=True))

    def _submit(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="file-transfer", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # if this thread died, the run's last frame would never come back
                log.exception("a transfer failed")
        self._held.close()
