"""How many requests a second somebody may send: a bucket for each name, in the memory of one process.

With several processes behind a proxy each counts for itself, so a limit holds for each of them.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

BURST_S = 10  # of requests may come at once
MOST_NAMES = 20_000  # names remembered; the one not heard of for longest goes first, and begins anew


@dataclass(frozen=True)
class Standing:
    """What a limit says about one request."""

    allowed: bool
    remaining: int  # requests that may follow at once
    wait_s: float  # until the next one is allowed
    reset_s: float  # until all may come at once again


class RateLimiter:
    """The generic cell rate algorithm (ITU-T I.371): one number for each name, the time at which it is idle again."""

    def __init__(self, per_s: float, most: int = MOST_NAMES) -> None:
        self.burst = max(round(per_s * BURST_S), 1)
        self._interval_s = 1 / per_s
        self._most = most
        self._idle_at: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str, now: float) -> Standing:
        """Count one request of `name` at `now` (seconds, monotonic), unless it is one too many."""
        idle_at = max(self._idle_at.pop(name, now), now)
        owed = (idle_at - now) / self._interval_s  # requests that the rate has not made up for yet
        allowed = owed <= self.burst - 1 + 1e-9
        if allowed:
            idle_at, owed = idle_at + self._interval_s, owed + 1
        self._idle_at[name] = idle_at
        if len(self._idle_at) > self._most:
            self._idle_at.popitem(last=False)
        remaining = max(math.floor(self.burst - owed + 1e-9), 0)
        wait_s = 0.0 if remaining else (owed - self.burst + 1) * self._interval_s
        return Standing(allowed, remaining, wait_s, idle_at - now)
