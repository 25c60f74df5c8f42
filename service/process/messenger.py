"""The messenger: a thread that reads what happened into the outbox, and sends what is in it."""

import logging
import threading
import time

from service.db.messages import outbox
from service.db.session import Engine, transaction
from service.process.tasks import BackgroundThread, Tasks
from service.settings import Settings

CONDITIONS_S = 30.0  # between two looks at queues and quotas
FORGET_S = 3600.0  # between two deletions of old messages
log = logging.getLogger(__name__)


class Messenger(BackgroundThread):
    """Tells people and programs. Any number of processes may have one: each project and each message is of one."""

    def __init__(self, engine: Engine, settings: Settings, stopping: threading.Event) -> None:
        super().__init__(name="messenger", daemon=True)
        self._engine, self._settings, self._stopping = engine, settings, stopping
        self.tasks = Tasks("messenger", log)
        self._conditions_due = self._forget_due = 0.0

    def run(self) -> None:
        """Work until the process ends."""
        while not self._stopping.wait(self._settings.reap_s):
            self.tasks.attempt("read what happened", self._read)
            self.tasks.attempt("send", self._send)
            self.tasks.attempt("forget old messages", self._forget)

    def _read(self) -> None:
        from service.messages.news import read_news  # noqa: PLC0415  rules of the diagnosis; the start does not wait

        conditions = time.monotonic() >= self._conditions_due
        read_news(self._engine, self._settings, conditions)
        if conditions:
            self._conditions_due = time.monotonic() + CONDITIONS_S

    def _send(self) -> None:
        from service.messages.send import deliver_due  # noqa: PLC0415  likewise

        deliver_due(self._engine, self._settings, self._stopping.is_set)

    def _forget(self) -> None:
        if time.monotonic() >= self._forget_due:
            with transaction(self._engine) as connection:
                outbox.forget_old(connection)
            self._forget_due = time.monotonic() + FORGET_S
