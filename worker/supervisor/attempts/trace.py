"""The spans of an attempt, within the trace of the request that queued its run; none without a receiver."""

from service.db.runs.claims import Claim
from service.tracing import LongSpan, Value


class AttemptTrace:
    """The attempt, and within it the way to the first step, each checkpoint, and the ending."""

    def __init__(self, claim: Claim) -> None:
        self._named = _named(claim)
        self.error: str | None = None  # the kind of the failure
        self._attempt = LongSpan("attempt", claim.trace, self._named)
        self._first_step: LongSpan | None = LongSpan("first step", self._attempt.traceparent, self._named)

    def record_step(self, step: int) -> None:
        """Note that a step was made; only the first one is told."""
        if self._first_step is not None:
            self._first_step.end(step=step)
            self._first_step = None

    def part(self, name: str, step: int) -> LongSpan:
        """Begin a part of the attempt."""
        return LongSpan(name, self._attempt.traceparent, {**self._named, "step": step})

    def end(self) -> None:
        """End the attempt's span."""
        if self._first_step is not None:
            self._first_step.end("it made no step")
        self._attempt.end(self.error)


def trace_claim(claim: Claim, began_ns: int) -> None:
    """Trace a claim that began at this time (nanoseconds since 1970) and has just succeeded."""
    LongSpan("claim", claim.trace, _named(claim), began_ns).end()


def _named(claim: Claim) -> dict[str, Value | None]:
    names = {"request_id": claim.request_id, "run": claim.run_id, "worker": claim.worker}
    return {**names, "attempt": claim.attempt}
