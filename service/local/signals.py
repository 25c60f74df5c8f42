"""Signals to a running `up`: the first one ends it, a second one cuts the waiting short."""

import signal
from types import FrameType


class Interrupted(BaseException):
    """A signal asks `up` to end: Ctrl-C, `down`, a closed terminal."""


class ShutdownSignals:
    """The first signal raises `Interrupted`, unless `up` is ending already."""

    def __init__(self) -> None:
        self.count = 0
        self.ending = False

    def listen(self) -> None:
        """Handle signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def is_repeated(self) -> bool:
        """Whether a second signal has come."""
        return self.count > 1

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if not self.ending:
            self.ending = True
            raise Interrupted
