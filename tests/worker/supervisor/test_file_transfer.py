"""What waits for an upload comes back in its order: no end overtakes a checkpoint, however the threads run."""

import errno
import hashlib
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.db.runs.claims import SavedCheckpoint
from service.storage.bucket import BucketStore
from service.storage.bucket_uploads import BucketUploads
from service.storage.files import STATE, TENSORS, sha256_of_folder
from service.storage.folder import FolderStore
from service.storage.uploads import DamagedFile, FolderUploads
from worker.protocol import Checkpoint, CheckpointFailed, Died, Ended, Failed, Fetched, Frame
from worker.supervisor import file_transfer
from worker.supervisor.file_transfer import FileTransfer

RUN = "run_01hzzzzzzzzzzzzzzzzzzzzzzz/a1-0123abcd"


class Bench:
    """A transfer, the frame queue, and checkpoints as a trainer writes them."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.frames: queue.Queue[Frame] = queue.Queue()
        url = f"s3://saddle/{cache.name}"
        self.uploads = BucketUploads(url, cache / "uploads", 2**20)
        self.transfer = FileTransfer(BucketStore(url), self.uploads, cache, "lease", self.frames.put)

    def checkpoint(self, step: int) -> Checkpoint:
        folder = self.cache / RUN / f"step-{step}"
        folder.mkdir(parents=True)
        (folder / STATE).write_text("{}")
        (folder / TENSORS).write_bytes(b"weights")
        return Checkpoint(step=step, folder=str(folder), sha256=sha256_of_folder(folder), size_bytes=9)

    def handled(self, until: type[Frame]) -> list[Frame]:
        """As the supervisor does: frames that are not intercepted are handled, up to the first of this kind."""
        seen: list[Frame] = []
        while not seen or not isinstance(seen[-1], until):
            frame = self.frames.get(timeout=20)
            if not self.transfer.intercepts(frame):
                seen.append(frame)
        return seen


ENDED = Ended(outcome="succeeded", step=3)
FAILED = Failed(kind="diverged", detail="", trainer_usable=True)


@pytest.fixture
def bench(s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    made = Bench(tmp_path)
    yield made
    made.transfer.close()


@pytest.mark.parametrize("last", [ENDED, FAILED, Died()], ids=lambda frame: frame.tag)
@pytest.mark.parametrize("late_s", [0.0, 0.2])
def test_an_end_comes_after_every_checkpoint_before_it(bench: Bench, last: Frame, late_s: float) -> None:
    for step in (1, 2):
        bench.frames.put(bench.checkpoint(step))
    assert bench.transfer.intercepts(bench.frames.get())
    time.sleep(late_s)  # the first upload is over, or not
    bench.frames.put(last)
    *stored, end = bench.handled(type(last))
    assert [each.step for each in stored if isinstance(each, Checkpoint)] == [1, 2]
    assert all(isinstance(each, Checkpoint) and each.folder.startswith("s3://saddle/") for each in stored)
    assert end == replace(last, lease=end.lease, put_back=True)
    assert not list(bench.cache.rglob(TENSORS))  # sent away


def test_a_cancelled_run_waits_for_nothing(bench: Bench) -> None:
    assert bench.transfer.intercepts(bench.checkpoint(1))
    assert not bench.transfer.intercepts(Ended(outcome="cancelled", step=2))


def test_what_cannot_be_stored_is_said_and_what_comes_after_still_comes(bench: Bench) -> None:
    bench.frames.put(replace(bench.checkpoint(1), sha256="0" * 64))
    bench.frames.put(Ended(outcome="paused", step=1))
    failed, end = bench.handled(Ended)
    assert isinstance(failed, CheckpointFailed)
    assert failed.step == 1
    assert "not what was sent" in failed.detail
    assert isinstance(end, Ended)
    assert end.outcome == "paused"


def test_nothing_comes_back_after_it_is_closed(bench: Bench) -> None:
    bench.transfer.close()
    assert bench.transfer.intercepts(bench.checkpoint(1))
    with pytest.raises(queue.Empty):
        bench.frames.get(timeout=1.0)
    assert not any(thread.name == "file-transfer" and not thread.daemon for thread in threading.enumerate())


def test_a_fetched_checkpoint_is_whole_and_a_damaged_one_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.frames.put(bench.checkpoint(1))
    (stored,) = bench.handled(Checkpoint)
    assert isinstance(stored, Checkpoint)
    saved = SavedCheckpoint(1, stored.folder, stored.sha256, 9)
    assert not bench.transfer.fetch(saved, [])
    assert isinstance(bench.handled(Fetched)[-1], Fetched)
    assert sha256_of_folder(bench.transfer.local_folder(saved)) == saved.sha256
    bench.transfer.fetch(SavedCheckpoint(1, stored.folder, "0" * 64, 9), [])
    (damaged,) = bench.handled(Failed)
    assert isinstance(damaged, Failed)
    assert (damaged.kind, "differs" in damaged.detail, damaged.trainer_usable) == ("checkpoint_damaged", True, True)
    bench.transfer.fetch(SavedCheckpoint(7, stored.folder.replace("step-1", "step-7"), "0" * 64, 9), [])
    (gone,) = bench.handled(Failed)
    assert isinstance(gone, Failed)
    assert gone.detail == "the checkpoint step-7 is missing from the storage"


def test_a_fetched_upload_stays_until_the_attempt_is_over(bench: Bench, tmp_path: Path) -> None:
    content = b"a,b\n1,2\n"
    sha256 = hashlib.sha256(content).hexdigest()
    (tmp_path / "arrived").write_bytes(content)
    bench.uploads.send(tmp_path / "arrived", sha256)
    assert not bench.transfer.fetch(None, [sha256])
    bench.handled(Fetched)
    bench.uploads.remove(sha256)  # its object; the copy is in use
    copy = bench.uploads.folder / sha256 / "content"
    assert copy.read_bytes() == content
    bench.transfer.close()
    assert bench.transfer._thread is not None
    bench.transfer._thread.join(20)
    bench.uploads.remove(sha256)
    assert not copy.exists()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(), "dataset_missing"),
        (DamagedFile("its sha256 differs"), "dataset_changed"),
        (OSError(errno.ENOSPC, "No space left on device"), "out_of_disk"),
    ],
)
def test_an_upload_that_cannot_be_had_fails_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: OSError, kind: str
) -> None:
    def opened(sha256: str) -> Any:
        raise error

    monkeypatch.setattr(bench.uploads, "opened", opened)
    bench.transfer.fetch(None, ["0" * 64])
    (failed,) = bench.handled(Failed)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.trainer_usable) == (kind, True)


def test_an_upload_is_waited_for_while_the_bucket_does_not_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([OSError("no route"), nullcontext()])

    def opened(sha256: str) -> Any:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(bench.uploads, "opened", opened)
    monkeypatch.setattr(file_transfer, "RETRY_S", 0.01)
    bench.transfer.fetch(None, ["0" * 64])
    assert bench.transfer.fetching
    bench.handled(Fetched)


def test_in_a_shared_folder_nothing_waits(tmp_path: Path) -> None:
    uploads = FolderUploads(tmp_path / "datasets")
    transfer = FileTransfer(FolderStore(tmp_path), uploads, tmp_path, "lease", lambda frame: None)
    assert transfer.fetch(SavedCheckpoint(1, str(tmp_path / RUN / "step-1"), "0" * 64, 9), ["0" * 64])
    assert not transfer.intercepts(Checkpoint(step=1, folder="", sha256="", size_bytes=1))
    assert not transfer.intercepts(Died())
    assert transfer.trainer_folder(tmp_path / RUN) == tmp_path / RUN
