"""The tasks of a background thread: one that fails is logged and hinders no other."""

import logging
import threading
import time
from collections.abc import Callable

from service.errors import SaddleError


class Tasks:
    """Does tasks, and knows when each last succeeded."""

    def __init__(self, thread: str, log: logging.Logger) -> None:
        self.thread, self._log = thread, log
        self.succeeded_at: dict[str, float] = {}  # task -> seconds since 1970

    def attempt(self, what: str, work: Callable[[], object]) -> None:
        """Do one task and log its failure."""
        try:
            work()
        except SaddleError as error:
            self._log.warning("the %s could not %s: %s", self.thread, what, error)
        except Exception:  # if the thread died, nothing of its work would be done any more
            self._log.exception("the %s failed to %s", self.thread, what)
        else:
            self.succeeded_at[what] = time.time()


class BackgroundThread(threading.Thread):
    """A thread that does tasks while its process lives."""

    tasks: Tasks
