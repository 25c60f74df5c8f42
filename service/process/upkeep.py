"""The thread that does what has time: it writes down when keys were used."""

import logging
import threading
from collections.abc import Callable

from service.db.access import keys
from service.db.session import Engine, transaction
from service.errors import SaddleError

EVERY_S = 60.0
log = logging.getLogger(__name__)


class KeyUse:
    """The keys that requests came with since they were last written down; noting one costs no statement."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def note(self, key_id: str) -> None:
        """Note that a key was used."""
        self._used.add(key_id)

    def take(self) -> list[str]:
        """Return the keys used since the last call."""
        used, self._used = self._used, set()
        return sorted(used)


class Upkeep(threading.Thread):
    """Does each of its tasks once a minute, and once more at the end."""

    def __init__(self, engine: Engine, key_use: KeyUse, stopping: threading.Event) -> None:
        super().__init__(name="upkeep", daemon=True)
        self._engine, self._key_use, self._stopping = engine, key_use, stopping

    def run(self) -> None:
        """Work until the process ends."""
        while not self._stopping.wait(EVERY_S):
            self.look()
        self._attempt("note which keys were used", self._note_keys)

    def look(self) -> None:
        """Do each task once."""
        self._attempt("note which keys were used", self._note_keys)

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        """Do one task and log its failure, so that the thread goes on with the others."""
        try:
            work()
        except SaddleError as error:
            log.warning("the upkeep could not %s: %s", what, error)
        except Exception:
            log.exception("the upkeep failed to %s", what)

    def _note_keys(self) -> None:
        if used := self._key_use.take():
            with transaction(self._engine) as connection:
                keys.note_use(connection, used)
