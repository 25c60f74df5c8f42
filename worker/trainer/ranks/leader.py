"""Rank 0's hold on the other ranks: starts them, sends commands, and ends the trainer when one of them ends."""

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import NoReturn

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from service.errors import RunFailure
from worker.pipe import read_frame, write_frame
from worker.protocol import Failed, Frame, NextStep, RankStates, RunOver, SendStates, TrainRequest
from worker.trainer.loop import Training
from worker.trainer.ranks.divided import digest, divide, state_tensors
from worker.trainer.ranks.group import Group

NOTICE_S = 0.5  # in which the ends of other ranks follow from the first one
DEATH_S = 2.0  # in which the end of a rank is seen after an operation with it failed


class Member:
    """A rank above 0: a child of this process, in its process group, that dies with it."""

    def __init__(self, rank: int, arguments: list[str]) -> None:
        self.rank = rank
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker.trainer", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.replies: queue.SimpleQueue[Frame] = queue.SimpleQueue()

    def send(self, frame: Frame) -> None:
        """Send a command; the end of the process is noticed where its frames are read."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            write_frame(self.process.stdin, frame)

    def read(self) -> Failed:
        """Queue its replies until it fails or ends; return why, as a failure of the run."""
        assert self.process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while (frame := read_frame(self.process.stdout)) is not None:
                if isinstance(frame, Failed):
                    return frame
                self.replies.put(frame)
        code = self.process.wait()
        how = f"exit status {code}" if code >= 0 else f"signal {Signals(-code).name}"
        return Failed(kind="trainer_died", detail=f"ended by {how}", trainer_usable=False)


class Leader:
    """Rank 0 of `size` ranks; `report` sends the failure of the run that a rank's end is."""

    def __init__(
        self, size: int, device: str, threads: int, low_priority: bool, report: Callable[[Frame], None]
    ) -> None:
        self.size, self.report = size, report
        self.folder = Path(tempfile.mkdtemp(prefix="saddle-ranks-"))
        common = ["--threads", str(threads), "--ranks", str(size), "--rendezvous", str(self.folder)]
        common += ["--parent", str(os.getpid())]
        common += ["--low-priority"] * low_priority
        self.members = [
            Member(rank, ["--rank", str(rank), "--device", device_of(device, rank), *common]) for rank in range(1, size)
        ]
        self._failed: list[tuple[Member, Failed]] = []
        self._dead, self._lock = threading.Event(), threading.Lock()
        self.training: Training | None = None  # that the others take part in
        self.usable = True  # whether the others wait for a run
        for member in self.members:
            threading.Thread(target=self._watch, args=(member,), name=f"rank-{member.rank}", daemon=True).start()

    def join(self, device: torch.device) -> None:
        """Wait until the others are warm too."""
        self.group = Group.join(self.folder, 0, self.size, device)
        if device.type == "cpu":  # connected for good; NCCL reads the file again
            shutil.rmtree(self.folder, ignore_errors=True)

    def begin(self, request: TrainRequest, training: Training) -> None:
        """Have the others take part in the steps of `training`, from its current state."""
        self.training = training
        self._send(request)
        self.gradients = divide(training, self.group)
        self.gradients.announce = self._announce
        training.rank_states = self._collect_states

    def _announce(self, step: int) -> None:
        assert self.training is not None
        self._send(NextStep(step=step, schedule=self.training.rates.document()))

    def _collect_states(self) -> dict[str, Tensor]:
        """Return the random states of the others, for a checkpoint; raise if their weights are not rank 0's."""
        assert self.training is not None
        self._send(SendStates())
        own, states = digest(state_tensors(self.training)), dict[str, Tensor]()
        for member in self.members:
            reply = member.replies.get()
            assert isinstance(reply, RankStates)
            if reply.digest != own:
                detail = f"after step {self.training.step} the weights of rank {member.rank} are not those of rank 0"
                raise RunFailure("crashed", detail, self.training.step, {"rank": member.rank})
            states |= {
                f"random/rank-{member.rank}/{name}": state for name, state in load_tensors(reply.payload).items()
            }
        return states

    def end(self, error: Exception | None = None) -> None:
        """Have the others wait for the next run; where one of them caused `error`, do not return.

        In the middle of a step they wait for this rank's part, so the trainer can take no further run.
        """
        if self.training is None:
            return
        if error is not None and self._dead.wait(0 if isinstance(error, RunFailure) else DEATH_S):
            threading.Event().wait()  # until the watching thread ends the process
        self.training = None
        self.usable = self.usable and not self.gradients.busy
        if self.usable:
            self._send(RunOver())

    def _send(self, frame: Frame) -> None:
        for member in self.members:
            member.send(frame)

    def _watch(self, member: Member) -> None:
        """Wait for a rank to fail or end; the first one ends the trainer, after the others had time to say why."""
        failed = member.read()
        with self._lock:
            self._failed.append((member, failed))
            first = len(self._failed) == 1
        self._dead.set()
        if first:
            threading.Event().wait(NOTICE_S)
            self._end_trainer()

    def _end_trainer(self) -> NoReturn:
        with self._lock:
            member, failed = min(self._failed, key=lambda each: _severity(each[1]))
        detail = f"rank {member.rank} of {self.size}: {failed.detail}"
        sys.stderr.write(f"{detail}\n")
        sys.stderr.flush()
        if self.training is not None:
            step, evidence = self.training.step, failed.evidence | {"rank": member.rank}
            self.report(Failed(kind=failed.kind, detail=detail, step=step, evidence=evidence, trainer_usable=False))
        shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(1)  # the others end with this process


def device_of(device: str, rank: int) -> str:
    """Return the device of a rank, counted from rank 0's."""
    kind, _, index = device.partition(":")
    return device if kind == "cpu" else f"{kind}:{int(index or 0) + rank}"


def _severity(failed: Failed) -> int:
    """Return 0 for a rank that was killed, 1 for a cause of its own, 2 for what may follow from another rank's end."""
    return {"trainer_died": 0, "crashed": 2}.get(failed.kind, 1)
