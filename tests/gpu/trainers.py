"""Trainers as a worker starts them, each a process on the device to check, and the memory that they hold."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from worker.pipe import read_frame, write_frame
from worker.protocol import Ended, Failed, Frame, Ready, TrainRequest

READY_S = 120.0
MIB = 2**20


class Trainer:
    """A trainer process and its pipe."""

    def __init__(self, device: torch.device, stderr: IO[bytes] | None = None, ranks: int = 1) -> None:
        command = [sys.executable, "-m", "worker.trainer", "--device", str(device), "--threads", "1"]
        command += ["--ranks", str(ranks)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)

    def wait(self, *kinds: type[Frame]) -> Frame:
        """Return the next frame of these kinds; AssertionError if the trainer dies or its run fails."""
        assert self.process.stdout is not None
        while (frame := read_frame(self.process.stdout)) is not None:
            if isinstance(frame, kinds):
                return frame
            assert not isinstance(frame, Failed), f"{frame.kind}: {frame.detail}"
        raise AssertionError(f"a trainer ended with status {self.process.wait()}")

    def send(self, frame: Frame) -> None:
        """Send a frame."""
        assert self.process.stdin is not None
        write_frame(self.process.stdin, frame)

    def run(self, spec: dict[str, Any], folder: str, seed: int = 0) -> None:
        """Train to the end."""
        plain: dict[str, Any] = {"threads": 1, "flush_s": 0.2, "checkpoint_s": 60.0}
        self.send(TrainRequest(spec=spec, seed=seed, folder=folder, **plain))
        ended = self.wait(Ended)
        assert isinstance(ended, Ended)
        assert ended.outcome == "succeeded", ended

    def kill(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


@contextmanager
def warm_trainers(count: int, device: torch.device) -> Iterator[list[Trainer]]:
    """Start trainers side by side and wait until all are warm."""
    trainers = [Trainer(device) for _ in range(count)]
    late = threading.Timer(READY_S, lambda: [trainer.process.kill() for trainer in trainers])
    late.start()
    try:
        for trainer in trainers:
            trainer.wait(Ready)
        late.cancel()
        yield trainers
    finally:
        late.cancel()
        for trainer in trainers:
            trainer.kill()


def used_mib(device: torch.device, trainers: list[Trainer]) -> float:
    """MiB in use on a GPU by everybody; on a CPU those of the trainers, shared pages counted once."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return (total - free) / MIB
    return sum(_pss_kib(trainer.process.pid) for trainer in trainers) / 1024


def _pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def seconds_of(work: Any, device: torch.device) -> float:
    """Seconds until the device has finished the work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
