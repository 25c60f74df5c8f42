"""Signals to a running `up`: the first stops it, the second skips the grace periods."""

import signal
from types import FrameType


class Interrupted(BaseException):
    """A signal requests a shutdown: Ctrl-C, `down`, a closed terminal."""


class ShutdownSignals:
    """The first signal raises `Interrupted`, unless `up` is stopping already."""

    def __init__(self) -> None:
        self.count = 0
        self.stopping = False

    def listen(self) -> None:
        """Handle signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def is_repeated(self) -> bool:
        """Whether there was a second signal."""
        return self.count > 1

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if not self.stopping:
            self.stopping = True
            raise Interrupted
