"""What waits for an upload comes back in its order: no end overtakes a checkpoint, however the threads run."""

import queue
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from service.db.runs.leases import SavedCheckpoint
from service.storage.bucket import Bucket
from service.storage.files import STATE, TENSORS, sha256_of_folder
from service.storage.folder import Folder
from worker.supervisor.checkpoint_transfer import Keeper
from worker.supervisor.spool import Frame

RUN = "run_01hzzzzzzzzzzzzzzzzzzzzzzz/a1-0123abcd"


class Bench:
    """A keeper, the supervision's queue, and checkpoints as a trainer writes them."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.frames: queue.Queue[Frame] = queue.Queue()
        self.keeper = Keeper(Bucket(f"s3://saddle/{cache.name}"), cache, "lease", self.frames.put)

    def checkpoint(self, step: int) -> dict[str, Any]:
        folder = self.cache / RUN / f"step-{step}"
        folder.mkdir(parents=True)
        (folder / STATE).write_text("{}")
        (folder / TENSORS).write_bytes(b"weights")
        return {"type": "checkpoint", "step": step, "reason": "due", "folder": str(folder)} | {
            "sha256": sha256_of_folder(folder)
        }

    def handled(self, until: str) -> list[Any]:
        """As the supervision does: what is not taken is handled; the handled frames up to one of this type."""
        seen: list[Any] = []
        while not seen or seen[-1]["type"] != until:
            header, _ = self.frames.get(timeout=20)
            if not self.keeper.takes(header):
                seen.append(header or {"type": "died"})
        return seen


@pytest.fixture
def bench(s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return Bench(tmp_path)


@pytest.mark.parametrize("last", ["end", "failed", None])
@pytest.mark.parametrize("late_s", [0.0, 0.2])
def test_an_end_comes_after_every_checkpoint_before_it(bench: Bench, last: str | None, late_s: float) -> None:
    for step in (1, 2):
        bench.frames.put((bench.checkpoint(step), b""))
    header, _ = bench.frames.get()
    assert bench.keeper.takes(header)
    time.sleep(late_s)  # the first upload is over, or not
    bench.frames.put((None if last is None else {"type": last, "outcome": "succeeded"}, b""))
    seen = bench.handled(last or "died")
    assert [each.get("step") for each in seen] == [1, 2, None]
    assert seen[0]["folder"].startswith("s3://saddle/")
    assert not list(bench.cache.rglob(TENSORS))  # sent away


def test_a_cancelled_run_waits_for_nothing(bench: Bench) -> None:
    assert bench.keeper.takes(bench.checkpoint(1))
    assert not bench.keeper.takes({"type": "end", "outcome": "cancelled"})


def test_what_cannot_be_stored_is_said_and_what_comes_after_still_comes(bench: Bench) -> None:
    wrong = bench.checkpoint(1) | {"sha256": "0" * 64}
    bench.frames.put((wrong, b""))
    bench.frames.put(({"type": "end", "outcome": "paused"}, b""))
    failed, end = bench.handled("end")
    assert (failed["type"], failed["step"]) == ("checkpoint_failed", 1)
    assert "not what was sent" in failed["detail"]
    assert end["outcome"] == "paused"


def test_nothing_comes_back_after_it_is_closed(bench: Bench) -> None:
    bench.keeper.close()
    assert bench.keeper.takes(bench.checkpoint(1))
    with pytest.raises(queue.Empty):
        bench.frames.get(timeout=1.0)
    assert not any(thread.name == "keeper" and not thread.daemon for thread in threading.enumerate())


def test_a_fetched_checkpoint_is_whole_and_a_damaged_one_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.frames.put((bench.checkpoint(1), b""))
    (stored,) = bench.handled("checkpoint")
    saved = SavedCheckpoint(1, stored["folder"], stored["sha256"], 9)
    assert bench.keeper.fetch(saved) is None
    (fetched,) = bench.handled("fetched")
    assert sha256_of_folder(Path(fetched["folder"])) == saved.sha256
    bench.keeper.fetch(SavedCheckpoint(1, stored["folder"], "0" * 64, 9))
    (failed,) = bench.handled("failed")
    assert (failed["kind"], "differs" in failed["detail"]) == ("checkpoint_damaged", True)
    bench.keeper.fetch(SavedCheckpoint(7, stored["folder"].replace("step-1", "step-7"), "0" * 64, 9))
    (gone,) = bench.handled("failed")
    assert gone["detail"] == "the checkpoint step-7 is not there any more"


def test_in_a_shared_folder_nothing_waits(tmp_path: Path) -> None:
    keeper = Keeper(Folder(tmp_path), tmp_path, "lease", lambda frame: None)
    assert not keeper.takes({"type": "checkpoint"})
    assert not keeper.takes(None)
    assert keeper.folder(tmp_path / RUN) == tmp_path / RUN
