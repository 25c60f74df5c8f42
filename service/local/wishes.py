"""What signals ask of a running start: to end, then to hurry."""

import signal
from types import FrameType


class Interrupted(BaseException):
    """Somebody wants us to end: Ctrl-C, `down`, a closed terminal."""


class Wishes:
    """The first signal raises Interrupted where we are; once ending, further ones only hurry."""

    def __init__(self) -> None:
        self.count = 0
        self.ending = False

    def listen(self) -> None:
        """From now on signals come here."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._heard)

    def hurried(self) -> bool:
        """Whether somebody asked twice."""
        return self.count > 1

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if not self.ending:
            self.ending = True
            raise Interrupted
