"""The attempts of one trainer, one or those of a pack: one loop over its frames, the time limits and the writes.

Each frame goes to the attempt that it is about. What all of them have to write is committed together.
"""

import contextlib
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.db.runs.claims import Claim
from service.db.session import Connection
from service.errors import Unavailable
from service.lifecycle import DesiredState
from worker.protocol import (
    OUTCOMES,
    Checkpoint,
    Died,
    Ended,
    Failed,
    Frame,
    PackRequest,
    Stop,
    StopRequest,
)
from worker.supervisor.attempts.attempt import Attempt
from worker.supervisor.attempts.trainer_failures import TrainerFailures, WorkerContext
from worker.supervisor.attempts.writes import GroupWriter
from worker.supervisor.cleanup import remove_orphans
from worker.supervisor.output import SharedLog
from worker.supervisor.trainer_process import TrainerProcess

SPARE_AFTER_S = 2.0  # after the first step; shorter runs need no spare trainer
MAX_PENDING_POINTS = 100_000  # flush beyond this even if more frames wait
FLUSH_PER_RUN_S = 0.02  # seconds between two flushes of a pack, for each of its runs
MAX_FLUSH_S = 1.0
TAKE_S = 0.1  # longest time to take frames that wait before the next write


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
        self.failures = TrainerFailures(self)

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
            self.commit()

    def _begin_if_ready(self) -> None:
        """Start training once what the runs start from is on this machine."""
        ready = self.open
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
    def open(self) -> list[Attempt]:
        """The attempts whose end is neither written nor waits to be."""
        return [attempt for attempt in self.attempts.values() if not attempt.ends]

    @property
    def _pending(self) -> int:
        return sum(attempt.pending.count for attempt in self.attempts.values())

    @property
    def beat_s(self) -> float:
        """Seconds between writes, which also read the desired state, even during a slow step."""
        return min(self.settings.beat_s, self.settings.wish_s)

    @property
    def _flush_s(self) -> float:
        """Seconds between writes of points: of one run as they come, of a pack less often the more runs it has."""
        return min(MAX_FLUSH_S, FLUSH_PER_RUN_S * self.size) if self.size > 1 else 0.0

    def _frame_timeout_s(self) -> float:
        """Seconds to wait for a frame before the next write is due."""
        period = self._flush_s if self._pending else self.beat_s
        return max(0.01, min(self.beat_s / 4, self.last_write + period - time.monotonic()))

    def _route(self, frame: Frame) -> None:
        """Hand a frame to the attempt that it is about, or to all."""
        for attempt in self._addressees(frame):
            if attempt.transfer.intercepts(frame):
                if isinstance(frame, Checkpoint):
                    attempt.progress.flush()  # a chunk of points ends at a checkpoint's step
            elif isinstance(frame, Died):
                self.failures.record_death(attempt)
            elif isinstance(frame, Failed):
                self.failures.record_failure(attempt, frame)
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
        now, attempts = time.monotonic(), self.open
        self._is_preempted |= any(attempt.progress.desired is DesiredState.YIELD for attempt in attempts)
        yields = self._is_preempted and any(attempt.deadlines.may_yield(now) for attempt in attempts)
        for attempt in attempts:
            if (stop := attempt.wanted_stop(now, yields)) is not None:
                self._request_stop(attempt, stop)
        if any(attempt.deadlines.stepping_s(now) > SPARE_AFTER_S for attempt in attempts):
            self.worker.warm_spare()
        self._check_deadlines(self.open)

    def _check_deadlines(self, attempts: Sequence[Attempt]) -> None:
        progress_at = max((attempt.deadlines.progress_at for attempt in attempts), default=0.0)
        for attempt in attempts:
            attempt.deadlines.progress_at = progress_at  # of a pack: one loop trains them all
            verdict = attempt.deadlines.check(time.monotonic(), self.trainer.moved_at)
            if verdict is None or attempt.transfer.ending or not self.trainer.frames.empty():  # handle frames first
                continue
            if verdict == "stalled":
                self.failures.end_stalled(attempt)
            else:
                self.failures.end_disobedient(attempt)
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
        quiet_s = time.monotonic() - self.last_write
        if quiet_s >= self.beat_s or any(attempt.writes.waiting for attempt in self.attempts.values()):
            return True
        pending = self._pending
        is_time = self.trainer.frames.empty() and quiet_s >= self._flush_s
        return pending > MAX_PENDING_POINTS or (pending > 0 and is_time)

    @property
    def last_write(self) -> float:
        """When the attempt that has waited the longest was last written (monotonic)."""
        return min((each.writes.written_at for each in self.attempts.values()), default=time.monotonic())

    def commit(self) -> None:
        """Write all that waits, and a heartbeat of each run that has none for too long."""
        now = time.monotonic()
        for attempt in self.attempts.values():
            has_news = attempt.pending.count or attempt.progress.environment is not None
            if not attempt.ends and (has_news or now - attempt.writes.written_at >= self.beat_s):
                attempt.progress.flush()
        lost = self.writer.commit([attempt.writes for attempt in self.attempts.values()])
        self._remove_orphans()
        for lease, attempt in list(self.attempts.items()):
            if attempt.writes in lost:
                attempt.log.warning("the lease is lost: stopping")
                self._stop_slot(attempt)
            if attempt.ends or attempt.writes in lost:
                del self.attempts[lease]
                attempt.close()

    def _remove_orphans(self) -> None:
        """Remove files of checkpoints that no row names, once for all runs that have just saved one."""
        saved = [attempt for attempt in self.attempts.values() if attempt.progress.has_retired]
        for attempt in saved:
            attempt.progress.has_retired = False
        # a bucket is slow to list, so it is only cleaned at the start
        if saved and (store := saved[0].transfer.store).in_place:
            with contextlib.suppress(OSError, Unavailable):
                remove_orphans(self.engine, store, [attempt.claim.run_id for attempt in saved])

    def _before_retry(self) -> None:
        """Stop the trainer after `fence_s` without the database; give up `drain_s` after the worker was asked to stop.

        After `fence_s` without contact another worker may train these runs. The trainer saves their states, and its
        frames wait here. What is not written is trained again once the leases have expired.
        """
        draining_s = self.worker.draining_s
        if draining_s is not None or time.monotonic() - self.last_write > self.settings.fence_s:
            for attempt in self.open:
                self._request_stop(attempt, "drain")
        if draining_s is not None and draining_s > self.settings.drain_s:
            raise Unavailable("The worker stops, and the database does not answer.")
