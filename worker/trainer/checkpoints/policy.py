"""When a run's state is written, and why: it is due, or the evaluation was the best so far."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from service.spec.experiment import Experiment


class Reason(NamedTuple):
    """Why a checkpoint is written; `value` is the watched series' where it is the best."""

    word: str  # due | best | end | wish
    value: float | None = None


class CheckpointPolicy:
    """Of one attempt. The best value so far is part of each checkpoint, so that a resumed run decides alike."""

    def __init__(self, spec: Experiment, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rules, self.seconds, self.clock = spec.checkpoint, seconds, clock
        self.best: float | None = None
        self._tried_at = clock()

    def after(self, step: int, readings: Mapping[str, float | Tensor] | None) -> Reason | None:
        """Why the state after update `step` is to be written; None: it need not be."""
        if (value := self._better(readings or {})) is not None:
            return Reason("best", value)
        every = self.rules.every_steps
        due = self.clock() - self._tried_at >= self.seconds if every is None else step % every == 0
        kept = self.rules.keep_every is not None and step % self.rules.keep_every == 0
        return Reason("due") if due or kept else None

    def _better(self, readings: Mapping[str, float | Tensor]) -> float | None:
        """The value of the watched series where nothing before was as good; what is no finite number never is."""
        rule = self.rules.best
        if rule is None or rule.series not in readings:
            return None
        value = float(readings[rule.series])
        if not math.isfinite(value) or (self.best is not None and (value - self.best) * rule.sign >= 0):
            return None
        return value

    def tried(self, reason: Reason, saved: bool) -> None:
        """The state was written, or could not be: then the best is still what an older checkpoint holds."""
        self._tried_at = self.clock()
        if saved and reason.value is not None:
            self.best = reason.value

    def document(self, reason: Reason) -> dict[str, Any]:
        """What a checkpoint written for this reason says of it."""
        best = self.best if reason.value is None else reason.value
        return {"reason": reason.word, "best": best}

    def load(self, document: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's state.json, which may be older than this."""
        self.best = document.get("best")
