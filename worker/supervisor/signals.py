"""What a signal asks of a worker, whichever it is and however often: save what trains, give it back, end with 0."""

import os
import signal
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def end_at_once() -> None:
    """From the first line until there is a slot: nothing is held yet, so nothing has to be saved."""
    for number in SIGNALS:
        signal.signal(number, _end)


def ignore() -> None:
    """Once the slot has ended: the exit status is known, and a late signal does not change it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # not SystemExit, which an import that is under way may catch
