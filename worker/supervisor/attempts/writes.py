"""What the attempts of a trainer write: everything that waits in one fenced transaction, repeated until committed.

The writes of an attempt are idempotent and begin with the fence. One whose lease is lost writes nothing, and does not
disturb the others.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.db.runs import endings, log_lines
from service.db.runs.claims import Claim
from service.db.session import Connection, Engine, transaction
from service.errors import Fenced, Unavailable
from worker.supervisor.output import RunLog

T = TypeVar("T")
RETRY_S = 0.5  # between attempts while the database is down


@dataclass(frozen=True)
class Write:
    """A write of an attempt, and what is done with its result once it is committed."""

    apply: Callable[[Connection], Any]
    then: Callable[[Any], None]


class AttemptWrites:
    """What waits to be written for one attempt, in order."""

    def __init__(self, claim: Claim, log: RunLog) -> None:
        self.claim, self.log = claim, log
        self.waiting: list[Write] = []
        self.ends = False  # the last write ends the attempt
        self.written_at = time.monotonic()

    def add(self, apply: Callable[[Connection], T], then: Callable[[T], None]) -> None:
        """Add a write. `then` gets its result after the commit."""
        self.waiting.append(Write(apply, then))

    def add_end(self, apply: Callable[[Connection], T], then: Callable[[T | None], None]) -> None:
        """Add the last write. Its result is None if it was committed before and only the answer was lost."""
        self.waiting.append(Write(apply, then))
        self.ends = True


class GroupWriter:
    """Commits what waits for the attempts of a trainer.

    `note_contact` is called after every answer of the database, `before_retry` before every retry; if `before_retry`
    raises, that ends the retries.
    """

    def __init__(self, engine: Engine, note_contact: Callable[[], None], before_retry: Callable[[], None]) -> None:
        self.engine, self.note_contact, self.before_retry = engine, note_contact, before_retry

    def commit(self, group: Sequence[AttemptWrites]) -> list[AttemptWrites]:
        """Retry one transaction until it is known to be committed; return the attempts whose lease is lost.

        The trainer goes on meanwhile.
        """
        ordered = sorted(group, key=lambda writes: writes.claim.run_id)  # as others lock the rows of several runs
        batch = [_Batch(writes) for writes in ordered if writes.waiting]
        while not self._try(batch):
            for each in batch[:1]:
                each.of.log.warning("the database does not answer; the run goes on, its points wait")
            self.before_retry()
            time.sleep(RETRY_S)
        self.note_contact()
        for each in batch:
            each.of.written_at = time.monotonic()
            each.report()
        return [each.of for each in batch if each.lost]

    def _try(self, batch: "Sequence[_Batch]") -> bool:
        """Write all in one transaction; return whether it is known to be committed."""
        try:
            with transaction(self.engine) as connection:
                for each in batch:
                    each.apply(connection)
        except Unavailable:
            return False
        return True


class _Batch:
    """The writes of one attempt in a transaction, which may be tried several times."""

    def __init__(self, writes: AttemptWrites) -> None:
        self.of, self.ends = writes, writes.ends
        self.writes, writes.waiting = writes.waiting, []
        self.lines = writes.log.take()
        self.results: list[Any] = []
        self.lost = False

    def apply(self, connection: Connection) -> None:
        self.lost = False
        try:
            self.results = [write.apply(connection) for write in self.writes]
        except Fenced:
            # an end that is committed lets go of the lease; then only the answer to the COMMIT was lost
            had_ended = self.ends and endings.already_ended(connection, self.of.claim)
            self.results, self.lost = [None] if had_ended else [], not had_ended
            return
        if self.lines:
            log_lines.add(connection, self.of.claim.run_id, self.of.claim.attempt, self.lines)

    def report(self) -> None:
        """Hand the results on; after an end that had been committed before, only that."""
        if self.results:
            for write, result in zip(self.writes[-len(self.results) :], self.results, strict=True):
                write.then(result)
