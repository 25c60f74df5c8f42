"""Fenced transactions of one attempt, each repeated with the same content until it is known to be committed."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from service.db.runs import endings
from service.db.runs.leases import Claim
from service.db.session import Connection, Engine, transaction
from service.errors import Fenced, SaddleError, Unavailable

Log = logging.LoggerAdapter[logging.Logger]
T = TypeVar("T")
RETRY_S = 0.5  # between two tries of a transaction while the database is away


class Writer:
    """Writes for one attempt; a repeated transaction is harmless, one of a lost lease is refused by `Fenced`."""

    def __init__(
        self, engine: Engine, held: Claim, answered: Callable[[], None], away: Callable[[], None], log: Log
    ) -> None:
        self.engine, self.held, self.log = engine, held, log
        self.answered = answered  # called after every answer of the database
        self.away = away  # called before every repetition; whatever it raises ends the tries
        self.last_write = time.monotonic()

    def commit(self, write: Callable[[Connection], T]) -> T:
        """Run one fenced transaction until it is known to be committed; the trainer goes on meanwhile."""
        while True:
            try:
                with transaction(self.engine) as connection:
                    result = write(connection)
                self.last_write = time.monotonic()
                self.answered()
                return result
            except Unavailable:
                self.log.warning("the database does not answer; the run goes on, its points wait")
                self.away()
                time.sleep(RETRY_S)

    def end(self, write: Callable[[Connection], T]) -> T | None:
        """The attempt's last transaction; None where it was committed before and only the answer was lost."""
        try:
            return self.commit(write)
        except Fenced:
            if self._ended_before():
                return None
            raise

    def _ended_before(self) -> bool:
        try:
            with transaction(self.engine) as connection:
                return endings.already_ended(connection, self.held)
        except SaddleError:
            return False
