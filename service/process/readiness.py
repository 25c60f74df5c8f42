"""Waiting for the database: the API answers from its first moment, and serves once Postgres is there at its schema."""

import logging
import threading
from collections.abc import Sequence

from service.db.session import Engine, check_schema
from service.errors import SaddleError, Unavailable

AGAIN_S = 1.0  # between two looks; one may take as long as connecting does
log = logging.getLogger(__name__)


class Beginning(threading.Thread):
    """Knows what stands in the way of serving; once nothing does, `threads` start."""

    def __init__(self, engine: Engine, ending: threading.Event, threads: Sequence[threading.Thread]) -> None:
        super().__init__(name="beginning", daemon=True)
        self._engine, self._ending, self._threads = engine, ending, threads
        self._obstacle: SaddleError | None = None

    def check(self) -> None:
        """Raise what stands in the way, if anything does."""
        if (obstacle := self._obstacle) is not None:
            raise type(obstacle)(obstacle.detail)  # one of its own for each request: a traceback grows where it goes

    def begin(self) -> None:
        """Look, and go on looking while the database does not answer; `SchemaMismatch` where it does, at another."""
        try:
            check_schema(self._engine)
        except Unavailable as error:
            self._say(error)
            self.start()
        else:
            self._let_in()

    def run(self) -> None:
        """Until it can be served, or the process ends."""
        while not self._ending.wait(AGAIN_S):
            try:
                check_schema(self._engine)
            except SaddleError as error:
                self._say(error)
            except Exception:  # a thread that died would never let anybody in
                log.exception("the look at the database failed")
            else:
                self._let_in()
                log.info("the database is there: requests are served")
                return

    def _let_in(self) -> None:
        for thread in self._threads:
            thread.start()
        self._obstacle = None

    def _say(self, error: SaddleError) -> None:
        """Refuse everybody with this reason; a new one is worth a line in the log."""
        if self._obstacle is None or self._obstacle.detail != error.detail:
            log.warning("not ready yet: %s %s", error.detail, str(error.__cause__ or "").partition("\n")[0])
        self._obstacle = error
