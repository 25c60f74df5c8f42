"""The device's memory in an attempt: its peak, giving it back, and whether a spare trainer may take a GPU."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from service.spec.memory import estimate_memory
from worker.pipe import read_frame, write_frame
from worker.protocol import TakeDevice, Waiting
from worker.trainer import device_memory
from worker.trainer.device_memory import PeakMemory, free_share, give_back, has_room_for_spare

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process's peak")
def test_the_peak_on_a_cpu_is_the_growth_of_the_resident_memory_since_the_attempt_began() -> None:
    first = PeakMemory(CPU)
    rows = torch.ones(40 * 2**20 // 4)
    assert 39 * 2**20 < first.read()["peak_bytes"] < 80 * 2**20
    del rows
    assert first.read()["peak_bytes"] > 39 * 2**20  # a peak, not the present
    assert PeakMemory(CPU).read()["peak_bytes"] < 10 * 2**20  # reset


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert PeakMemory(CPU, tmp_path / "absent").read() == {}


def test_the_peak_on_a_gpu_is_torchs_and_is_compared_with_the_estimate(
    experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 50_000)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 2**21)
    spec = experiment()
    estimate = estimate_memory(spec)
    assert estimate is not None
    assert PeakMemory(GPU).against_estimate(spec) == {
        "peak_bytes": 50_000.0,
        "reserved_bytes": 2.0**21,
        "estimate_bytes": float(estimate.total),
        "estimate_over_peak": round(estimate.total / 50_000, 3),
    }
    assert reset == [GPU]


def test_cycles_are_collected_before_a_gpus_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(device_memory.gc, "collect", lambda: done.append("collected"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("emptied"))
    give_back(GPU)
    assert done == ["collected", "emptied"]
    give_back(CPU)
    assert done == ["collected", "emptied", "collected"]


class NVMLError(Exception):
    """What NVIDIA's library raises."""


def library(free: int, **changes: Any) -> SimpleNamespace:
    """NVIDIA's library on a machine with two GPUs; the second has `free` of 100 bytes free."""

    def by_index(index: int) -> int:
        if index > 1:
            raise NVMLError
        return index

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=by_index,
        nvmlDeviceGetHandleByUUID={"GPU-b": 1, "MIG-c": 1}.__getitem__,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(free=free if handle else 100, total=100),
        **changes,
    )


@pytest.mark.parametrize("visible", ["1", "GPU-b", "MIG-c", "1,0"])
def test_room_on_a_gpu_is_that_of_the_visible_one(visible: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setitem(sys.modules, "pynvml", library(free=49))
    assert free_share() == 0.49
    assert not has_room_for_spare()
    monkeypatch.setitem(sys.modules, "pynvml", library(free=50))
    assert has_room_for_spare()


def test_without_a_library_a_driver_or_such_a_gpu_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise NVMLError

    absent, no_driver = None, library(free=100)
    no_driver.nvmlInit = fail
    for each in (absent, no_driver):
        monkeypatch.setitem(sys.modules, "pynvml", each)
        assert not has_room_for_spare()
    monkeypatch.setitem(sys.modules, "pynvml", library(free=100))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert not has_room_for_spare()


def test_a_spare_holds_no_context_of_a_gpu_before_it_is_promoted() -> None:
    """On a machine without a GPU it fails only then, which shows that it has not touched the device before."""
    command = [sys.executable, "-m", "worker.trainer", "--device", "cuda:7", "--low-priority"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert isinstance(read_frame(process.stdout), Waiting)
            assert process.poll() is None
            write_frame(process.stdin, TakeDevice())
            assert read_frame(process.stdout) is None  # there is no such device
            assert process.wait(60) == 1
            assert b"cuda" in process.stderr.read().lower()
        finally:
            process.kill()
