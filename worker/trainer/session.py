"""One attempt inside the trainer: build, resume, train, and say over the channel what happens."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from service.nonfinite import dumps
from service.spec.experiment import Experiment
from service.spec.training import allowed_nonfinite
from worker.protocol import (
    OUTCOMES,
    Checkpoint,
    CheckpointFailed,
    DeviceUsage,
    Ended,
    Outcome,
    Reading,
    SeriesHeader,
    Started,
    TrainRequest,
)
from worker.protocol import Points as PointsFrame
from worker.trainer.build import optimizer_policies
from worker.trainer.channel import SupervisorLink
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.policy import CheckpointPolicy, Reason
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.divergence_replay import AttemptHistory, RestorePoint, replay_divergence
from worker.trainer.environment import environment, environment_differences, usage
from worker.trainer.failures import describe_error, run_failure_of
from worker.trainer.loop import Training, prepare, train
from worker.trainer.probe_job import Job
from worker.trainer.probes.runner import MAX_READING_BYTES
from worker.trainer.recorder import Points, Recorder, make_recorder
from worker.trainer.step.stopping import describe_stop

PLACES = 3  # checkpoints remembered: as many as are kept, and the one it began from
USAGE_S = 1.0  # between two words about a GPU


def run_request(request: TrainRequest, device: torch.device, supervisor: SupervisorLink) -> None:
    """Train, or probe one state, until it ends or is asked to stop; raise `RunFailure` if it fails."""
    torch.set_num_threads(request.threads)
    try:
        training = _prepare(request, device)
    except Exception as error:
        raise run_failure_of(error, None, building=True) from error
    session = None
    try:
        if request.task is not None:
            Job(request, training, supervisor).run()
            return
        session = Session(request, training, supervisor)
        session.run()
    except Exception as error:
        failure = run_failure_of(error, training.step)
        if session is not None:
            session.flush_what_is_left()
            if failure.kind == "diverged":
                unwatched = replace(request, spec=request.spec | {"probes": []})
                replay_divergence(
                    partial(_prepare, unwatched, device), session.past(), failure, request.autopsy_s, supervisor
                )
        raise failure from error


def _prepare(request: TrainRequest, device: torch.device) -> Training:
    spec = Experiment.model_validate_json(json.dumps(request.spec))  # JSON mode: strict, yet arrays are tuples
    datasets, mounted = (Path(path) if path else None for path in (request.datasets, request.mounted))
    return prepare(spec, request.seed, device, DatasetFolders(datasets, request.resident_bytes, mounted))


class Session:
    """The state of one attempt: a training, its recorder, and when its state is written."""

    def __init__(self, request: TrainRequest, training: Training, supervisor: SupervisorLink) -> None:
        self.request, self.training, self.supervisor = request, training, supervisor
        self.conditions = environment(training.device, request.threads)
        self.conditions["optimizer"] = optimizer_policies(training.spec, training.device)
        self.saving = CheckpointPolicy(training.spec, request.checkpoint_s)
        self.places: list[RestorePoint] = []  # checkpoints of this training that lie on this machine
        started = self.conditions | self._resume()
        self.began, self.began_at = training.step, time.monotonic()
        self.total = min(request.last_step or training.spec.total_steps, training.spec.total_steps)
        self.recorder: Recorder = make_recorder(
            training.device, training.step + 1, allowed_nonfinite(training.spec.nonfinite)
        )
        self._flushing = threading.Lock()  # a drain and its frame together, so that frames are in order
        self._broken: Exception | None = None  # what ended the flusher
        rows = training.spec.rows_per_step
        supervisor.send(
            Started(from_step=training.step, total_steps=self.total, rows_per_step=rows, environment=started)
        )

    def _resume(self) -> dict[str, Any]:
        """Go on from the checkpoint of the request, and say what of the machine differs from where it was written.

        `reproducible`: whether the last bits will agree from there on. A fork also says what it took over.
        """
        if not (resume := self.request.resume):
            return {}
        folder, sha256 = Path(resume["folder"]), resume["sha256"]
        said: dict[str, Any] = {}
        if self.request.fork:
            document, said["taken_over"] = checkpoint.load_fork(folder, sha256, self.training)
        else:
            document = checkpoint.load(folder, sha256, self.training)
            self.saving.load(document)
        self.places = [RestorePoint(document["step"], folder, sha256, self.request.fork)]
        differs = environment_differences(document["environment"], self.conditions)
        if self.request.fork:
            differs.pop("optimizer", None)  # that is the fork's own choice
        return said | {"reproducible": not differs} | ({"differs": differs} if differs else {})

    def run(self) -> None:
        """Train, and say how it ended once everything before that was said."""
        with self._flusher():
            outcome, last = self._train()
        self._settle()
        if outcome != "cancelled":
            self._checkpoint(last or Reason("end" if outcome == "succeeded" else "wish"))
        note = describe_stop(self.training.ended) if self.training.ended and outcome == "succeeded" else None
        self.supervisor.send(Ended(outcome=outcome, step=self.training.step, note=note))

    def _train(self) -> tuple[Outcome, Reason | None]:
        """Step by step; the outcome, and why the last state is worth keeping beside that."""
        first, total, record, supervisor = self.training.step + 1, self.total, self.recorder.record, self.supervisor
        if first > total:
            return "succeeded", None
        told = self.training.probes.readings
        for step in train(self.training):
            record(step)
            if step.step == first:
                self.flush()  # a reader sees life at once, before any reading is written
            if told:
                self._tell()
            reason = self.saving.after(step.step, step.metrics)
            best = reason if reason is not None and reason.word == "best" else None
            if step.step == total or self.training.ended:
                return "succeeded", best
            if supervisor.stop is not None:
                return OUTCOMES[supervisor.stop], best
            if self._broken is not None:
                raise self._broken
            if reason is not None:
                self._settle()
                self._checkpoint(reason)
        return "succeeded", None

    def _tell(self) -> None:
        """Send what probes found; only the loop's thread comes here."""
        told = self.training.probes.readings
        while told:
            found = told.pop(0)
            payload = dumps(found.data).encode()
            if len(payload) > MAX_READING_BYTES:
                payload = dumps({"error": f"{len(payload)} bytes; a reading has at most {MAX_READING_BYTES}"}).encode()
            self.supervisor.send(Reading(step=found.step, name=found.kind, payload=payload))

    def _settle(self) -> None:
        """Send every point up to here; a GPU's losses are only now known to be finite."""
        self.flush(wait=True)
        if self.recorder.failure is not None:
            raise self.recorder.failure

    def _checkpoint(self, reason: Reason) -> None:
        """Call `_settle` before: the supervisor commits a checkpoint and the points up to it together.

        A disk that is full or broken does not end the run: what was saved before is still good.
        """
        extra = {"environment": self.conditions, "scales": self.training.scales} | self.saving.document(reason)
        step = self.training.step
        try:
            saved = checkpoint.save(Path(self.request.folder), self.training, extra)
        except OSError as error:
            self.saving.tried(reason, saved=False)
            self.supervisor.send(CheckpointFailed(step=step, reason=reason.word, detail=describe_error(error)))
            return
        self.saving.tried(reason, saved=True)
        self.places = [*self.places, RestorePoint(step, saved.folder, saved.sha256)][-PLACES:]
        self.supervisor.send(
            Checkpoint(
                step=step,
                folder=str(saved.folder),
                sha256=saved.sha256,
                size_bytes=saved.size_bytes,
                reason=reason.word,
                value=reason.value,
            )
        )

    def past(self) -> AttemptHistory:
        """Where the steps could be made again from, and how long they took."""
        return AttemptHistory(self.places, self.training.step - self.began, time.monotonic() - self.began_at)

    def flush(self, wait: bool = False) -> None:
        """Send what the recorder gives out; nothing where that is nothing."""
        with self._flushing:
            if points := self.recorder.drain(wait):
                series, payload = packed(points)
                self.supervisor.send(PointsFrame(series=series, payload=payload))

    def flush_what_is_left(self) -> None:
        """A failed run's last points tell most; a broken GPU may refuse to give them."""
        self._tell()
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
            due = time.monotonic() + USAGE_S
            while not over.wait(self.request.flush_s):
                if self.training.device.type == "cuda" and time.monotonic() >= due:
                    self.supervisor.send(DeviceUsage(values=usage(self.training.device)))
                    due = time.monotonic() + USAGE_S
                self.flush()
        except Exception as error:
            self._broken = error  # raised by the loop's thread


def packed(points: list[Points]) -> tuple[list[SeriesHeader], bytes]:
    """Return the series and the payload of a `Points` frame."""
    series = [SeriesHeader(name=p.name, first=p.first, every=p.every, n=p.n) for p in points]
    pieces = [array for p in points for array in (p.steps, p.values) if array is not None]
    return series, b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in pieces)
