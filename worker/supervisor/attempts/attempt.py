"""One attempt of a run: what each frame of its trainer is to it, how it should stop, and how it ends.

It adds what must be written to its writes; its group commits them (worker.supervisor.attempts.group).
"""

import logging
import time
from typing import Any, Protocol

from service.db.runs.claims import Claim
from service.lifecycle import DesiredState
from service.settings import Settings
from service.storage.factory import open_store, open_uploads
from service.tracing import LongSpan
from worker.protocol import (
    Checkpoint,
    CheckpointFailed,
    Ended,
    Failing,
    Fetched,
    Frame,
    Points,
    Reading,
    Snapshot,
    Started,
    Stop,
    TrainRequest,
)
from worker.supervisor.attempts.deadlines import Deadlines
from worker.supervisor.attempts.endings import EndingWriter
from worker.supervisor.attempts.pending_points import PendingPoints, Results
from worker.supervisor.attempts.progress import ProgressWriter
from worker.supervisor.attempts.trace import AttemptTrace
from worker.supervisor.attempts.train_request import train_request, uploads_of
from worker.supervisor.attempts.writes import AttemptWrites
from worker.supervisor.file_transfer import FileTransfer
from worker.supervisor.output import Pace, RunLog

log = logging.getLogger(__name__)


class Group(Protocol):
    """The interface of the attempts of one trainer to each of them."""

    settings: Settings

    @property
    def draining(self) -> bool:
        """Whether the worker was asked to stop."""

    def put_back(self, frame: Frame) -> None:
        """Put a frame back into the queue of frames."""

    def raised_memory(self) -> int | None:
        """Return the bytes that the run reserves next if it ran out of memory beside another; None if it was alone."""


class Attempt:
    """One attempt of one run, from its claim to its end."""

    def __init__(self, group: Group, claim: Claim, size: int) -> None:
        self.group, self.claim, settings = group, claim, group.settings
        self.log = RunLog(log, {"run": claim.run_id, "attempt": claim.attempt, "request": claim.request_id})
        self.trace = AttemptTrace(claim)
        self.pending, self.results, self.checkpoints_pace = PendingPoints(), Results(), Pace()
        limits = [limit for limit in (claim.limit_s, settings.max_run_s) if limit is not None]
        budget_s = max(0.0, min(limits) - claim.trained_s) * size if limits else None  # a pack shares the time
        self.deadlines = Deadlines(settings, budget_s, time.monotonic())
        self.writes = AttemptWrites(claim, self.log)
        stores, cache = (open_store(settings), open_uploads(settings)), settings.checkpoint_cache.resolve()
        self.transfer = FileTransfer(*stores, cache, claim.lease, group.put_back)
        self.progress = ProgressWriter(claim, self.writes, self.pending, self.transfer)
        self.endings = EndingWriter(claim, self.progress, self.deadlines, group.raised_memory, size)
        self.failing: Failing | None = None  # a failure whose cause the trainer is looking for, or of the trainer
        self._ending: LongSpan | None = None

    @property
    def step(self) -> int:
        """The last step whose points have arrived."""
        return max(self.pending.last_step, self.claim.start_step)

    @property
    def ends(self) -> bool:
        """Whether its end is written or waits to be."""
        return self.writes.ends

    def fetch(self) -> None:
        """Fetch what the run starts from; `transfer.fetching` says whether it is not yet on this machine."""
        for others in self.claim.references.values():
            self.transfer.prefetch(others)
        self.transfer.fetch(self.claim.checkpoint, uploads_of(self.claim))

    def request(self) -> TrainRequest:
        """Return the request to the trainer."""
        return train_request(self.claim, self.group.settings, self.transfer)

    def close(self) -> None:
        """Let go of what it holds, once it is over."""
        self.transfer.close()
        if self._ending is not None:
            self._ending.end()
        self.trace.end()

    def handle(self, frame: Frame) -> None:
        """Handle a frame of the trainer."""
        if isinstance(frame, Started):
            self.log.info("trains from step %d to %d", frame.from_step, frame.total_steps)
            self.progress.environment = frame.environment  # written with the first points, which follow
        elif isinstance(frame, Points):
            self._add_points(frame)
        elif isinstance(frame, Fetched):
            self.transfer.fetching = False
        else:
            self.progress.flush_environment()
            self._handle_milestone(frame)

    def _add_points(self, frame: Points) -> None:
        self.pending.add(frame)
        if line := self.results.line(frame, time.monotonic()):
            self.log.keep(line)
        self.trace.record_step(frame.series[0]["first"] if frame.series else 0)
        self.deadlines.record_step(self.pending.last_step, time.monotonic())

    def _handle_milestone(self, frame: Frame) -> None:
        match frame:
            case Reading():
                self.progress.save_reading(frame)
                self.deadlines.record_reading(time.monotonic())
            case Snapshot():
                self.progress.flush()  # a chunk of points ends at a checkpoint's step
            case Checkpoint():
                self._save_checkpoint(frame)
            case CheckpointFailed():
                self.progress.record_failed_checkpoint(frame)
            case Ended():
                self.log.info("%s at step %d%s", frame.outcome, frame.step, f" ({frame.note})" if frame.note else "")
                self.log.keep(f"last values: {self.results}")
                self._ending = self.trace.part("ending", frame.step)
                self.endings.end(frame.outcome, frame.note, frame.memory)
            case Failing():
                self.failing = frame

    def _save_checkpoint(self, frame: Checkpoint) -> None:
        span = self.trace.part("checkpoint", frame.step)
        self.progress.save_checkpoint(frame, span.end)
        if frame.reason != "due" or self.checkpoints_pace.is_due(time.monotonic()):
            self.log.info("checkpoint at step %d (%s)", frame.step, frame.reason)

    def fail(self, kind: str, detail: str, evidence: dict[str, Any]) -> None:
        """End the attempt with a failure that its trainer reported."""
        self.trace.error = kind
        self.log.warning("failed (%s): %s", kind, detail)
        self.endings.fail(kind, detail, evidence)

    def crash(self, kind: str, detail: str, evidence: dict[str, Any]) -> None:
        """End the attempt because its trainer died, or was killed because it hung."""
        self.progress.flush_environment()
        self.trace.error = kind
        self.log.error("the trainer ended (%s): %s", kind, detail)
        self.endings.fail(kind, detail, {"step": self.step} | evidence)

    def wanted_stop(self, now: float, yields: bool) -> Stop | None:
        """Return how the trainer should stop, or None; `yields`: it makes way for another run."""
        if self.deadlines.is_out_of_time(now):
            self.endings.out_of_time = True
        desired = self.progress.desired
        if desired is DesiredState.CANCEL:
            return "cancel"
        if desired is DesiredState.PAUSE and not self.endings.out_of_time:
            return "pause"
        if self.endings.out_of_time or self.group.draining:
            return "drain"
        return "yield" if yields and self.failing is None else None
