"""Writes during an attempt: points, environment, readings, checkpoints. Each brings the desired state."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from service.db.metrics.codec import Chunk
from service.db.runs import endings, events, leases
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import Connection
from service.lifecycle import DesiredState
from worker.protocol import Checkpoint, CheckpointFailed, Reading
from worker.supervisor.attempts.pending_points import PendingPoints
from worker.supervisor.attempts.writes import AttemptWrites
from worker.supervisor.file_transfer import FileTransfer

NO_POINTS: Mapping[str, Chunk] = {}
MAX_FAILED_CHECKPOINTS = 3  # in a row, until the run is paused


class ProgressWriter:
    """Adds the progress of one attempt to its writes."""

    def __init__(
        self,
        claim: Claim,
        writes: AttemptWrites,
        pending: PendingPoints,
        transfer: FileTransfer,
    ) -> None:
        self.claim, self.writes, self.pending, self.transfer = claim, writes, pending, transfer
        self.desired = DesiredState.RUN  # as of the last commit
        self.environment: dict[str, Any] | None = None  # received and not yet among the writes
        self.checkpoint_step = claim.start_step
        self.failed_checkpoints = 0  # in a row
        self.has_retired = False  # a checkpoint was saved, and may have left files that no row names

    def flush(self) -> None:
        """Write the pending points, or just a heartbeat if there are none."""
        chunks, environment = self.pending.take(), self.environment
        self.environment = None
        self.writes.add_flush(leases.Flush(self.claim, chunks, environment), self._note_desired)
        if environment is not None and environment.get("reproducible") is False:
            self.writes.add(partial(self._add_not_reproducible, environment))

    def _add_not_reproducible(self, environment: Mapping[str, Any], connection: Connection) -> None:
        data = {"attempt": self.claim.attempt, "differs": environment.get("differs")}
        why = (
            "its environment differs from that of the attempt before"
            if "differs" in environment
            else f"determinism is {environment.get('determinism')}"
        )
        events.add(connection, self.claim.run_id, "not_reproducible", data, by=self.claim.holder, why=why)

    def _note_desired(self, desired: DesiredState) -> None:
        self.desired = desired

    def flush_points(self) -> None:
        """Write the pending points, those of all attempts together, before another write of this one."""
        if self.pending.count:
            self.flush()

    def flush_environment(self) -> None:
        """Write the environment if no points have been written with it, as in a very short run."""
        if self.environment is not None:
            self.flush()

    def save_checkpoint(self, frame: Checkpoint, saved: Callable[[], None]) -> None:
        """Write a checkpoint with all points up to it, and remove the retired ones; then call `saved`."""
        files = frame.step, frame.folder, frame.sha256, frame.size_bytes
        row = SavedCheckpoint(*files, reason=frame.reason, value=frame.value)
        self.flush_points()
        self.checkpoint_step, self.failed_checkpoints = row.step, 0

        def then(result: tuple[DesiredState, list[str]]) -> None:
            self.desired, retired = result
            saved()
            self.transfer.remove(retired)
            self.has_retired = True

        self.writes.add(lambda c: leases.save_checkpoint(c, self.claim, row, NO_POINTS), then)

    def save_reading(self, frame: Reading) -> None:
        """Write a probe's reading."""
        self.flush_points()
        save, step, kind, data = leases.save_reading, frame.step, frame.name, json.loads(frame.payload)
        self.writes.add(lambda c: save(c, self.claim, step, kind, data, NO_POINTS), self._note_desired)

    def record_failed_checkpoint(self, frame: CheckpointFailed) -> bool:
        """Record a failed checkpoint; return True if repeated failures pause the run."""
        self.failed_checkpoints += 1
        step, reason, detail = frame.step, frame.reason, frame.detail
        self.writes.log.warning("the checkpoint at step %s was not saved: %s", step, detail)
        data = {"step": step, "attempt": self.claim.attempt, "reason": reason, "detail": detail}
        data["in_a_row"] = self.failed_checkpoints
        chunks = self.pending.take()

        def write(connection: Connection) -> DesiredState:
            desired = leases.flush(connection, self.claim, chunks)
            events.add(connection, self.claim.run_id, "checkpoint_failed", data, by=self.claim.holder, why=detail)
            return desired

        self.writes.add(write, self._note_desired)
        if self.failed_checkpoints < MAX_FAILED_CHECKPOINTS or reason in ("end", "wish"):
            return False
        why = f"{self.failed_checkpoints} checkpoints in a row could not be saved; the last time: {detail}"
        pause = endings.pause_by_server
        self.writes.add_end(lambda c: pause(c, self.claim, NO_POINTS, "checkpoint_failed", why))
        return True
