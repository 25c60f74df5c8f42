"""The last transaction of an attempt, by how its trainer ended."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from service.db.runs import endings, leases
from service.db.runs.claims import Claim
from service.db.session import Connection
from service.lifecycle import FailureClass, State, failure_class
from worker.protocol import Outcome
from worker.supervisor.attempts.deadlines import Deadlines
from worker.supervisor.attempts.progress import NO_POINTS, ProgressWriter
from worker.supervisor.attempts.writes import ignore

NOTHING: Mapping[str, float] = {}
STATES: dict[Outcome, State] = {
    "succeeded": State.SUCCEEDED,
    "paused": State.PAUSED,
    "cancelled": State.CANCELLED,
}


class EndingWriter:
    """Adds the end of an attempt to its writes, together with the points that are still pending."""

    def __init__(
        self,
        claim: Claim,
        progress: ProgressWriter,
        deadlines: Deadlines,
        raised_memory: Callable[[], int | None],
        size: int = 1,
    ) -> None:
        self.claim, self.progress, self.deadlines = claim, progress, deadlines
        self.raised_memory = raised_memory  # what it reserves after an out-of-memory error on a shared device
        self.size = size  # runs that share the time
        self.writes, self.pending = progress.writes, progress.pending
        self.memory: Mapping[str, float] = NOTHING
        self.out_of_time = False  # the trainer was asked to stop because the run has used up its time

    def end(self, outcome: Outcome, note: str | None, memory: Mapping[str, float] = NOTHING) -> None:
        """End an attempt whose trainer stopped normally; `memory` is its peak."""
        self.progress.flush_points()
        self.memory = memory
        if self.out_of_time and outcome not in ("succeeded", "cancelled"):
            self._fail_at_time_limit()
        elif outcome == "drained":
            self._requeue(note)
        elif outcome == "yielded":
            claim = self.claim
            self._write(lambda c: endings.make_way(c, claim, NO_POINTS))
        else:
            self._finish(STATES[outcome], detail=note)

    def end_killed(self) -> None:
        """End an attempt whose trainer was killed because it did not stop, as if it had stopped."""
        self.progress.flush_points()
        requested, detail = self.deadlines.requested, f"killed: it did not obey within {self.deadlines.grace_s:g} s"
        if requested == "cancel":
            self._finish(State.CANCELLED, detail=detail)
        elif self.out_of_time:
            self._fail_at_time_limit()
        elif requested == "pause":
            self._finish(State.PAUSED, detail=detail)
        else:
            self._requeue(detail)

    def fail(self, kind: str, detail: str, evidence: dict[str, Any]) -> None:
        """End an attempt whose trainer reported a failure, died, or was killed because it hung."""
        self.progress.flush_points()
        claim = self.claim
        if kind == "checkpoint_damaged" and claim.checkpoint is not None:
            folder = claim.checkpoint.folder
            self._write_failure(lambda c: endings.quarantine(c, claim, folder))
            return
        if failure_class(kind) is FailureClass.PERMANENT:
            self._finish(State.FAILED, {"code": kind, "detail": detail, "evidence": evidence})
            return
        if kind == "device_failed":
            self._write_failure(lambda c: endings.record_device_failure(c, claim, detail, evidence, NO_POINTS))
        elif kind != "cuda_oom":
            self._write_failure(lambda c: endings.record_crash(c, claim, kind, detail, evidence, NO_POINTS))
        elif (memory_bytes := self.raised_memory()) is not None:
            self._write_failure(
                lambda c: endings.record_shared_oom(c, claim, NO_POINTS, detail, evidence, memory_bytes)
            )
        else:
            self._write_failure(lambda c: endings.record_cuda_oom(c, claim, NO_POINTS, detail, evidence))

    def _write_failure(self, end: Callable[[Connection], State]) -> None:
        self.writes.add_end(end, self._log_state)

    def _log_state(self, state: State | None) -> None:
        self.writes.log.info("now %s", state)

    def _write(self, end: Callable[[Connection], State], then: Callable[[State | None], None] = ignore) -> None:
        """Write the end and the peak of the memory in one transaction."""

        def write(connection: Connection) -> State:
            state = end(connection)
            if self.memory:
                leases.add_to_environment(connection, self.claim, {"memory": dict(self.memory)})
            return state

        self.writes.add_end(write, then)

    def _finish(self, state: State, failure: dict[str, Any] | None = None, detail: str | None = None) -> None:
        claim = self.claim
        then = self._log_state if state is State.FAILED else ignore
        self._write(lambda c: endings.finish(c, claim, state, NO_POINTS, failure, detail), then)

    def _requeue(self, detail: str | None) -> None:
        claim = self.claim
        self._write(lambda c: endings.requeue(c, claim, NO_POINTS, detail))

    def _fail_at_time_limit(self) -> None:
        seconds = round(self.claim.trained_s + (time.monotonic() - self.deadlines.since) / self.size, 1)
        evidence = {
            "limit_s": round(self.claim.trained_s + (self.deadlines.budget_s or 0.0) / self.size, 1),
            "seconds": seconds,
            "step": max(self.pending.last_step, self.claim.start_step),
            "checkpoint_step": self.progress.checkpoint_step,
        }
        detail = f"It has trained for {seconds:g} s, its limit; a retry or a fork can continue from its checkpoint."
        self._finish(State.FAILED, {"code": "time_limit", "detail": detail, "evidence": evidence})
