"""How long updates wait for their batches: the series `system/data_wait`.

Host time, for which nothing waits: while a GPU is behind, the host waits elsewhere, in the GPU's full queue.
"""

from collections.abc import Callable
from time import monotonic

import numpy as np

from service.spec.measures import DATA_WAIT
from worker.trainer.data.batches import Batches
from worker.trainer.recorder import Points

PERIOD_S = 1.0  # the shortest between two points


class DataWait:
    """The share of the time since the last point that updates waited for their batches."""

    def __init__(self, batches: Batches, clock: Callable[[], float] = monotonic) -> None:
        self._batches, self._clock = batches, clock
        self._at, self._waited_s = clock(), batches.waited_s

    def points(self, losses: Points) -> list[Points]:
        """Return the point that is due at the last of these losses, if any; 0 to 1. Any thread may call this."""
        now, waited_s = self._clock(), self._batches.waited_s
        if not self._batches.takes_time or not losses.n or now - self._at < PERIOD_S:
            return []
        share = min(1.0, (waited_s - self._waited_s) / (now - self._at))
        self._at, self._waited_s = now, waited_s
        return [Points(DATA_WAIT, losses.first + losses.n - 1, 1, 1, None, np.array([share]))]
