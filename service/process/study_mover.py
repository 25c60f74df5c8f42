"""The thread that moves studies; any number of processes may run one each."""

import logging
import threading

from service.db.session import Engine
from service.process.background import Dispatcher
from service.process.tasks import BackgroundThread, Tasks
from service.settings import Settings
from service.studies.advance import advance

EVERY_S = 1.0  # between two looks
BUSY_S = 0.2  # after a look that queued runs: short trainings end soon
log = logging.getLogger(__name__)


class StudyMover(BackgroundThread):
    """Has running studies decide about their trials and give out points, about once a second."""

    def __init__(self, engine: Engine, settings: Settings, dispatcher: Dispatcher, stopping: threading.Event) -> None:
        super().__init__(name="studies", daemon=True)
        self._engine, self._settings, self._stopping = engine, settings, stopping
        self._dispatcher = dispatcher
        self.tasks = Tasks("thread of studies", log)
        self._busy = False

    def run(self) -> None:
        """Work until the process ends."""
        while not self._stopping.wait(BUSY_S if self._busy else EVERY_S):
            self._busy = False
            self.tasks.attempt("move studies", self.look)

    def look(self) -> None:
        """Move every running study once."""
        queued = advance(self._engine, self._settings)
        self._busy = bool(queued)
        for pool, runs in queued:
            self._dispatcher.request(pool, runs)
