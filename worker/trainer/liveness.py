"""Whether a trainer's loop still moves while no step ends: it evaluates, compiles, writes a checkpoint.

A look at where the loop's thread stands costs microseconds and asks nothing of the code that runs there. A thread that
waits for a lock or a device that never answers stands still; a stopped process does not look at all.
"""

import sys
import threading
import time
from collections.abc import Callable

EVERY_S = 1.0
RUNNING = 0.05  # share of a processor from which on a thread that stands in one place is at work there
Place = list[tuple[int, int]]


def start(thread_id: int, moved: Callable[[], None], computes: bool, every_s: float = EVERY_S) -> None:
    """Call `moved` when the thread stands elsewhere than at the look before, or `computes` and has done so.

    On a GPU the processor's time says nothing: waiting for a kernel that never ends takes all of it.
    """
    arguments = (thread_id, moved, computes, every_s)
    threading.Thread(target=_watch, args=arguments, name="pulse", daemon=True).start()


def _watch(thread_id: int, moved: Callable[[], None], computes: bool, every_s: float) -> None:
    before: Place = []
    used_before_s = 0.0
    while now := place(thread_id):  # nowhere: it has ended
        used_s = cpu_s(thread_id)
        if before and (now != before or (computes and used_s - used_before_s > RUNNING * every_s)):
            moved()
        before, used_before_s = now, used_s
        time.sleep(every_s)


def place(thread_id: int) -> Place:
    """Every frame of a thread and the instruction it stands at, innermost first."""
    frame = sys._current_frames().get(thread_id)
    found: Place = []
    while frame is not None:
        found.append((id(frame), frame.f_lasti))
        frame = frame.f_back
    return found


def cpu_s(thread_id: int) -> float:
    """Processor seconds of a thread; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0.0
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread_id))
    except OSError:  # it has just ended
        return 0.0
