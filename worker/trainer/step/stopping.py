"""Stop rules: whether a run has ended before its last step, and why."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from service.spec.training import Patience, Stop

Values = Mapping[str, float | Tensor]


class Stopping:
    """Applies a run's stop rules. `ended` records the first that held."""

    def __init__(self, rules: Stop | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.rules, self.clock = rules or Stop(), clock
        self.ended: dict[str, Any] | None = None
        self.best: float | None = None  # value of patience's series
        self.waited = 0  # evaluations since then
        self.spent = 0.0  # seconds of training
        self._since = clock()

    @property
    def needs_norm(self) -> bool:
        """Whether the gradient's norm is needed at every step."""
        return self.rules.grad_norm_below is not None

    def begin(self) -> None:
        """Start the clock."""
        self._since = self.clock()

    def after_step(self, step: int, readings: Values) -> None:
        """Apply the rules that are checked at every step."""
        limit, seconds = self.rules.grad_norm_below, self.rules.seconds
        if limit is not None and (norm := float(readings["grad_norm"])) < limit:
            self._end("grad_norm_below", step, series="grad_norm", value=norm, limit=limit)
        if seconds is not None:
            now = self.clock()
            self.spent, self._since = self.spent + now - self._since, now
            if self.spent >= seconds:
                self._end("seconds", step, value=self.spent, limit=seconds)

    def after_evaluation(self, step: int, measured: Values) -> None:
        """Apply the rules that are checked at evaluations."""
        target, patience = self.rules.target, self.rules.patience
        if target is not None and target.series in measured:
            value = float(measured[target.series])
            if (target.below is not None and value < target.below) or (
                target.above is not None and value > target.above
            ):
                limit = target.above if target.below is None else target.below
                self._end("target", step, series=target.series, value=value, limit=limit)
        if patience is not None and patience.series in measured:
            self._wait(step, patience, float(measured[patience.series]))

    def _wait(self, step: int, patience: Patience, value: float) -> None:
        gain = math.inf if self.best is None else patience.sign * (self.best - value)
        if not math.isnan(value) and gain > patience.min_delta:
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= patience.evaluations:
            self._end("patience", step, series=patience.series, value=value, limit=self.best)

    def _end(self, rule: str, step: int, **why: Any) -> None:
        if self.ended is None:
            self.ended = {"rule": rule, "step": step} | {k: v for k, v in why.items() if _can_be_json(v)}

    def document(self) -> dict[str, Any]:
        """Return the state as JSON, an infinite best included."""
        best = None if self.best is None else self.best.hex()
        return {"ended": self.ended, "best": best, "waited": self.waited, "spent": self.spent}

    def load(self, document: dict[str, Any]) -> None:
        """Restore the state."""
        self.ended, self.waited, self.spent = document["ended"], document["waited"], document["spent"]
        self.best = None if document["best"] is None else float.fromhex(document["best"])


def _can_be_json(value: Any) -> bool:
    return value is not None and (not isinstance(value, float) or math.isfinite(value))


def describe_stop(ended: Mapping[str, Any]) -> str:
    """Describe the rule that ended a run, in one line."""
    what = f"{ended.get('series', 'seconds')} {ended['value']:g}" if "value" in ended else str(ended.get("series", ""))
    limit = f" (limit {ended['limit']:g})" if "limit" in ended else ""
    return f"stopped at step {ended['step']} by {ended['rule']}: {what}{limit}"
