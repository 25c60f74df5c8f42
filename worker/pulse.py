"""Whether a trainer's loop still moves while no step ends: it evaluates, compiles, writes a checkpoint.

A look at where the loop's thread stands costs microseconds and asks nothing of the code that runs there. A thread that
waits for a lock or a device that never answers stands still; a stopped process does not look at all.
"""

import sys
import threading
import time
from collections.abc import Callable

EVERY_S = 1.0


def start(thread_id: int, moved: Callable[[], None], every_s: float = EVERY_S) -> None:
    """Call `moved` whenever the thread stands elsewhere than at the look before."""
    threading.Thread(target=_watch, args=(thread_id, moved, every_s), name="pulse", daemon=True).start()


def _watch(thread_id: int, moved: Callable[[], None], every_s: float) -> None:
    last = place(thread_id)
    while True:
        time.sleep(every_s)
        now = place(thread_id)
        if now != last:
            moved()
        last = now


def place(thread_id: int) -> list[tuple[int, int]]:
    """Every frame of a thread and the instruction it stands at, innermost first."""
    frame = sys._current_frames().get(thread_id)
    found: list[tuple[int, int]] = []
    while frame is not None:
        found.append((id(frame), frame.f_lasti))
        frame = frame.f_back
    return found
