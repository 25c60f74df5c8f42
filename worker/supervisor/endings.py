"""How an attempt ends in the database, by what became of its trainer. Each is the attempt's last transaction."""

import time
from typing import Any

from service.db.runs import endings
from service.db.runs.leases import Claim
from service.lifecycle import FailureClass, State, failure_class
from worker.supervisor.deadlines import Watch
from worker.supervisor.journal import Journal

OUTCOMES = {"succeeded": State.SUCCEEDED, "paused": State.PAUSED, "cancelled": State.CANCELLED}


class Ending:
    """Writes the end; the points that were not written yet go with it."""

    def __init__(self, held: Claim, journal: Journal, watch: Watch) -> None:
        self.held, self.journal, self.watch = held, journal, watch
        self.writer, self.pending = journal.writer, journal.pending
        self.out_of_time = False  # the trainer was told to stop because the run has had its time

    def said(self, outcome: str, note: str | None) -> None:
        """The trainer ended its training in good order."""
        if self.out_of_time and outcome not in ("succeeded", "cancelled"):
            self._time_limit()
        elif outcome == "drained":
            self._give_back(note)
        else:
            self._finish(OUTCOMES[outcome], detail=note)

    def disobeyed(self) -> None:
        """It was killed because it did not obey: the wish is granted all the same."""
        told, detail = self.watch.told, f"killed: it did not obey within {self.watch.obey_s:g} s"
        if told == "cancel":
            self._finish(State.CANCELLED, detail=detail)
        elif self.out_of_time:
            self._time_limit()
        elif told == "pause":
            self._finish(State.PAUSED, detail=detail)
        else:
            self._give_back(detail)

    def failed(self, kind: str, detail: str, evidence: dict[str, Any]) -> State | None:
        """The trainer said why it failed."""
        held = self.held
        if kind == "checkpoint_damaged" and held.checkpoint is not None:
            folder = held.checkpoint.folder
            return self.writer.end(lambda c: endings.quarantine(c, held, folder))
        if failure_class(kind) is FailureClass.PERMANENT:
            self._finish(State.FAILED, {"code": kind, "detail": detail, "evidence": evidence})
            return State.FAILED
        chunks = self.pending.take()
        if kind == "cuda_oom":
            return self.writer.end(lambda c: endings.record_device_full(c, held, chunks, detail, evidence))
        if kind == "device_failed":
            return self.writer.end(lambda c: endings.record_device_failure(c, held, detail, evidence, chunks))
        return self.writer.end(lambda c: endings.record_crash(c, held, kind, detail, evidence, chunks))

    def died(self, kind: str, detail: str, evidence: dict[str, Any]) -> State | None:
        """Its process is gone, or was killed because it hung: a crash, whatever it was."""
        held, chunks = self.held, self.pending.take()
        return self.writer.end(lambda c: endings.record_crash(c, held, kind, detail, evidence, chunks))

    def _finish(self, state: State, failure: dict[str, Any] | None = None, detail: str | None = None) -> None:
        held, chunks = self.held, self.pending.take()
        self.writer.end(lambda c: endings.finish(c, held, state, chunks, failure, detail))

    def _give_back(self, detail: str | None) -> None:
        held, chunks = self.held, self.pending.take()
        self.writer.end(lambda c: endings.give_back(c, held, chunks, detail))

    def _time_limit(self) -> None:
        seconds = round(self.held.trained_s + time.monotonic() - self.watch.since, 1)
        evidence = {
            "limit_s": round(self.held.trained_s + (self.watch.budget_s or 0.0), 1),
            "seconds": seconds,
            "step": max(self.pending.last_step, self.held.start_step),
            "checkpoint_step": self.journal.checkpoint_step,
        }
        detail = f"It trained for {seconds:g} s, as long as it may; a retry or a fork can go on from its checkpoint."
        self._finish(State.FAILED, {"code": "time_limit", "detail": detail, "evidence": evidence})
