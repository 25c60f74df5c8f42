"""The end of a process with the one that started it."""

import ctypes
import os
import signal
import sys

from worker.trainer.channel import PARENT_GONE

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """On Linux, have the kernel kill this process when the thread that started it ends; elsewhere the pipe closes.

    `parent` is the id of the process that started it, which may have ended already; None: the present parent's.
    """
    if sys.platform != "linux":
        return
    parent = parent or os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended between the two calls
        os._exit(PARENT_GONE)
