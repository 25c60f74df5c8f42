"""Signals to a worker before and after it trains. In between, each of them drains it (worker.tasks)."""

import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def exit_on_signal() -> None:
    """Exit at once until there is a supervisor: nothing is held yet, so nothing has to be saved."""
    for number in SIGNALS:
        signal.signal(number, _exit)


def ignore_signals() -> None:
    """Ignore signals after the supervisor has ended: the exit status is known and must not change."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # not SystemExit, which an import under way may catch
