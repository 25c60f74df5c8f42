"""Admission: refuse at once what could only be answered late, before it costs a thread or a query.

A request counts while the server works for it, not while it waits for its client; live streams have a budget of their
own. What there is room for shrinks as the process gets slower: every `PROBE_S` a probe goes through the event loop
and a thread, as each request does, and its delay is compared with `GOAL_S`.
"""

import time
from collections import Counter

import anyio
from anyio import CapacityLimiter

PROBE_S = 0.05
GOAL_S = 0.05  # delay of a probe beyond which there is room for less
SMOOTHING = 0.2  # weight of the newest probe
READS = 0.75  # the part of the room that reads may take; changes may take all of it
OF_ONE = 0.5  # the part that one key, session or address may take
LEAST = 16  # room however slow the process gets: a browser asks for up to six things at once


class Admission:
    """The requests that this process works for at the moment; at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._delay_s = 0.0
        self._of: Counter[str] = Counter()
        self.working = 0

    @property
    def room(self) -> float:
        """How many requests there is room for at the present delay."""
        return max(self._most * GOAL_S / max(self._delay_s, GOAL_S), min(LEAST, self._most))

    def admits(self, who: str, changes: bool) -> bool:
        """Return whether one more request of `who` would be answered in time."""
        room = self.room
        return self.working < room * (1.0 if changes else READS) and self._of[who] < room * OF_ONE

    def enter(self, who: str) -> None:
        """Count a request that the server works for from now on."""
        self.working += 1
        self._of[who] += 1

    def leave(self, who: str) -> None:
        """Count it no longer: it is answered, or it waits for its client."""
        self.working -= 1
        self._of[who] -= 1
        if not self._of[who]:
            del self._of[who]

    def note(self, delay_s: float) -> None:
        """Take the delay of a probe into account."""
        self._delay_s += SMOOTHING * (delay_s - self._delay_s)

    async def probe(self, shutting_down: anyio.Event) -> None:
        """Measure the delay until the process shuts down."""
        thread = CapacityLimiter(1)
        while not shutting_down.is_set():
            due = time.monotonic() + PROBE_S
            with anyio.move_on_after(PROBE_S):
                await shutting_down.wait()
            await anyio.to_thread.run_sync(_nothing, limiter=thread)
            self.note(time.monotonic() - due)


def _nothing() -> None:
    """Take a thread and give it back."""
