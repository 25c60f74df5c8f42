"""Fenced transactions of one attempt, each repeated until it is known to be committed."""

import time
from collections.abc import Callable
from typing import TypeVar

from service.db.runs import endings, log_lines
from service.db.runs.claims import Claim
from service.db.session import Connection, Engine, transaction
from service.errors import Fenced, SaddleError, Unavailable
from worker.supervisor.output import RunLog

T = TypeVar("T")
RETRY_S = 0.5  # between attempts while the database is down


class FencedTransactions:
    """Commits for one attempt. Transactions are idempotent; after the lease is lost they raise `Fenced`.

    `note_contact` is called after every answer of the database, `before_retry` before every retry; if `before_retry`
    raises, that ends the retries.
    """

    def __init__(
        self,
        engine: Engine,
        claim: Claim,
        note_contact: Callable[[], None],
        before_retry: Callable[[], None],
        log: RunLog,
    ) -> None:
        self.engine, self.claim, self.log = engine, claim, log
        self.note_contact, self.before_retry = note_contact, before_retry
        self.last_write = time.monotonic()

    def commit(self, write: Callable[[Connection], T]) -> T:
        """Retry a transaction until it is known to be committed; the trainer goes on meanwhile."""
        lines = self.log.take()
        while True:
            try:
                with transaction(self.engine) as connection:
                    result = write(connection)
                    if lines:
                        log_lines.add(connection, self.claim.run_id, self.claim.attempt, lines)
                self.last_write = time.monotonic()
                self.note_contact()
                return result
            except Unavailable:
                self.log.warning("the database does not answer; the run goes on, its points wait")
                self.before_retry()
                time.sleep(RETRY_S)

    def end(self, write: Callable[[Connection], T]) -> T | None:
        """Run the attempt's last transaction; None if it was committed before and only the answer was lost."""
        try:
            return self.commit(write)
        except Fenced:
            if self._has_ended():
                return None
            raise

    def _has_ended(self) -> bool:
        try:
            with transaction(self.engine) as connection:
                return endings.already_ended(connection, self.claim)
        except SaddleError:
            return False
