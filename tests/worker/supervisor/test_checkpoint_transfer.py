"""What waits for an upload comes back in its order: no end overtakes a checkpoint, however the threads run."""

import queue
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.db.runs.claims import SavedCheckpoint
from service.storage.bucket import BucketStore
from service.storage.files import STATE, TENSORS, sha256_of_folder
from service.storage.folder import FolderStore
from worker.protocol import Checkpoint, CheckpointFailed, Died, Ended, Failed, Fetched, Frame
from worker.supervisor.checkpoint_transfer import CheckpointTransfer

RUN = "run_01hzzzzzzzzzzzzzzzzzzzzzzz/a1-0123abcd"


class Bench:
    """A transfer, the frame queue, and checkpoints as a trainer writes them."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.frames: queue.Queue[Frame] = queue.Queue()
        self.transfer = CheckpointTransfer(BucketStore(f"s3://saddle/{cache.name}"), cache, "lease", self.frames.put)

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
def bench(s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return Bench(tmp_path)


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
    assert end == replace(last, lease=end.lease)
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
    assert not any(thread.name == "checkpoint-transfer" and not thread.daemon for thread in threading.enumerate())


def test_a_fetched_checkpoint_is_whole_and_a_damaged_one_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.frames.put(bench.checkpoint(1))
    (stored,) = bench.handled(Checkpoint)
    assert isinstance(stored, Checkpoint)
    saved = SavedCheckpoint(1, stored.folder, stored.sha256, 9)
    assert bench.transfer.fetch(saved) is None
    (fetched,) = bench.handled(Fetched)
    assert isinstance(fetched, Fetched)
    assert sha256_of_folder(Path(fetched.folder)) == saved.sha256
    bench.transfer.fetch(SavedCheckpoint(1, stored.folder, "0" * 64, 9))
    (damaged,) = bench.handled(Failed)
    assert isinstance(damaged, Failed)
    assert (damaged.kind, "differs" in damaged.detail, damaged.trainer_usable) == ("checkpoint_damaged", True, True)
    bench.transfer.fetch(SavedCheckpoint(7, stored.folder.replace("step-1", "step-7"), "0" * 64, 9))
    (gone,) = bench.handled(Failed)
    assert isinstance(gone, Failed)
    assert gone.detail == "the checkpoint step-7 is missing from the storage"


def test_in_a_shared_folder_nothing_waits(tmp_path: Path) -> None:
    transfer = CheckpointTransfer(FolderStore(tmp_path), tmp_path, "lease", lambda frame: None)
    assert not transfer.intercepts(Checkpoint(step=1, folder="", sha256="", size_bytes=1))
    assert not transfer.intercepts(Died())
    assert transfer.trainer_folder(tmp_path / RUN) == tmp_path / RUN
