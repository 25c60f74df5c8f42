"""Loader processes: the same images whoever makes them, and no process left after a run or a killed trainer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ingest.mounted_files import cifar
from tests.worker.trainer.augment.test_augment import spec_of
from worker.trainer.data import loader_processes
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.loader_processes import LoaderProcesses, processes_for
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")
LIST = ({"kind": "crop", "padding": 2}, {"kind": "rand_augment"}, {"kind": "mixup"})
KILLED = """
import sys, torch
from worker.trainer.data.loader_processes import LoaderProcesses

def make(step):
    return torch.full((2,), step), torch.zeros(2)

loader = LoaderProcesses(make, 10**6, 2)
loader.take(1)
print("ready", flush=True)
sys.stdin.read()
"""


def children(pid: int) -> list[int]:
    """The processes whose parent this one is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def losses(files: DatasetFolders, processes: object, dropout: float, last: int = 8) -> list[float]:
    assert files.mounted is not None
    model = {"kind": "mlp", "hidden": (8,), "dropout": dropout}
    spec = spec_of(files.mounted, *LIST, resources={"loader_processes": processes}, model=model)
    before, found = children(os.getpid()), []
    for step in train(prepare(spec, 0, CPU, files)):
        found.append(float(step.loss))
        started = len(children(os.getpid())) - len(before)
        assert started == processes if isinstance(processes, int) else started >= 0
        if step.step == last:
            break
    assert children(os.getpid()) == before
    return found


def test_the_number_of_processes_changes_no_bit(tmp_path: Path) -> None:
    files = DatasetFolders(tmp_path / "datasets", mounted=tmp_path / "mounted")
    cifar(tmp_path / "mounted", 1, 20)
    none = losses(files, 0, dropout=0.3)
    assert len(set(none)) == 8
    assert losses(files, 1, dropout=0.3) == none
    assert losses(files, 2, dropout=0.3, last=6) == none[:6]


def test_updates_out_of_order_are_made_at_once() -> None:
    made_here: list[int] = []

    def make(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        made_here.append(step)
        return torch.tensor([step]), torch.tensor([os.getpid()])

    loader = LoaderProcesses(make, last=6, number=1)
    found = [loader.take(step) for step in (3, 4, 4, 1, 5, 6, 6)]
    loader.close()
    assert [int(x) for x, _ in found] == [3, 4, 4, 1, 5, 6, 6]
    assert made_here == [4, 1, 6]
    assert [int(pid) == os.getpid() for _, pid in found] == [False, False, True, True, False, False, True]


def test_an_error_of_a_process_is_raised() -> None:
    def make(step: int) -> Any:
        raise ValueError("a broken image")

    loader = LoaderProcesses(make, last=6, number=1)
    with pytest.raises(ValueError, match="a broken image"):
        loader.take(1)
    loader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_a_killed_trainer_leaves_no_process() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == b"ready\n"
        started = children(trainer.pid)
        assert len(started) == 2
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
    deadline = time.monotonic() + 2  # the DataLoader's own watchdog looks every 5 s
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_as_many_are_started_as_shared_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_processes, "shared_bytes", lambda: 1000)
    assert [processes_for(3, size) for size in (1, 71, 72, 100, 166, 167, 10_000)] == [3, 3, 2, 2, 1, 0, 0]
    assert processes_for(0, 1) == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(1), raising=False)
    assert processes_for("auto", 1) == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    assert processes_for("auto", 1) == loader_processes.MOST
    assert processes_for("auto", 1, costly=False) == 1, "to make batches while the model computes"
