"""One attempt inside the trainer: build, resume, train, and report to the supervisor."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from service.nonfinite import dumps
from service.spec.training import allowed_nonfinite
from service.storage.files import pieces_of, sha256_of_pieces
from worker.protocol import (
    OUTCOMES,
    Alive,
    Checkpoint,
    CheckpointFailed,
    DeviceUsage,
    Ended,
    Outcome,
    Reading,
    SeriesHeader,
    Snapshot,
    Started,
    TrainRequest,
)
from worker.protocol import Points as PointsFrame
from worker.trainer.build import optimizer_policies
from worker.trainer.channel import SupervisorLink
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.checkpoint import Saved
from worker.trainer.checkpoints.policy import CheckpointPolicy, SaveReason
from worker.trainer.checkpoints.writer import CheckpointWriter
from worker.trainer.data_wait import DataWait
from worker.trainer.device_memory import PeakMemory
from worker.trainer.divergence_replay import AttemptHistory, RestorePoint
from worker.trainer.environment import environment, environment_differences, usage
from worker.trainer.failures import describe_error
from worker.trainer.loop import Training, evaluate_start, train
from worker.trainer.metrics import Metrics
from worker.trainer.numerics import numerics, report_nondeterminism
from worker.trainer.optim.schedule_free import eval_weights
from worker.trainer.probes.learnability.shared import Shared
from worker.trainer.probes.runner import MAX_READING_BYTES
from worker.trainer.probes.runner import Reading as ProbeReading
from worker.trainer.recorder import Points, Recorder, make_recorder
from worker.trainer.start_readings import add_start_readings
from worker.trainer.step.stopping import describe_stop

MAX_RESTORE_POINTS = 3  # the kept ones and the one it started from
NONDETERMINISTIC = "nondeterministic_operations"  # the kind of reading
ALIVE_PERIOD_S = 0.5  # between two signs of life while nothing is trained that is recorded
USAGE_PERIOD_S = 1.0  # between two reports of GPU usage
End = tuple[Outcome, SaveReason | None]  # of a training, with the reason to save the last state if it is the best


class Session:
    """One attempt: a training, its recorder and its checkpoint policy."""

    def __init__(
        self,
        request: TrainRequest,
        training: Training,
        supervisor: SupervisorLink,
        peak: PeakMemory | None = None,
        runs: int = 1,
    ) -> None:
        """Load the state to resume from, and report the start; `runs` is how many are trained as one pack."""
        self.request, self.training, self.supervisor = request, training, supervisor
        self.peak = peak or PeakMemory(training.device)
        self.environment = environment(training.device, request.threads, training.spec)
        self.environment["devices"] = training.spec.resources.devices
        self.environment["optimizer"] = optimizer_policies(training.spec, training.model, training.device)
        if runs > 1:
            self.environment["pack"] = {"runs": runs}
        self.runs = runs
        self.random_state: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        self.policy = CheckpointPolicy(training.spec, request.checkpoint_s)
        self.nondeterministic: list[str] = []  # operations of this attempt
        self.restore_points: list[RestorePoint] = []  # checkpoints of this training on this machine
        started = self.environment | self._resume()
        if training.spec.determinism != "strict" or runs > 1:
            started["reproducible"] = False
        self.began, self.began_at = training.step, time.monotonic()
        self.first = training.step + 1
        self.total = min(request.last_step or training.spec.total_steps, training.spec.total_steps)
        self.pause = self.total + 1 if request.pause_at is None else request.pause_at
        self.tolerated = allowed_nonfinite(training.spec.nonfinite)
        self.recorder: Recorder = make_recorder(training.device, training.step + 1, self.tolerated)
        self.data_wait = DataWait(training.batches)
        self.writer = CheckpointWriter(Path(request.folder), lambda: supervisor.send(Alive()))
        self._flushing = threading.Lock()  # a drain and its frame together, so that frames are in order
        self._flusher_error: Exception | None = None  # raised by the loop's thread
        rows = training.spec.rows_per_step
        supervisor.send(
            Started(from_step=training.step, total_steps=self.total, rows_per_step=rows, environment=started)
        )

    def _resume(self) -> dict[str, Any]:
        """Load the requested checkpoint; return how this environment differs from the one that wrote it.

        `reproducible` says whether later steps will agree to the last bit. A fork also reports what it restored.
        """
        if not (resume := self.request.resume):
            return {}
        folder, sha256 = Path(resume["folder"]), resume["sha256"]
        report: dict[str, Any] = {}
        if self.request.fork:
            document, report["taken_over"] = checkpoint.load_fork(folder, sha256, self.training)
        else:
            document = checkpoint.load(folder, sha256, self.training)
            self.policy.load(document)
        self.restore_points = [RestorePoint(document["step"], folder, sha256, self.request.fork)]
        differs = environment_differences(document["environment"], self.environment)
        if self.request.fork:
            for name in ("optimizer", *numerics(self.training.device)):  # chosen by the fork
                differs.pop(name, None)
        return report | {"reproducible": not differs} | ({"differs": differs} if differs else {})

    def run(self) -> Ended:
        """Train; return the end, to be sent as the last frame."""
        with self._flusher(), report_nondeterminism(self.add_nondeterministic):
            end = self._train()
        self.save_end(*end)
        return self.conclude(end[0])

    def save_end(self, outcome: Outcome, last: SaveReason | None) -> None:
        """Send and save what is to be kept of a training that has ended."""
        self.begin_to_save_end(outcome, last)
        self.writer.wait()

    def begin_to_save_end(self, outcome: Outcome, last: SaveReason | None) -> None:
        """Begin `save_end`, of which the checkpoint is written until `writer.wait` returns."""
        self._flush_all()
        predictions = self._predict() if outcome == "succeeded" else None
        if outcome != "cancelled":
            reason = last or SaveReason("end" if outcome == "succeeded" else "wish")
            self._checkpoint(reason, goes_on=False, predictions=predictions)

    def conclude(self, outcome: Outcome, shared: Shared | None = None) -> Ended:
        """Look for the reason of a run that learned little; return the end, to be sent as the last frame.

        The runs of a pack share what is trained beside them.
        """
        if outcome == "succeeded" and self.total == self.training.spec.total_steps:  # a replay may end before
            self._diagnose(shared)
        note = describe_stop(self.training.ended) if self.training.ended and outcome == "succeeded" else None
        memory = self.peak.against_estimate(self.training.spec)
        return Ended(outcome=outcome, step=self.training.step, note=note, memory=memory)

    def _train(self) -> End:
        """Train step by step; return the end."""
        if (end := self.begin()) is not None:
            return end
        record, after_step = self.recorder.record, self.after_step
        for step in train(self.training):
            record(step)
            if (end := after_step(step.step, step.metrics)) is not None:
                return end
        return "succeeded", None

    def begin(self) -> End | None:
        """Record what is known before the first step; return the end of a training that makes none."""
        if self.training.step >= self.total:
            return "succeeded", None
        if self.training.step >= self.pause:  # an earlier attempt saved this state and broke off before it could end
            return "paused", None
        add_start_readings(self.training, self.request.fork)
        self.recorder.record_start(evaluate_start(self.training))
        return None

    def after_step(self, step: int, metrics: Metrics | None) -> End | None:
        """Send and save what is due after a recorded step; return the end if it is the last one."""
        supervisor = self.supervisor
        if step == self.first:
            self.flush()  # users see the first step at once, before any reading
        if self.training.probes.readings:
            self._send_readings()
        reason = self.policy.reason_to_save(step, metrics)
        best = reason if reason is not None and reason.word == "best" else None
        if step == self.total or self.training.ended:
            return "succeeded", best
        if step >= self.pause and supervisor.stop != "cancel":
            return "paused", best
        if supervisor.stop is not None:
            return OUTCOMES[supervisor.stop], best
        if self._flusher_error is not None:
            raise self._flusher_error
        if reason is not None:
            self._flush_all()
            self._checkpoint(reason)
        return None

    def add_nondeterministic(self, operation: str) -> None:
        """Add an operation without a deterministic kernel to the reading that lists them, under `determinism: warn`."""
        self.nondeterministic.append(operation)
        readings = self.training.probes.readings
        if not any(reading.kind == NONDETERMINISTIC for reading in readings):  # a waiting one has the same list
            data = {"operations": self.nondeterministic}
            readings.append(ProbeReading(self.training.step + 1, NONDETERMINISTIC, data))

    def _send_readings(self) -> None:
        """Send the probes' readings; only the loop's thread may call this."""
        readings = self.training.probes.readings
        while readings:
            found = readings.pop(0)
            payload = dumps(found.data).encode()
            if len(payload) > MAX_READING_BYTES:
                payload = dumps({"error": f"{len(payload)} bytes; a reading has at most {MAX_READING_BYTES}"}).encode()
            self.supervisor.send(Reading(step=found.step, name=found.kind, payload=payload))

    def _flush_all(self) -> None:
        """Send every point so far; on a GPU this is when losses are checked."""
        self.flush(wait=True)
        if self.recorder.failure is not None:
            raise self.recorder.failure

    def _predict(self) -> Path | None:
        """Write the predictions that the spec asks for, and send what is shown of them; None: there are none."""
        training = self.training
        if not training.spec.predictions or training.validation is None:
            return None
        from worker.trainer.predict.part import write_predictions  # noqa: PLC0415  loads pyarrow

        folder = Path(self.request.folder)
        path = folder / f".predictions.{os.getpid()}.parquet"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with eval_weights(training.optimizers):
                readings = write_predictions(
                    path,
                    training.spec,
                    training.model,
                    training.criterion,
                    training.validation,
                    training.reporting,
                    training.scales.get("features"),
                )
        except OSError as error:
            path.unlink(missing_ok=True)
            detail = f"the predictions could not be written: {describe_error(error)}"
            self.supervisor.send(CheckpointFailed(step=training.step, reason="end", detail=detail))
            return None
        training.probes.readings += [ProbeReading(training.step, kind, data) for kind, data in readings.items()]
        self._send_readings()
        return path

    def _diagnose(self, shared: Shared | None) -> None:
        """Find out why the run learned little, if it did; everything else is saved, so nothing can be lost."""
        from worker.trainer.probes.learnability.at_end import Took, learnability_at_end  # noqa: PLC0415  rarely needed

        sent = time.monotonic()

        def stopped() -> bool:
            """Tell the supervisor that it goes on, of which its steps send nothing; return whether to stop."""
            nonlocal sent
            if time.monotonic() - sent >= ALIVE_PERIOD_S:
                sent = time.monotonic()
                self.supervisor.send(Alive())
            return self.supervisor.stop is not None

        took = Took(time.monotonic() - self.began_at, self.runs)
        found = learnability_at_end(self.training, took, stopped, shared, self.request.run)
        if found is not None:
            self.training.probes.readings.append(ProbeReading(self.training.step, *found))
            self._send_readings()

    def _checkpoint(self, reason: SaveReason, goes_on: bool = True, predictions: Path | None = None) -> None:
        """Copy the state and write it beside the training, once an earlier checkpoint is written.

        Call `_flush_all` first: the supervisor ends its chunks of points at this step. A training that does not go on
        needs no copy. A full or broken disk does not end the run, because older checkpoints are still good.
        """
        self.writer.wait()
        step = self.training.step
        extra = {"environment": self.environment} | self.training.fitted | self.policy.start_attempt(reason)
        if predictions is not None:
            extra["predictions"] = {"sha256": sha256_of_pieces(pieces_of(predictions))}
        with self.random_state():
            state = (self.writer.copy if goes_on else checkpoint.current_state)(self.training, extra)
        state = state._replace(predictions=predictions)
        self.supervisor.send(Snapshot(step=step))
        self.writer.start(state, partial(self._report_checkpoint, step, reason))
        if goes_on and not state.is_copy:
            self.writer.wait()

    def _report_checkpoint(self, step: int, reason: SaveReason, result: Saved | OSError) -> None:
        """Send what came of a checkpoint; the writing thread calls this."""
        self.policy.end_attempt(saved=isinstance(result, Saved))
        if isinstance(result, OSError):
            self.supervisor.send(CheckpointFailed(step=step, reason=reason.word, detail=describe_error(result)))
            return
        point = RestorePoint(step, result.folder, result.sha256)
        self.restore_points = [*self.restore_points, point][-MAX_RESTORE_POINTS:]
        self.supervisor.send(
            Checkpoint(
                step=step,
                folder=str(result.folder),
                sha256=result.sha256,
                size_bytes=result.size_bytes,
                reason=reason.word,
                value=reason.value,
            )
        )

    def history(self) -> AttemptHistory:
        """Return the restore points and the speed of this attempt."""
        return AttemptHistory(self.restore_points, self.training.step - self.began, time.monotonic() - self.began_at)

    def flush(self, wait: bool = False) -> None:
        """Send the points that the recorder has, if any."""
        with self._flushing:
            if points := self.recorder.drain(wait):
                points += self.data_wait.points(points[0])
                series, payload = pack_points(points)
                self.supervisor.send(PointsFrame(series=series, payload=payload))

    def finish_failed(self) -> None:
        """Send the last points of a failed run, which show most; a broken GPU may not return them, nor its state."""
        with contextlib.suppress(Exception):
            self.writer.wait()
        self._send_readings()
        with contextlib.suppress(RuntimeError):
            self.flush(wait=True)

    @contextlib.contextmanager
    def _flusher(self) -> Iterator[None]:
        """Flush every `flush_s` on a thread, which ends with the context."""
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
            due = time.monotonic() + USAGE_PERIOD_S
            while not over.wait(self.request.flush_s):
                if self.training.device.type == "cuda" and time.monotonic() >= due:
                    self.supervisor.send(DeviceUsage(values=usage(self.training.device)))
                    due = time.monotonic() + USAGE_PERIOD_S
                self.flush()
        except Exception as error:
            self._flusher_error = error


def pack_points(points: list[Points]) -> tuple[list[SeriesHeader], bytes]:
    """Return the series and the payload of a `Points` frame."""
    series = [SeriesHeader(name=p.name, first=p.first, every=p.every, n=p.n) for p in points]
    pieces = [array for p in points for array in (p.steps, p.values) if array is not None]
    return series, b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in pieces)
