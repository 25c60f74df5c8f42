"""A trainer that speaks the real pipe and writes real files, and whose training is a recurrence: ready in 0.1 s.

Each loss depends on every step before it, so a resume from the wrong place shows in the values.
It imports neither torch nor numpy; what dies with its supervisor, and how, is the product's own code.
"""

import array
import contextlib
import faulthandler
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

from worker.protocol import (
    OUTCOMES,
    Checkpoint,
    CheckpointFailed,
    CheckpointFiles,
    Ended,
    Failed,
    Frame,
    Outcome,
    PackRequest,
    Points,
    Ready,
    SeriesHeader,
    Snapshot,
    Started,
    TrainRequest,
)
from worker.trainer.channel import Channel, SupervisorLink, take_over_stdio
from worker.trainer.process_end import die_with_parent

STEP_S = float(os.environ.get("FAULTS_STEP_S", "0.0025"))
TWO_64 = 2**64
LATE_STEPS = 7  # made while a checkpoint is written


class Toy:
    """One attempt."""

    def __init__(self, request: TrainRequest, channel: SupervisorLink) -> None:
        self.request, self.channel = request, channel
        spec = request.spec
        self.total = spec["steps"]
        self.until = request.last_step or self.total
        self.every = spec["checkpoint"]["every_steps"]
        self.rate = float(spec["optimizer"]["lr"])
        self.step, self.state = 0, (request.seed * 2654435761 + round(self.rate * 1e6)) % TWO_64
        self.losses = array.array("d")
        self.flushed_at = time.monotonic()
        self.written: tuple[int, Frame] | None = None  # what came of a checkpoint, and the step at which that is sent

    def run(self) -> None:
        """Train to the end or to a wish."""
        resumed = self.request.resume
        if resumed and not self.resume(resumed):
            detail = "it is not what was written"
            self.channel.send(Failed(kind="checkpoint_damaged", detail=detail, step=0, trainer_usable=True))
            return
        environment = {"device": "cpu", "threads": self.request.threads, "trainer": "toy"}
        self.channel.send(Started(from_step=self.step, total_steps=self.total, environment=environment))
        outcome = self.train()
        self.flush()
        self.report_checkpoint()
        if outcome != "cancelled":
            self.checkpoint("end" if outcome == "succeeded" else "wish")
        self.report_checkpoint()
        self.channel.send(Ended(outcome=outcome, step=self.step))

    def train(self) -> Outcome:
        while self.step < self.until:
            self.step += 1
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % TWO_64
            self.losses.append(self.state / TWO_64)
            time.sleep(STEP_S)
            if self.written is not None and self.step >= self.written[0]:
                self.flush()
                self.report_checkpoint()
            if self.step == self.until:
                break
            if self.channel.stop is not None:
                return OUTCOMES[self.channel.stop]
            if self.step % self.every == 0:
                self.report_checkpoint()
                self.flush()
                self.checkpoint("due")
            elif time.monotonic() - self.flushed_at >= self.request.flush_s:
                self.flush()
        return "succeeded"

    def flush(self) -> None:
        self.flushed_at = time.monotonic()
        if n := len(self.losses):
            rates = array.array("d", [self.rate] * n)
            series = [SeriesHeader(name=name, first=self.step - n + 1, every=1, n=n) for name in ("loss", "lr")]
            self.channel.send(Points(series=series, payload=self.losses.tobytes() + rates.tobytes()))
            self.losses = array.array("d")

    def checkpoint(self, reason: str) -> None:
        """Written at once, and reported some steps later, as by a trainer that goes on while it writes."""
        self.channel.send(Snapshot(step=self.step))
        self.written = self.step + LATE_STEPS, self.write(reason)

    def report_checkpoint(self) -> None:
        """Tell what came of the last checkpoint, once."""
        if self.written is not None:
            self.channel.send(self.written[1])
        self.written = None

    def write(self, reason: str) -> Frame:
        """A folder of its own, under a temporary name until it is whole."""
        place = Path(self.request.folder)
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
        final, again = place / f"step-{self.step}", 1
        while final.exists():
            again += 1
            final = place / f"step-{self.step}-{again}"
        partial = place / f".{final.name}.{os.getpid()}"
        text = json.dumps({"step": self.step, "state": self.state}).encode()
        try:
            partial.mkdir()
            (partial / "state.json").write_bytes(text)
            partial.rename(final)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            return CheckpointFailed(step=self.step, reason=reason, detail=str(error))
        sha256 = hashlib.sha256(text).hexdigest()
        return Checkpoint(step=self.step, folder=str(final), sha256=sha256, size_bytes=len(text), reason=reason)

    def resume(self, saved: CheckpointFiles) -> bool:
        """Go on from a checkpoint; False where that is not what was written."""
        try:
            text = (Path(saved["folder"]) / "state.json").read_bytes()
        except OSError:
            return False
        if hashlib.sha256(text).hexdigest() != saved["sha256"]:
            return False
        document = json.loads(text)
        self.step, self.state = document["step"], document["state"]
        return True


def main() -> None:
    die_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(*take_over_stdio())
    faulthandler.register(signal.SIGUSR1)
    facts = {"kind": "cpu", "name": "toy", "memory_bytes": None, "threads": 1}
    channel.send(Ready(device=facts))
    while True:
        request = channel.next_request()
        if isinstance(request, PackRequest):
            train_pack(request, channel)
        else:
            Toy(request, channel).run()


def train_pack(request: PackRequest, channel: Channel) -> None:
    """Train all runs of a pack at the same time, until the last has ended."""
    toys = [Toy(each, channel.member(each.lease or "")) for each in request.members]
    threads = [threading.Thread(target=toy.run) for toy in toys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
