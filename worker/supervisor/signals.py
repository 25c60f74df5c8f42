"""Handlers of signals before a worker can train and after it has ended. In between, signals drain it (worker.tasks)."""

import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def exit_on_signal() -> None:
    """Exit at once on a signal, while no run is held and nothing needs saving."""
    for number in SIGNALS:
        signal.signal(number, _exit)


def ignore_signals() -> None:
    """Ignore signals after the supervisor has ended, so that they cannot change the exit status."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # not SystemExit, which an import under way may catch
