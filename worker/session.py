"""One attempt inside the trainer: build, resume, train, and say over the channel what happens."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from service.spec.experiment import Experiment
from service.spec.mechanics import tolerated
from worker import checkpoint
from worker.build import optimizer_policies
from worker.data.files import Files
from worker.device import environment
from worker.failures import failure_of
from worker.loop import Training, prepare, train
from worker.recorder import Points, Recorder, make_recorder
from worker.stopping import described

OUTCOMES = {"pause": "paused", "cancel": "cancelled", "drain": "drained"}


class Supervisor(Protocol):
    """What a session needs of the other side."""

    wish: str | None  # what it wants of the run other than that it goes on

    def send(self, kind: str, payload: bytes = b"", /, **fields: Any) -> None:
        """Tell it something."""


def conduct(order: dict[str, Any], device: torch.device, supervisor: Supervisor) -> None:
    """Train as a `train` frame says, to the end or to a wish; `RunFailure` says why it ended badly."""
    torch.set_num_threads(order["threads"])
    try:
        training = _prepared(order, device)
    except Exception as error:
        raise failure_of(error, None, building=True) from error
    session = None
    try:
        session = Session(order, training, supervisor)
        session.run()
    except Exception as error:
        if session is not None:
            session.flush_what_is_left()
        raise failure_of(error, training.step) from error


def _prepared(order: dict[str, Any], device: torch.device) -> Training:
    spec = Experiment.model_validate_json(json.dumps(order["spec"]))  # JSON mode: strict, yet arrays are tuples
    files = Files(Path(order["datasets"]), order["resident_bytes"]) if "datasets" in order else Files()
    return prepare(spec, order["seed"], device, files)


class Session:
    """The state of one attempt: a training, its recorder, and when its last checkpoint was."""

    def __init__(self, order: dict[str, Any], training: Training, supervisor: Supervisor) -> None:
        self.order, self.training, self.supervisor = order, training, supervisor
        self.conditions = environment(training.device, order["threads"])
        self.conditions["optimizer"] = optimizer_policies(training.spec, training.device)
        started = self.conditions | self._resume()
        self.total = training.spec.total_steps
        self.recorder: Recorder = make_recorder(training.device, training.step + 1, tolerated(training.spec.nonfinite))
        self._saved_at = time.monotonic()
        self._flushing = threading.Lock()  # a drain and its frame together, so that frames are in order
        self._broken: Exception | None = None  # what ended the flusher
        supervisor.send("started", from_step=training.step, total_steps=self.total, environment=started)

    def _resume(self) -> dict[str, bool]:
        """Go on from the checkpoint of the order; `reproducible`: whether the last bits will agree from there on."""
        if not (resume := self.order.get("resume")):
            return {}
        document = checkpoint.load(Path(resume["folder"]), resume["sha256"], self.training)
        return {"reproducible": document["environment"] == self.conditions}

    def run(self) -> None:
        """Train, and say how it ended once everything before that was said."""
        with self._flusher():
            outcome = self._train()
        self._settle()
        if outcome != "cancelled":
            self._checkpoint()
        note = described(self.training.ended) if self.training.ended and outcome == "succeeded" else None
        self.supervisor.send("end", outcome=outcome, step=self.training.step, note=note)

    def _train(self) -> str:
        """Step by step; the outcome."""
        first, total, record, supervisor = self.training.step + 1, self.total, self.recorder.record, self.supervisor
        for step in train(self.training):
            record(step)
            if step.step == first:
                self.flush()  # a reader sees life at once
            if step.step == total or self.training.ended:
                break
            if supervisor.wish is not None:
                return OUTCOMES[supervisor.wish]
            if self._broken is not None:
                raise self._broken
            if self._checkpoint_is_due(step.step):
                self._settle()
                self._checkpoint()
        return "succeeded"

    def _checkpoint_is_due(self, step: int) -> bool:
        every = self.training.spec.checkpoint.every_steps
        if every is not None:
            return step % every == 0
        return time.monotonic() - self._saved_at >= float(self.order["checkpoint_s"])

    def _settle(self) -> None:
        """Send every point up to here; a GPU's losses are only now known to be finite."""
        self.flush(wait=True)
        if self.recorder.failure is not None:
            raise self.recorder.failure

    def _checkpoint(self) -> None:
        """Call `_settle` before: the supervisor commits a checkpoint and the points up to it together."""
        extra = {"environment": self.conditions, "scales": self.training.scales}
        saved = checkpoint.save(Path(self.order["folder"]), self.training, extra)
        self._saved_at = time.monotonic()
        facts: dict[str, Any] = {"folder": str(saved.folder), "sha256": saved.sha256, "size_bytes": saved.size_bytes}
        self.supervisor.send("checkpoint", step=self.training.step, **facts)

    def flush(self, wait: bool = False) -> None:
        """Send what the recorder gives out; nothing where that is nothing."""
        with self._flushing:
            if points := self.recorder.drain(wait):
                series, payload = packed(points)
                self.supervisor.send("points", payload, series=series)

    def flush_what_is_left(self) -> None:
        """A failed run's last points tell most; a broken GPU may refuse to give them."""
        with contextlib.suppress(RuntimeError):
            self.flush(wait=True)

    @contextlib.contextmanager
    def _flusher(self) -> Iterator[None]:
        """A thread that flushes every `flush_s`, ended before this returns."""
        over = threading.Event()
        thread = threading.Thread(target=self._flush_until, args=(over,), name="flusher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _flush_until(self, over: threading.Event) -> None:
        try:
            while not over.wait(self.order["flush_s"]):
                self.flush()
        except Exception as error:
            self._broken = error  # raised by the loop's thread


def packed(points: list[Points]) -> tuple[list[dict[str, Any]], bytes]:
    """The header entries and the payload of a `points` frame, as worker.pipe lays it out."""
    series = [{"name": p.name, "first": p.first, "every": p.every, "n": p.n} for p in points]
    pieces = [array for p in points for array in (p.steps, p.values) if array is not None]
    return series, b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in pieces)
