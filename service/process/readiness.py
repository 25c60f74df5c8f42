"""Readiness: the API answers from the start and serves requests once Postgres is there at the right schema."""

import logging
import threading
from collections.abc import Sequence

from service.db.session import Engine, check_schema
from service.errors import SaddleError, Unavailable

RETRY_S = 1.0  # between two checks; a check may take as long as connecting does
log = logging.getLogger(__name__)


class Readiness(threading.Thread):
    """Checks the database until it can be used, then starts `threads`."""

    def __init__(self, engine: Engine, stopping: threading.Event, threads: Sequence[threading.Thread]) -> None:
        super().__init__(name="readiness", daemon=True)
        self._engine, self._stopping, self._threads = engine, stopping, threads
        self._obstacle: SaddleError | None = None

    def check(self) -> None:
        """Raise the reason why requests cannot be served, if there is one."""
        if (obstacle := self._obstacle) is not None:
            raise type(obstacle)(obstacle.detail)  # a new one for each request: a traceback grows with every raise

    def begin(self) -> None:
        """Check now, and keep checking while the database does not answer; `SchemaMismatch` on a wrong schema."""
        try:
            check_schema(self._engine)
        except Unavailable as error:
            self._refuse(error)
            self.start()
        else:
            self._serve()

    def run(self) -> None:
        """Check until requests can be served or the process ends."""
        while not self._stopping.wait(RETRY_S):
            try:
                check_schema(self._engine)
            except SaddleError as error:
                self._refuse(error)
            except Exception:  # if this thread died, requests would be refused for ever
                log.exception("checking the database failed")
            else:
                self._serve()
                log.info("the database is there: requests are served")
                return

    def _serve(self) -> None:
        for thread in self._threads:
            thread.start()
        self._obstacle = None

    def _refuse(self, error: SaddleError) -> None:
        """Refuse every request with this reason; log each new reason once."""
        if self._obstacle is None or self._obstacle.detail != error.detail:
            log.warning("not ready yet: %s %s", error.detail, str(error.__cause__ or "").partition("\n")[0])
        self._obstacle = error
