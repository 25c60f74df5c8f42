"""What is written of an attempt while it lasts: points, what it runs on, checkpoints. Each answer brings a wish."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

from service.db.runs import endings, events, leases
from service.db.runs.leases import Claim, SavedCheckpoint
from service.db.session import Connection
from service.errors import Unavailable
from service.lifecycle import DesiredState
from worker.supervisor.checkpoint_transfer import Keeper
from worker.supervisor.cleanup import sweep
from worker.supervisor.pending_points import Pending
from worker.supervisor.writer import Writer

NOT_SAVED = 3  # checkpoints in a row that could not be saved, until the run is paused


class Journal:
    """Of one attempt."""

    def __init__(
        self, held: Claim, writer: Writer, pending: Pending, keeper: Keeper, beat: Callable[[Connection], None]
    ) -> None:
        self.held, self.writer, self.pending, self.keeper = held, writer, pending, keeper
        self.beat = beat  # what else goes into each flush
        self.desired = DesiredState.RUN
        self.environment: dict[str, Any] | None = None  # said by the trainer and not yet written
        self.checkpoint_step = held.start_step
        self.not_saved = 0  # checkpoints in a row

    def flush(self) -> None:
        """Write what is there, which is also a sign of life."""
        chunks, environment = self.pending.take(), self.environment

        def write(connection: Connection) -> DesiredState:
            desired = leases.flush(connection, self.held, chunks, environment)
            if environment is not None and environment.get("reproducible") is False:
                data = {"attempt": self.held.attempt, "differs": environment.get("differs")}
                why = "it runs on something else than the attempt before"
                events.add(connection, self.held.run_id, "not_reproducible", data, by=self.held.holder, why=why)
            self.beat(connection)
            return desired

        self.desired = self.writer.commit(write)
        self.environment = None

    def note(self) -> None:
        """Have what the attempt runs on written: a run may be so short that no points were before."""
        if self.environment is not None:
            self.flush()

    def checkpoint(self, header: dict[str, Any]) -> None:
        """Make a checkpoint real, with all points up to it, and forget those that are no longer needed."""
        facts = {name: header[name] for name in ("step", "folder", "sha256", "size_bytes")}
        saved = SavedCheckpoint(**facts, reason=header.get("reason", "due"), value=header.get("value"))
        chunks = self.pending.take()
        self.desired, retired = self.writer.commit(lambda c: leases.save_checkpoint(c, self.held, saved, chunks))
        self.checkpoint_step, self.not_saved = saved.step, 0
        self.keeper.remove(retired)
        if self.keeper.store.in_place:  # of a bucket only at the start: to list one takes its time
            with contextlib.suppress(OSError, Unavailable):
                sweep(self.writer.engine, self.keeper.store, self.held.run_id)

    def reading(self, header: dict[str, Any], payload: bytes) -> None:
        """Write what a probe found."""
        chunks, data = self.pending.take(), json.loads(payload)
        step, kind = header["step"], header["name"]
        self.desired = self.writer.commit(lambda c: leases.save_reading(c, self.held, step, kind, data, chunks))

    def checkpoint_failed(self, header: dict[str, Any]) -> bool:
        """What was saved before is still good, so the run goes on; but not for ever. True once it is paused."""
        self.not_saved += 1
        step, reason, detail = header["step"], header["reason"], header["detail"]
        self.writer.log.warning("the checkpoint at step %s was not saved: %s", step, detail)
        data = {"step": step, "attempt": self.held.attempt, "reason": reason, "detail": detail}
        chunks = self.pending.take()

        def write(connection: Connection) -> DesiredState:
            desired = leases.flush(connection, self.held, chunks)
            told = data | {"in_a_row": self.not_saved}
            events.add(connection, self.held.run_id, "checkpoint_failed", told, by=self.held.holder, why=detail)
            return desired

        self.desired = self.writer.commit(write)
        if self.not_saved < NOT_SAVED or reason in ("end", "wish"):
            return False
        why = f"{self.not_saved} checkpoints in a row could not be saved; the last time: {detail}"
        self.writer.end(lambda c: endings.pause_by_server(c, self.held, {}, "checkpoint_failed", why))
        return True
