"""The supervision of one attempt: starts the trainer, stores its frames, forwards stop requests, kills it if it hangs.

Every transaction starts with the fence and is repeated if its answer is lost (worker.supervisor.transactions).
"""

import logging
import queue
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import Connection, Engine
from service.errors import Fenced, Unavailable
from service.lifecycle import DesiredState
from service.settings import Settings
from service.spec.datasets.upload_references import hashes_of
from service.storage.factory import open_store, open_uploads
from worker.device_errors import explain
from worker.protocol import (
    OUTCOMES,
    Checkpoint,
    CheckpointFailed,
    CheckpointFiles,
    Died,
    Ended,
    Failed,
    Failing,
    Fetched,
    Frame,
    Points,
    Reading,
    Snapshot,
    Started,
    Stop,
    StopRequest,
    TrainRequest,
)
from worker.supervisor.causes import assertion_evidence, output_evidence, with_cause
from worker.supervisor.deadlines import Deadlines
from worker.supervisor.device_check import TrainerStarter, is_device_broken
from worker.supervisor.endings import EndingWriter
from worker.supervisor.file_transfer import FileTransfer
from worker.supervisor.output import Pace, RunLog
from worker.supervisor.pending_points import PendingPoints, Results
from worker.supervisor.presence import Presence
from worker.supervisor.progress import ProgressWriter
from worker.supervisor.trace import AttemptTrace
from worker.supervisor.trainer_account import trainer_account
from worker.supervisor.trainer_process import TrainerProcess
from worker.supervisor.transactions import FencedTransactions

log = logging.getLogger(__name__)
SPARE_AFTER_S = 2.0  # after the first step; shorter runs need no spare trainer
MAX_PENDING_POINTS = 100_000  # flush beyond this even if more frames wait


class WorkerContext(TrainerStarter, Protocol):
    """The interface of a worker to its attempts."""

    settings: Settings
    engine: Engine
    presence: Presence

    @property
    def draining_s(self) -> float | None:
        """Seconds since the worker was asked to stop; None if it was not."""

    def note_contact(self) -> None:
        """Record that Postgres has just answered."""

    def warm_spare(self) -> None:
        """Start a spare trainer, in case this one dies."""

    def discard(self, trainer: TrainerProcess) -> None:
        """Kill this trainer."""

    def raised_memory(self) -> int | None:
        """Return the bytes that the run reserves next if it ran out of memory beside another; None if it was alone."""

    def stop_unhealthy(self, why: str) -> None:
        """Claim no more runs, because the device is broken."""


class AttemptSupervisor:
    """Supervises one attempt of one run, from its claim to its end."""

    def __init__(self, worker: WorkerContext, claim: Claim, trainer: TrainerProcess) -> None:
        self.worker, self.claim, self.trainer, self.settings = worker, claim, trainer, worker.settings
        self.log = RunLog(log, {"run": claim.run_id, "attempt": claim.attempt, "request": claim.request_id})
        self.trace = AttemptTrace(claim)
        self.pending, self.results, self.checkpoints_pace = PendingPoints(), Results(), Pace()
        limits = [limit for limit in (claim.limit_s, self.settings.max_run_s) if limit is not None]
        budget_s = max(0.0, min(limits) - claim.trained_s) if limits else None
        self.deadlines = Deadlines(self.settings, budget_s, time.monotonic())
        note_contact, before_retry = worker.note_contact, self._before_retry
        self.transactions = FencedTransactions(worker.engine, claim, note_contact, before_retry, self.log)
        stores = open_store(self.settings), open_uploads(self.settings)
        cache = self.settings.checkpoint_cache.resolve()
        self.transfer = FileTransfer(*stores, cache, claim.lease, trainer.frames.put)
        self.progress = ProgressWriter(claim, self.transactions, self.pending, self.transfer, self._beat)
        self.endings = EndingWriter(claim, self.progress, self.deadlines, worker.raised_memory)
        self.failing: Failing | None = None  # a failure whose cause the trainer is looking for

    def run(self) -> None:
        """Supervise to the end; if the lease is lost, kill the trainer and write nothing more."""
        self.trainer.begin(self.log)
        self.log.info("claimed by %s", self.settings.worker_name)
        self.worker.presence.postpone_beat()
        try:
            self._begin()
            while not self._advance():
                pass
        except Fenced:
            self.log.warning("the lease is lost: stopping")
            self.worker.discard(self.trainer)
        except Unavailable:
            self.log.error("giving up: the worker stops, and the database does not answer")
            self.worker.discard(self.trainer)
        finally:
            self.transfer.close()
            self.trace.end()

    def _begin(self) -> None:
        """Start training, at once or when what it starts from is on this machine."""
        for others in self.claim.references.values():
            self.transfer.prefetch(others)
        if self.transfer.fetch(self.claim.checkpoint, self._uploads()):
            self._send_train_request()

    def _uploads(self) -> list[str]:
        """Return the hashes of the files that the trainer reads: to predict rows, none but the checkpoint."""
        predicts = self.claim.task is not None and "rows" in self.claim.task
        return [] if predicts else hashes_of(self.claim.spec)

    def _send_train_request(self) -> None:
        claim, settings = self.claim, self.settings
        folder = settings.checkpoint_dir / claim.run_id / f"a{claim.attempt}-{claim.lease[:8]}"
        folder = self.transfer.trainer_folder(folder).resolve()
        resume = self._files([claim.checkpoint])[0] if claim.checkpoint else None
        others = {name: self._files(saved) for name, saved in claim.references.items()}
        account = trainer_account(settings)
        for sha256 in self._uploads():
            account.show_upload(self.transfer.uploads.folder, sha256)
        for files in (*chain.from_iterable(others.values()), *([resume] if resume else [])):
            account.give_checkpoint(Path(files["folder"]))
        account.give_checkpoint(folder / "next")
        self.trainer.send(
            TrainRequest(
                spec=claim.spec,
                seed=claim.seed,
                threads=settings.threads,
                flush_s=settings.flush_s,
                checkpoint_s=settings.checkpoint_s,
                folder=str(folder),
                datasets=str(self.transfer.uploads.folder),
                mounted=str(settings.dataset_folder.resolve()) if settings.dataset_folder else None,
                resident_bytes=settings.resident_bytes,
                resume=resume,
                fork=claim.forked,
                pause_at=claim.pause_at,
                last_step=claim.total_steps,
                autopsy_s=settings.autopsy_s,
                task=claim.task,
                other_states=others,
            )
        )

    def _files(self, saved: Sequence[SavedCheckpoint]) -> list[CheckpointFiles]:
        return [{"folder": str(self.transfer.local_folder(each)), "sha256": each.sha256} for each in saved]

    def _advance(self) -> bool:
        """Handle the next frame, or a timeout; return True once the attempt has ended."""
        try:
            frame = self.trainer.frames.get(timeout=self._frame_timeout_s())
        except queue.Empty:
            return self._tick()
        if self.transfer.intercepts(frame):
            if isinstance(frame, Checkpoint):
                self.progress.flush()  # a chunk of points ends at a checkpoint's step
            return self._tick()
        if isinstance(frame, Died):
            self._record_death()
            return True
        if frame.lease not in (None, self.claim.lease):
            return False  # from the previous run
        return self._handle(frame) or self._tick()

    @property
    def _beat_s(self) -> float:
        """Seconds between writes, which also read the desired state, even during a slow step."""
        return min(self.settings.beat_s, self.settings.wish_s)

    def _frame_timeout_s(self) -> float:
        """Seconds to wait for a frame before the next write is due."""
        return max(0.01, min(self._beat_s / 4, self.transactions.last_write + self._beat_s - time.monotonic()))

    def _handle(self, frame: Frame) -> bool:
        """Handle a frame; return True if it ends the attempt."""
        if isinstance(frame, Started):
            self.log.info("trains from step %d to %d", frame.from_step, frame.total_steps)
            self.progress.environment = frame.environment  # written with the first points, which follow
            return False
        if isinstance(frame, Points):
            self._add_points(frame)
            return False
        if isinstance(frame, Fetched):
            self.transfer.fetching = False
            self._send_train_request()
            return False
        self.progress.flush_environment()
        return self._handle_milestone(frame)

    def _add_points(self, frame: Points) -> None:
        self.pending.add(frame)
        if line := self.results.line(frame, time.monotonic()):
            self.log.keep(line)
        self.trace.record_step(frame.series[0]["first"] if frame.series else 0)
        self.deadlines.record_step(self.pending.last_step, time.monotonic())
        if self.trainer.frames.empty() or self.pending.count > MAX_PENDING_POINTS:
            self.progress.flush()

    def _handle_milestone(self, frame: Frame) -> bool:
        match frame:
            case Reading():
                self.progress.save_reading(frame)
                self.deadlines.record_reading(time.monotonic())
            case Snapshot():
                self.progress.flush()  # a chunk of points ends at a checkpoint's step
            case Checkpoint():
                with self.trace.part("checkpoint", frame.step):
                    self.progress.save_checkpoint(frame)
                if frame.reason != "due" or self.checkpoints_pace.is_due(time.monotonic()):
                    self.log.info("checkpoint at step %d (%s)", frame.step, frame.reason)
            case CheckpointFailed():
                if self.progress.record_failed_checkpoint(frame):
                    self.worker.discard(self.trainer)
                    return True
            case Ended():
                self.log.info("%s at step %d%s", frame.outcome, frame.step, f" ({frame.note})" if frame.note else "")
                self.log.keep(f"last values: {self.results}")
                with self.trace.part("ending", frame.step):
                    self.endings.end(frame.outcome, frame.note, frame.memory)
                return True
            case Failed():
                self._fail(frame)
                return True
            case Failing():
                self.failing = frame
        return False

    def _tick(self) -> bool:
        """Write if due, forward stop requests, kill a trainer that hangs; return True once the attempt has ended."""
        now = time.monotonic()
        if now - self.transactions.last_write >= self._beat_s:
            self.progress.flush()
        if (stop := self._wanted_stop()) is not None:
            if self.transfer.fetching:  # the trainer has not begun
                self.endings.end(OUTCOMES[stop], None)
                return True
            self._request_stop(stop)
        if self.deadlines.stepping_s(now) > SPARE_AFTER_S:
            self.worker.warm_spare()
        verdict = self.deadlines.check(time.monotonic(), self.trainer.moved_at)
        if verdict is None or self.transfer.ending or not self.trainer.frames.empty():  # handle frames first
            return False
        if verdict == "stalled":
            self._end_stalled()
        else:
            stop, grace_s = self.deadlines.requested, self.deadlines.grace_s
            self.log.warning("the trainer did not obey %s within %g s: killing it", stop, grace_s)
            self.worker.discard(self.trainer)
            self.endings.end_killed()
        return True

    def _wanted_stop(self) -> Stop | None:
        """Return how the trainer should stop, or None."""
        if self.deadlines.is_out_of_time(time.monotonic()):
            self.endings.out_of_time = True
        desired = self.progress.desired
        if desired is DesiredState.CANCEL:
            return "cancel"
        if desired is DesiredState.PAUSE and not self.endings.out_of_time:
            return "pause"
        if self.endings.out_of_time or self.worker.draining_s is not None:
            return "drain"
        makes_way = (
            desired is DesiredState.YIELD and self.failing is None and self.deadlines.may_yield(time.monotonic())
        )
        return "yield" if makes_way else None

    def _request_stop(self, stop: Stop) -> None:
        if self.deadlines.request(stop, time.monotonic()):
            self.trainer.send(StopRequest(how=stop))

    def _before_retry(self) -> None:
        """Stop the trainer after `fence_s` without the database; give up `drain_s` after the worker was asked to stop.

        After `fence_s` without contact another worker may train this run. The trainer saves its state, and its frames
        wait here. What is not written is trained again once the lease has expired.
        """
        draining_s = self.worker.draining_s
        if draining_s is not None or time.monotonic() - self.transactions.last_write > self.settings.fence_s:
            self._request_stop("drain")
        if draining_s is not None and draining_s > self.settings.drain_s:
            raise Unavailable("The worker stops, and the database does not answer.")

    def _beat(self, connection: Connection) -> None:
        """Update the worker's row in the same transaction."""
        state = "busy" if self.worker.draining_s is None else "draining"
        self.worker.presence.beat_if_due(connection, state, self.claim.run_id)

    def _fail(self, frame: Failing) -> None:
        """End the attempt with this failure."""
        kind, detail, evidence = frame.kind, frame.detail, {"step": frame.step, **frame.evidence}
        if "cause" in evidence:  # a GPU's assertion is in the output only
            evidence |= assertion_evidence(self.trainer.output_tail())
            detail = with_cause(detail, evidence)
        if kind == "device_error":
            kind = "device_failed" if self._is_device_broken(evidence) else "crashed"
        self.trace.error = kind
        self.log.warning("failed (%s): %s", kind, detail)
        self.log.info("now %s", self.endings.fail(kind, detail, evidence))
        if kind == "device_failed":
            self.worker.stop_unhealthy(f"{detail}; {evidence['device']}")
        elif not (isinstance(frame, Failed) and frame.trainer_usable):
            self.worker.discard(self.trainer)

    def _end_stalled(self) -> None:
        """Kill a trainer that hangs, with its stack as evidence."""
        if self.failing is not None:  # it hangs in the search for the cause
            self._fail(self.failing)
            return
        seconds = round(self.deadlines.quiet_s(time.monotonic()), 1)
        self._crash("stalled", f"no step for {seconds:g} s", {"seconds": seconds, "stack": self.trainer.stack()})

    def _record_death(self) -> None:
        """End an attempt whose trainer has died."""
        if self.failing is not None:
            self._fail(self.failing)
            return
        kind, detail = self.trainer.describe_end()
        output = self.trainer.output_tail()
        evidence = {"stderr": output, **output_evidence(output)}
        known = explain(output)
        suspect = kind == "trainer_died" and known is not None and known.kind == "device_error"
        self._crash(kind, with_cause(detail, evidence), evidence, suspect)

    def _crash(self, kind: str, detail: str, evidence: dict[str, Any], suspect: bool = False) -> None:
        """End an attempt whose trainer did not report its end; `suspect`: the device may be the reason."""
        if not suspect:  # else the check replaces it, by a fresh one and not by the spare
            self.worker.discard(self.trainer)
        self.progress.flush_environment()
        evidence = {"step": max(self.pending.last_step, self.claim.start_step)} | evidence
        if suspect and self._is_device_broken(evidence):
            kind = "device_failed"
        self.trace.error = kind
        self.log.error("the trainer ended (%s): %s", kind, detail)
        self.log.info("now %s", self.endings.fail(kind, detail, evidence))
        if kind == "device_failed":
            self.worker.stop_unhealthy(f"{detail}; {evidence['device']}")

    def _is_device_broken(self, evidence: dict[str, Any]) -> bool:
        return is_device_broken(self.worker, self.trainer, self._keep_lease, evidence)

    def _keep_lease(self) -> bool:
        """Write if due; return False once the run or the worker is asked to stop."""
        if time.monotonic() - self.transactions.last_write >= self._beat_s:
            self.progress.flush()
        goes_on = self.progress.desired in (DesiredState.RUN, DesiredState.YIELD)
        return goes_on and self.worker.draining_s is None
