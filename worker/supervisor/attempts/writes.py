"""What the attempts of a trainer write: everything that waits in one fenced transaction, repeated until committed.

The writes of an attempt are idempotent, and its first begins with the fence. One whose lease is lost writes nothing,
and does not disturb the others.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.db.runs import endings, leases, log_lines
from service.db.runs.claims import Claim
from service.db.runs.leases import Flush
from service.db.session import Connection, Engine, transaction
from service.errors import Fenced, Unavailable
from service.lifecycle import DesiredState
from worker.supervisor.output import RunLog

T = TypeVar("T")
RETRY_S = 0.5  # between attempts while the database is down


def ignore(_: object) -> None:
    """Do nothing with a result."""


@dataclass(frozen=True)
class Write:
    """A write of an attempt, and what is done with its result once it is committed."""

    apply: Callable[[Connection], Any]
    then: Callable[[Any], None]
    flush: Flush | None = None  # that it consists of: those of all attempts are written together


class AttemptWrites:
    """What waits to be written for one attempt, in order."""

    def __init__(self, claim: Claim, log: RunLog) -> None:
        self.claim, self.log = claim, log
        self.waiting: list[Write] = []
        self.ends = False  # the last write ends the attempt
        self.written_at = time.monotonic()

    def add(self, apply: Callable[[Connection], T], then: Callable[[T], None] = ignore) -> None:
        """Add a write. `then` gets its result after the commit."""
        self.waiting.append(Write(apply, then))

    def add_flush(self, flush: Flush, then: Callable[[DesiredState], None]) -> None:
        """Add points, or just a heartbeat."""
        self.waiting.append(Write(lambda c: leases.flush(c, flush.claim, flush.chunks, flush.environment), then, flush))

    def add_end(self, apply: Callable[[Connection], T], then: Callable[[T | None], None] = ignore) -> None:
        """Add the last write. Its result is None if it was committed before and only the answer was lost."""
        self.waiting.append(Write(apply, then))
        self.ends = True


class GroupWriter:
    """Commits what waits for the attempts of a trainer.

    `beat` writes the worker's row in the same transaction. `note_contact` is called after every answer of the database,
    `before_retry` before every retry; if `before_retry` raises, that ends the retries.
    """

    def __init__(
        self,
        engine: Engine,
        beat: Callable[[Connection], None],
        note_contact: Callable[[], None],
        before_retry: Callable[[], None],
    ) -> None:
        self.engine, self.beat, self.note_contact, self.before_retry = engine, beat, note_contact, before_retry

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

    def _is_committed(self, connection: Connection, batch: "Sequence[_Batch]") -> bool:
        """Whether the try before was committed and only its answer was lost; note the heartbeats for the next one.

        Writing again would double points that a checkpoint in the same transaction has joined to other chunks.
        """
        beats = leases.beats(connection, [each.of.claim for each in batch])
        tried = [each for each in batch if each.beat is not None]
        if any(beats.get(each.of.claim.lease, 0) > (each.beat or 0) for each in tried):
            return True
        if any(each.ends and endings.already_ended(connection, each.of.claim) for each in tried):
            return True
        for each in batch:
            each.beat = beats.get(each.of.claim.lease)
        return False

    def _try(self, batch: "Sequence[_Batch]") -> bool:
        """Write all in one transaction; return whether it is known to be committed."""
        try:
            with transaction(self.engine) as connection:
                if self._is_committed(connection, batch):
                    return True
                flushes = [each.first_flush for each in batch if each.first_flush is not None]
                desired = leases.flush_all(connection, flushes) if flushes else {}
                for each in batch:
                    each.apply(connection, desired)
                held = [each for each in batch if not each.lost]
                log_lines.add_all(connection, [line for each in held for line in each.log_lines])
                if held:
                    self.beat(connection)
        except Unavailable:
            return False
        return True


class _Batch:
    """The writes of one attempt in a transaction, which may be tried several times."""

    def __init__(self, writes: AttemptWrites) -> None:
        self.of, self.ends = writes, writes.ends
        self.writes, writes.waiting = writes.waiting, []
        run = writes.claim.run_id, writes.claim.attempt
        self.log_lines = [(*run, line) for line in writes.log.take()]
        self.results: list[Any] = []
        self.lost = False
        self.beat: int | None = None  # before the last try; None: not held, or not tried

    @property
    def first_flush(self) -> Flush | None:
        """The flush that its writes begin with, if they do."""
        return self.writes[0].flush

    def apply(self, connection: Connection, desired: Mapping[str, DesiredState]) -> None:
        """Write all, after the first flush: that of every attempt is written, and led to these desired states."""
        try:
            self.lost, self.results = False, self._apply(connection, desired)
        except Fenced:
            # an end that is committed lets go of the lease; then only the answer to the COMMIT was lost
            had_ended = self.ends and endings.already_ended(connection, self.of.claim)
            self.lost, self.results = not had_ended, [None] if had_ended else []

    def _apply(self, connection: Connection, desired: Mapping[str, DesiredState]) -> list[Any]:
        if self.first_flush is None:
            return [write.apply(connection) for write in self.writes]
        lease = self.of.claim.lease
        if lease not in desired:
            raise Fenced(f"run {self.of.claim.run_id} is no longer held by this attempt")
        return [desired[lease], *(write.apply(connection) for write in self.writes[1:])]

    def report(self) -> None:
        """Hand the results on; after an end that had been committed before, only that."""
        if self.results:
            for write, result in zip(self.writes[-len(self.results) :], self.results, strict=True):
                write.then(result)
