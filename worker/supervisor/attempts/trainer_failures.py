"""How a trainer that fails, dies, hangs or does not obey ends the attempts that it has."""

import time
from functools import cached_property
from typing import Any, Protocol

from service.db.session import Engine
from service.lifecycle import DesiredState
from service.settings import Settings
from worker.device_errors import explain
from worker.protocol import Failed, Failing
from worker.supervisor.attempts.attempt import Attempt
from worker.supervisor.causes import assertion_evidence, output_evidence, with_cause
from worker.supervisor.device_check import TrainerStarter, is_device_broken
from worker.supervisor.presence import Presence
from worker.supervisor.trainer_process import TrainerProcess


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


class TrainerGroup(Protocol):
    """The interface of the attempts of a trainer to its failures."""

    worker: WorkerContext
    trainer: TrainerProcess

    @property
    def open(self) -> list[Attempt]:
        """The attempts whose end is neither written nor waits to be."""

    @property
    def draining(self) -> bool:
        """Whether the worker was asked to stop."""

    @property
    def beat_s(self) -> float:
        """Seconds between writes."""

    @property
    def last_write(self) -> float:
        """When the attempt that has waited the longest was last written (monotonic)."""

    def commit(self) -> None:
        """Write all that waits."""


class TrainerFailures:
    """Ends the attempts of one trainer: each with what the trainer said of it, or all with its death."""

    def __init__(self, group: TrainerGroup) -> None:
        self._group = group
        self._device: tuple[bool, dict[str, Any]] | None = None  # whether it is broken, once that was checked

    def record_failure(self, attempt: Attempt, frame: Failed) -> None:
        """End an attempt whose trainer reports a failure; where it will not survive it, all of them with its death."""
        if frame.lease is not None and not frame.trainer_usable and len(self._group.open) > 1:
            attempt.failing = frame
        else:
            self._fail(attempt, frame)

    def _fail(self, attempt: Attempt, frame: Failing) -> None:
        """End an attempt with this failure."""
        kind, detail, evidence = frame.kind, frame.detail, {"step": frame.step, **frame.evidence}
        if "cause" in evidence:  # a GPU's assertion is in the output only
            evidence |= assertion_evidence(self._group.trainer.output_tail())
            detail = with_cause(detail, evidence)
        if kind == "device_error":
            kind = "device_failed" if self._finds_device_broken(evidence) else "crashed"
        attempt.fail(kind, detail, evidence)
        if kind == "device_failed":
            self._group.commit()
            self._group.worker.stop_unhealthy(f"{detail}; {evidence['device']}")
        elif not (isinstance(frame, Failed) and frame.trainer_usable):
            self._group.worker.discard(self._group.trainer)

    def end_stalled(self, attempt: Attempt) -> None:
        """Kill a trainer that hangs, with its stack as evidence."""
        seconds = round(attempt.deadlines.quiet_s(time.monotonic()), 1)
        stack = "" if attempt.failing is not None else self._group.trainer.stack()
        self._group.worker.discard(self._group.trainer)
        for each in self._group.open:
            if each.failing is not None:  # it hangs in the search for the cause
                self._fail(each, each.failing)
            else:
                each.crash("stalled", f"no step for {seconds:g} s", {"seconds": seconds, "stack": stack})

    def end_disobedient(self, attempt: Attempt) -> None:
        """Kill a trainer that does not stop a run in time."""
        stop, grace_s = attempt.deadlines.requested, attempt.deadlines.grace_s
        attempt.log.warning("the trainer did not obey %s within %g s: killing it", stop, grace_s)
        self._group.worker.discard(self._group.trainer)
        for each in self._group.open:
            if each.deadlines.requested in (None, "yield"):
                each.crash("trainer_died", "killed, because another run of its pack did not stop in time", {})
            else:
                each.endings.end_killed()

    def record_death(self, attempt: Attempt) -> None:
        """End an attempt whose trainer has died."""
        if attempt.failing is not None:
            self._fail(attempt, attempt.failing)
            return
        kind, detail, is_suspect = self._death
        output = self._group.trainer.output_tail()
        evidence = {"stderr": output, **output_evidence(output)}
        if not is_suspect:  # else the check replaces it, by a fresh one and not by the spare
            self._group.worker.discard(self._group.trainer)
        elif self._finds_device_broken(evidence):
            kind = "device_failed"
        detail = with_cause(detail, evidence)
        attempt.crash(kind, detail, evidence)
        if kind == "device_failed":
            self._group.commit()
            self._group.worker.stop_unhealthy(f"{detail}; {evidence['device']}")

    @cached_property
    def _death(self) -> tuple[str, str, bool]:
        """How the trainer died, as a kind and in words, and whether the device may be the reason."""
        kind, detail = self._group.trainer.describe_end()
        known = explain(self._group.trainer.output_tail())
        return kind, detail, kind == "trainer_died" and known is not None and known.kind == "device_error"

    def _finds_device_broken(self, evidence: dict[str, Any]) -> bool:
        """Check the device, once for all attempts, and add the answer to the evidence."""
        if self._device is None:
            found: dict[str, Any] = {}
            self._device = is_device_broken(self._group.worker, self._group.trainer, self._keep_leases, found), found
        is_broken, found = self._device
        evidence |= found
        return is_broken

    def _keep_leases(self) -> bool:
        """Write if due; return False once the runs or the worker are asked to stop."""
        if time.monotonic() - self._group.last_write >= self._group.beat_s:
            self._group.commit()
        desired = [attempt.progress.desired for attempt in self._group.open]
        return not self._group.draining and any(each in (DesiredState.RUN, DesiredState.YIELD) for each in desired)
