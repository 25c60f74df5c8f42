"""The attempts of one trainer, one or those of a pack: one loop over its frames, the time limits and the writes.

Each frame goes to the attempt that it is about. What all of them have to write is committed together.
"""

import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from service.db.runs.claims import Claim
from service.db.session import Connection, Engine
from service.errors import Unavailable
from service.lifecycle import DesiredState
from service.settings import Settings
from worker.device_errors import explain
from worker.protocol import (
    OUTCOMES,
    Checkpoint,
    Died,
    Ended,
    Failed,
    Failing,
    Frame,
    PackRequest,
    Stop,
    StopRequest,
)
from worker.supervisor.attempts.attempt import Attempt
from worker.supervisor.attempts.writes import GroupWriter
from worker.supervisor.causes import assertion_evidence, output_evidence, with_cause
from worker.supervisor.device_check import TrainerStarter, is_device_broken
from worker.supervisor.output import SharedLog
from worker.supervisor.presence import Presence
from worker.supervisor.trainer_process import TrainerProcess

SPARE_AFTER_S = 2.0  # after the first step; shorter runs need no spare trainer
MAX_PENDING_POINTS = 100_000  # flush beyond this even if more frames wait
FLUSH_PER_RUN_S = 0.02  # seconds between two flushes of a pack, for each of its runs
MAX_FLUSH_S = 1.0
TAKE_S = 0.1  # longest time to take frames that wait before the next write


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


class AttemptGroup:
    """Supervises the attempts of one trainer from their claim to their ends."""

    def __init__(self, worker: WorkerContext, claims: Sequence[Claim], trainer: TrainerProcess) -> None:
        self.worker, self.trainer = worker, trainer
        self.settings, self.engine = worker.settings, worker.engine
        self.attempts = {claim.lease: Attempt(self, claim, len(claims)) for claim in claims}  # those that are not over
        self.size = len(claims)
        self.writer = GroupWriter(worker.engine, self._beat, worker.note_contact, self._before_retry)
        self._worker_run = claims[0].run_id  # that the worker's row names
        self._begun, self._is_pack = False, False  # the trainer has its request; that is one for several runs
        self._is_preempted = False  # one was asked to make way, so all do
        self._training: set[str] = set()  # leases of the runs of the request whose end the trainer has not reported
        self._device: tuple[bool, dict[str, Any]] | None = None  # whether it is broken, once that was checked

    @property
    def draining(self) -> bool:
        """Whether the worker was asked to stop."""
        return self.worker.draining_s is not None

    def put_back(self, frame: Frame) -> None:
        """Put a frame back into the queue of frames."""
        self.trainer.frames.put(frame)

    def raised_memory(self) -> int | None:
        """Return the bytes that the run reserves next; None for a run of a pack, which is retried alone."""
        return self.worker.raised_memory() if self.size == 1 else None

    def _beat(self, connection: Connection) -> None:
        """Update the worker's row in the same transaction, if that is due."""
        state = "draining" if self.draining else "busy"
        self.worker.presence.beat_if_due(connection, state, self._worker_run)

    def run(self) -> None:
        """Supervise to the last end. A run whose lease is lost is stopped, and nothing more is written for it."""
        everyone = list(self.attempts.values())
        logs = [attempt.log for attempt in everyone]
        self.trainer.begin(logs[0] if self.size == 1 else SharedLog(logs))
        for attempt in everyone:
            pack = f" in a pack of {self.size}" if self.size > 1 else ""
            attempt.log.info("claimed by %s%s", self.settings.worker_name, pack)
        self.worker.presence.postpone_beat()
        try:
            for attempt in everyone:
                attempt.fetch()
            while self.attempts:
                self._advance()
            if self._training:  # it still trains a run that is over here
                self.worker.discard(self.trainer)
        except Unavailable:
            everyone[0].log.error("giving up: the worker stops, and the database does not answer")
            self.worker.discard(self.trainer)
        finally:
            for attempt in everyone:
                attempt.close()

    def _advance(self) -> None:
        """Handle the frames that are there, or a timeout; then write what is due."""
        self._begin_if_ready()
        for frame in self._frames():
            self._route(frame)
        self._tick()
        if self.attempts and self._is_write_due():
            self._commit()

    def _begin_if_ready(self) -> None:
        """Start training once what the runs start from is on this machine."""
        ready = self._open
        if self._begun or not ready or any(attempt.transfer.fetching for attempt in ready):
            return
        self._begun, self._is_pack, self._training = True, len(ready) > 1, {each.claim.lease for each in ready}
        requests = [attempt.request() for attempt in ready]
        if self._is_pack:
            leased = [replace(each, lease=attempt.claim.lease) for each, attempt in zip(requests, ready, strict=True)]
            self.trainer.send(PackRequest.of(leased))
        else:
            self.trainer.send(requests[0])

    def _frames(self) -> Iterator[Frame]:
        """Wait for a frame until the next write is due, and yield it with those behind it."""
        frames, end = self.trainer.frames, time.monotonic() + TAKE_S
        try:
            yield frames.get(timeout=self._frame_timeout_s())
        except queue.Empty:
            return
        while not frames.empty() and self._pending <= MAX_PENDING_POINTS and time.monotonic() < end:
            yield frames.get()

    @property
    def _open(self) -> list[Attempt]:
        """The attempts whose end is neither written nor waits to be."""
        return [attempt for attempt in self.attempts.values() if not attempt.ends]

    @property
    def _pending(self) -> int:
        return sum(attempt.pending.count for attempt in self.attempts.values())

    @property
    def _beat_s(self) -> float:
        """Seconds between writes, which also read the desired state, even during a slow step."""
        return min(self.settings.beat_s, self.settings.wish_s)

    @property
    def _flush_s(self) -> float:
        """Seconds between writes of points: of one run as they come, of a pack less often the more runs it has."""
        return min(MAX_FLUSH_S, FLUSH_PER_RUN_S * self.size) if self.size > 1 else 0.0

    def _frame_timeout_s(self) -> float:
        """Seconds to wait for a frame before the next write is due."""
        period = self._flush_s if self._pending else self._beat_s
        return max(0.01, min(self._beat_s / 4, self._last_write + period - time.monotonic()))

    def _route(self, frame: Frame) -> None:
        """Hand a frame to the attempt that it is about, or to all."""
        for attempt in self._addressees(frame):
            if attempt.transfer.intercepts(frame):
                if isinstance(frame, Checkpoint):
                    attempt.progress.flush()  # a chunk of points ends at a checkpoint's step
            elif isinstance(frame, Died):
                self._record_death(attempt)
            elif isinstance(frame, Failed):
                self._record_failure(attempt, frame)
            else:
                attempt.handle(frame)
                if attempt.ends and not isinstance(frame, Ended):  # its checkpoints fail: the server pauses it
                    self._stop_slot(attempt)

    def _addressees(self, frame: Frame) -> list[Attempt]:
        """Return the attempts that a frame is about; none if they are over."""
        if isinstance(frame, Ended | Failed):
            self._training.difference_update([frame.lease] if frame.lease else list(self._training))
        found = [self.attempts.get(frame.lease)] if frame.lease else list(self.attempts.values())
        return [attempt for attempt in found if attempt is not None and not attempt.ends]

    def _tick(self) -> None:
        """Forward stop requests, and kill a trainer that hangs."""
        now, attempts = time.monotonic(), self._open
        self._is_preempted |= any(attempt.progress.desired is DesiredState.YIELD for attempt in attempts)
        yields = self._is_preempted and any(attempt.deadlines.may_yield(now) for attempt in attempts)
        for attempt in attempts:
            if (stop := attempt.wanted_stop(now, yields)) is not None:
                self._request_stop(attempt, stop)
        if any(attempt.deadlines.stepping_s(now) > SPARE_AFTER_S for attempt in attempts):
            self.worker.warm_spare()
        self._check_deadlines(self._open)

    def _check_deadlines(self, attempts: Sequence[Attempt]) -> None:
        progress_at = max((attempt.deadlines.progress_at for attempt in attempts), default=0.0)
        for attempt in attempts:
            attempt.deadlines.progress_at = progress_at  # of a pack: one loop trains them all
            verdict = attempt.deadlines.check(time.monotonic(), self.trainer.moved_at)
            if verdict is None or attempt.transfer.ending or not self.trainer.frames.empty():  # handle frames first
                continue
            if verdict == "stalled":
                self._end_stalled(attempt)
            else:
                self._end_disobedient(attempt)
            return

    def _request_stop(self, attempt: Attempt, stop: Stop) -> None:
        if not self._begun:
            attempt.endings.end(OUTCOMES[stop], None)
        elif attempt.deadlines.request(stop, time.monotonic()):
            self._send_stop(attempt, stop)

    def _send_stop(self, attempt: Attempt, stop: Stop) -> None:
        self.trainer.send(StopRequest(how=stop, lease=attempt.claim.lease if self._is_pack else None))

    def _stop_slot(self, attempt: Attempt) -> None:
        """Have the trainer leave a run alone for which nothing more is written."""
        if self._is_pack:
            self._send_stop(attempt, "cancel")
        else:
            self.worker.discard(self.trainer)

    def _is_write_due(self) -> bool:
        quiet_s = time.monotonic() - self._last_write
        if quiet_s >= self._beat_s or any(attempt.writes.waiting for attempt in self.attempts.values()):
            return True
        pending = self._pending
        is_time = self.trainer.frames.empty() and quiet_s >= self._flush_s
        return pending > MAX_PENDING_POINTS or (pending > 0 and is_time)

    @property
    def _last_write(self) -> float:
        """When the attempt that has waited the longest was last written (monotonic)."""
        return min((each.writes.written_at for each in self.attempts.values()), default=time.monotonic())

    def _commit(self) -> None:
        """Write all that waits, and a heartbeat of each run that has none for too long."""
        now = time.monotonic()
        for attempt in self.attempts.values():
            has_news = attempt.pending.count or attempt.progress.environment is not None
            if not attempt.ends and (has_news or now - attempt.writes.written_at >= self._beat_s):
                attempt.progress.flush()
        lost = self.writer.commit([attempt.writes for attempt in self.attempts.values()])
        for lease, attempt in list(self.attempts.items()):
            if attempt.writes in lost:
                attempt.log.warning("the lease is lost: stopping")
                self._stop_slot(attempt)
            if attempt.ends or attempt.writes in lost:
                del self.attempts[lease]
                attempt.close()

    def _before_retry(self) -> None:
        """Stop the trainer after `fence_s` without the database; give up `drain_s` after the worker was asked to stop.

        After `fence_s` without contact another worker may train these runs. The trainer saves their states, and its
        frames wait here. What is not written is trained again once the leases have expired.
        """
        draining_s = self.worker.draining_s
        if draining_s is not None or time.monotonic() - self._last_write > self.settings.fence_s:
            for attempt in self._open:
                self._request_stop(attempt, "drain")
        if draining_s is not None and draining_s > self.settings.drain_s:
            raise Unavailable("The worker stops, and the database does not answer.")

    def _record_failure(self, attempt: Attempt, frame: Failed) -> None:
        """End an attempt whose trainer reports a failure; where it will not survive it, all of them with its death."""
        if frame.lease is not None and not frame.trainer_usable and len(self._open) > 1:
            attempt.failing = frame
        else:
            self._fail(attempt, frame)

    def _fail(self, attempt: Attempt, frame: Failing) -> None:
        """End an attempt with this failure."""
        kind, detail, evidence = frame.kind, frame.detail, {"step": frame.step, **frame.evidence}
        if "cause" in evidence:  # a GPU's assertion is in the output only
            evidence |= assertion_evidence(self.trainer.output_tail())
            detail = with_cause(detail, evidence)
        if kind == "device_error":
            kind = "device_failed" if self._finds_device_broken(evidence) else "crashed"
        attempt.fail(kind, detail, evidence)
        if kind == "device_failed":
            self._commit()
            self.worker.stop_unhealthy(f"{detail}; {evidence['device']}")
        elif not (isinstance(frame, Failed) and frame.trainer_usable):
            self.worker.discard(self.trainer)

    def _end_stalled(self, attempt: Attempt) -> None:
        """Kill a trainer that hangs, with its stack as evidence."""
        seconds = round(attempt.deadlines.quiet_s(time.monotonic()), 1)
        stack = "" if attempt.failing is not None else self.trainer.stack()
        self.worker.discard(self.trainer)
        for each in self._open:
            if each.failing is not None:  # it hangs in the search for the cause
                self._fail(each, each.failing)
            else:
                each.crash("stalled", f"no step for {seconds:g} s", {"seconds": seconds, "stack": stack})

    def _end_disobedient(self, attempt: Attempt) -> None:
        """Kill a trainer that does not stop a run in time."""
        stop, grace_s = attempt.deadlines.requested, attempt.deadlines.grace_s
        attempt.log.warning("the trainer did not obey %s within %g s: killing it", stop, grace_s)
        self.worker.discard(self.trainer)
        for each in self._open:
            if each.deadlines.requested in (None, "yield"):
                each.crash("trainer_died", "killed, because another run of its pack did not stop in time", {})
            else:
                each.endings.end_killed()

    def _record_death(self, attempt: Attempt) -> None:
        """End an attempt whose trainer has died."""
        if attempt.failing is not None:
            self._fail(attempt, attempt.failing)
            return
        kind, detail, is_suspect = self._death
        output = self.trainer.output_tail()
        evidence = {"stderr": output, **output_evidence(output)}
        if not is_suspect:  # else the check replaces it, by a fresh one and not by the spare
            self.worker.discard(self.trainer)
        elif self._finds_device_broken(evidence):
            kind = "device_failed"
        detail = with_cause(detail, evidence)
        attempt.crash(kind, detail, evidence)
        if kind == "device_failed":
            self._commit()
            self.worker.stop_unhealthy(f"{detail}; {evidence['device']}")

    @cached_property
    def _death(self) -> tuple[str, str, bool]:
        """How the trainer died, as a kind and in words, and whether the device may be the reason."""
        kind, detail = self.trainer.describe_end()
        known = explain(self.trainer.output_tail())
        return kind, detail, kind == "trainer_died" and known is not None and known.kind == "device_error"

    def _finds_device_broken(self, evidence: dict[str, Any]) -> bool:
        """Check the device, once for all attempts, and add the answer to the evidence."""
        if self._device is None:
            found: dict[str, Any] = {}
            self._device = is_device_broken(self.worker, self.trainer, self._keep_leases, found), found
        is_broken, found = self._device
        evidence |= found
        return is_broken

    def _keep_leases(self) -> bool:
        """Write if due; return False once the runs or the worker are asked to stop."""
        if time.monotonic() - self._last_write >= self._beat_s:
            self._commit()
        desired = [attempt.progress.desired for attempt in self.attempts.values()]
        return not self.draining and any(each in (DesiredState.RUN, DesiredState.YIELD) for each in desired)
