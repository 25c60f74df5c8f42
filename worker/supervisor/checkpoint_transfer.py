"""Checkpoints between this machine's disk and where they are kept, on a thread of their own: beats go on meanwhile.

Frames of the trainer that must wait for an upload pass through here and come back in their order: a checkpoint once it
is stored, an end or a failure once every checkpoint before it is. With a shared folder nothing has to wait.
"""

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from service.db.runs.leases import SavedCheckpoint
from service.storage.files import sha256_of_folder
from service.storage.store import Store
from worker.supervisor.spool import Frame

log = logging.getLogger(__name__)
AGAIN_S = 2.0  # between two tries to fetch what does not come
DIED: dict[str, Any] = {"type": "died"}  # what stands for the end of the trainer's stream


class Keeper:
    """Of one attempt, whose lease marks every frame that comes back. `back` takes one into the supervision's queue."""

    def __init__(self, store: Store, cache: Path, lease: str, back: Callable[[Frame], None]) -> None:
        self.store, self.cache, self.lease, self.back = store, cache, lease, back
        self.fetching = False  # the trainer waits for the checkpoint to start from
        self.ending = False  # the trainer has ended the run; what it wrote last is on its way
        self._brought: dict[str, Path] = {}  # by location
        self._under_way = 0  # checkpoints taken that have not come back
        self._closed = threading.Event()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """No frame comes back any more; what is under way ends by itself."""
        self._closed.set()
        if self._thread is not None:
            self._jobs.put(None)

    def folder(self, otherwise: Path) -> Path:
        """Where the trainer is to write: where it stays, or what is sent from here."""
        return otherwise if self.store.in_place else self.cache / otherwise.parent.name / otherwise.name

    def fetch(self, saved: SavedCheckpoint) -> Path | None:
        """The folder to start from; None: a frame `fetched` brings it, or a `failed` one that says it is damaged."""
        if self.store.in_place:
            try:
                return self.store.fetch(saved.folder, self.cache)
            except FileNotFoundError:
                return Path(saved.folder)  # the trainer will say that there is nothing
        self.fetching = True
        self._do(lambda: self._fetch(saved))
        return None

    def _fetch(self, saved: SavedCheckpoint) -> None:
        """Again and again where the storage does not answer: that is not the run's fault."""
        damage = ""
        while not self._closed.is_set():
            try:
                folder = self.store.fetch(saved.folder, self.cache)
                if sha256_of_folder(folder) == saved.sha256:
                    self._return({"type": "fetched", "folder": str(folder)})
                    return
                damage = "is not what was written: its sha256 differs"
            except FileNotFoundError:
                damage = "is not there any more"
            except OSError as error:
                log.warning("the checkpoint to start from does not come (%s); trying again", error)
                self._closed.wait(AGAIN_S)
                continue
            detail = f"the checkpoint {saved.folder.rsplit('/', 1)[-1]} {damage}"
            self._return({"type": "failed", "kind": "checkpoint_damaged", "detail": detail})
            return

    def bring(self, saved: Sequence[SavedCheckpoint]) -> None:
        """Begin to fetch these; ask `place` once the checkpoint to start from is there, which comes behind them."""
        if not self.store.in_place:
            for each in saved:
                self._do(partial(self._bring, each))

    def _bring(self, saved: SavedCheckpoint) -> None:
        try:
            self._brought[saved.folder] = self.store.fetch(saved.folder, self.cache)
        except OSError as error:  # whoever wants to read it says so
            log.warning("a checkpoint to compare with does not come (%s)", error)

    def place(self, saved: SavedCheckpoint) -> Path:
        """The folder on this machine, whether it is there or not."""
        try:
            return self.store.fetch(saved.folder, self.cache) if self.store.in_place else self._brought[saved.folder]
        except (KeyError, FileNotFoundError):
            return Path(saved.folder)

    def takes(self, header: dict[str, Any] | None) -> bool:
        """Whether this frame waits here and comes back later; None is the end of the trainer's stream."""
        if self.store.in_place:
            return False
        if header is not None and "lease" in header:  # come back; only now may an end overtake it no more
            self._under_way -= header["lease"] == self.lease and header["type"] in ("checkpoint", "checkpoint_failed")
            return False
        header = header or DIED
        if header["type"] == "checkpoint":
            self._under_way += 1
            self._do(lambda: self._upload(header))
            return True
        if header["type"] in ("end", "failed", "died") and header.get("outcome") != "cancelled" and self._under_way:
            self.ending = True
            self._do(lambda: self._return(header))
            return True
        return False

    def _upload(self, header: dict[str, Any]) -> None:
        folder, begun = Path(header["folder"]), time.monotonic()
        try:
            location = self.store.keep(folder, header["sha256"])
            log.info("stored %s in %.1f s", location, time.monotonic() - begun)
            answer = header | {"folder": location}
        except OSError as error:
            answer = {"type": "checkpoint_failed", "step": header["step"], "reason": header["reason"]}
            answer |= {"detail": f"it could not be stored: {error}"}
        shutil.rmtree(folder, ignore_errors=True)
        self._return(answer)

    def remove(self, locations: list[str]) -> None:
        """Forget checkpoints that no row needs; what cannot be removed now is left to the next sweep."""
        if self.store.in_place:
            self._remove(locations)
        elif locations:
            self._do(lambda: self._remove(locations))

    def _remove(self, locations: list[str]) -> None:
        for location in locations:
            try:
                self.store.remove(location)
            except OSError as error:
                log.warning("%s could not be removed: %s", location, error)

    def _return(self, header: dict[str, Any]) -> None:
        if not self._closed.is_set():
            self.back((header | {"lease": self.lease}, b""))

    def _do(self, job: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # a thread that died would keep the run's last frame for ever
                log.exception("the keeper failed")
