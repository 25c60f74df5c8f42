"""Liveness of the training loop while no step ends, such as during an evaluation, a compilation or a checkpoint.

Sampling the stack of the loop's thread costs microseconds and does not involve the code that runs there. A thread that
waits forever for a lock or a device keeps its stack; a stopped process takes no samples.
"""

import sys
import threading
import time
from collections.abc import Callable

PERIOD_S = 1.0
MIN_CPU_SHARE = 0.05  # of a processor; a thread with an unchanged stack that uses more is computing
Stack = list[tuple[int, int]]  # frame and instruction, innermost first


def start(thread_id: int, moved: Callable[[], None], computes: bool, period_s: float = PERIOD_S) -> None:
    """Call `moved` when the thread's stack has changed or, with `computes`, when it has used the processor.

    On a GPU the processor time does not help: waiting for a kernel that never ends uses all of it.
    """
    arguments = (thread_id, moved, computes, period_s)
    threading.Thread(target=_watch, args=arguments, name="liveness", daemon=True).start()


def _watch(thread_id: int, moved: Callable[[], None], computes: bool, period_s: float) -> None:
    before: Stack = []
    used_before_s = 0.0
    while now := stack_of(thread_id):  # empty once the thread has ended
        used_s = cpu_s(thread_id)
        if before and (now != before or (computes and used_s - used_before_s > MIN_CPU_SHARE * period_s)):
            moved()
        before, used_before_s = now, used_s
        time.sleep(period_s)


def stack_of(thread_id: int) -> Stack:
    """Return the frames of a thread, empty if it has ended."""
    frame = sys._current_frames().get(thread_id)
    stack: Stack = []
    while frame is not None:
        stack.append((id(frame), frame.f_lasti))
        frame = frame.f_back
    return stack


def cpu_s(thread_id: int) -> float:
    """Return the processor seconds of a thread; 0 where the system does not count them."""
    if sys.platform != "linux":
        return 0.0
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread_id))
    except OSError:  # it has just ended
        return 0.0
