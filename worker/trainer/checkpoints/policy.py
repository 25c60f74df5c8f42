"""The policy that decides when to write a checkpoint: when it is due, or after the best evaluation so far."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from service.spec.experiment import Experiment


class SaveReason(NamedTuple):
    """Why a checkpoint is written; for the best one, `value` is that of the watched series."""

    word: str  # due | best | end | wish
    value: float | None = None


class CheckpointPolicy:
    """The policy of one attempt. Each checkpoint holds the best value so far, so a resumed run decides alike."""

    def __init__(self, spec: Experiment, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rules, self.seconds, self.clock = spec.checkpoint, seconds, clock
        self.best: float | None = None
        self._previous_best: float | None = None  # before the attempt under way
        self._last_attempt = clock()

    def reason_to_save(self, step: int, readings: Mapping[str, float | Tensor] | None) -> SaveReason | None:
        """Return why to save the state after update `step`, or None."""
        if (value := self._better(readings or {})) is not None:
            return SaveReason("best", value)
        every = self.rules.every_steps
        due = self.clock() - self._last_attempt >= self.seconds if every is None else step % every == 0
        kept = self.rules.keep_every is not None and step % self.rules.keep_every == 0
        return SaveReason("due") if due or kept else None

    def _better(self, readings: Mapping[str, float | Tensor]) -> float | None:
        """Return the watched series' value if it is finite and the best so far."""
        rule = self.rules.best
        if rule is None or rule.series not in readings:
            return None
        value = float(readings[rule.series])
        if not math.isfinite(value) or (self.best is not None and (value - self.best) * rule.sign >= 0):
            return None
        return value

    def start_attempt(self, reason: SaveReason) -> dict[str, Any]:
        """Note that a checkpoint is about to be written for this reason; return what it records."""
        self._last_attempt = self.clock()
        self._previous_best = self.best
        if reason.value is not None:
            self.best = reason.value
        return {"reason": reason.word, "best": self.best}

    def end_attempt(self, saved: bool) -> None:
        """Note that it was written or failed; then the best value is again that of an older checkpoint."""
        self._last_attempt = self.clock()
        if not saved:
            self.best = self._previous_best

    def load(self, document: Mapping[str, Any]) -> None:
        """Restore from a checkpoint's state.json, which may predate the policy."""
        self.best = document.get("best")
