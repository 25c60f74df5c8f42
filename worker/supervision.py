"""One attempt of one run: hands it to the trainer, writes what that says, passes wishes on.

Every transaction starts with the fence; one whose answer was lost is repeated (worker.writer).
"""

import contextlib
import logging
import queue
import shutil
import time
from typing import Any, Protocol

from service.db import endings, leases
from service.db.leases import Claim, SavedCheckpoint
from service.db.session import Engine
from service.errors import Fenced
from service.lifecycle import State, Wish
from service.settings import Settings
from worker.points import Pending
from worker.process import TrainerProcess
from worker.writer import Writer

log = logging.getLogger(__name__)

OUTCOMES = {"succeeded": State.SUCCEEDED, "paused": State.PAUSED, "cancelled": State.CANCELLED}
PERMANENT = {"spec_cannot_build", "dataset_missing", "dataset_changed", "diverged", "cuda_oom", "out_of_memory"}


class Slot(Protocol):
    """What the supervision of a run needs of its slot."""

    settings: Settings
    engine: Engine

    @property
    def drains(self) -> bool:
        """Whether what trains is to be checkpointed and given back."""

    def answered(self) -> None:
        """Postgres has just answered."""

    def usable_trainer(self) -> TrainerProcess:
        """The warm trainer."""

    def discard_trainer(self) -> None:
        """End it at once."""


class RunSupervision:
    """One attempt of one run, from the claim to its end."""

    def __init__(self, slot: Slot, held: Claim) -> None:
        self.slot, self.held, self.settings = slot, held, slot.settings
        self.pending = Pending()
        self.wish = Wish.RUN
        self.environment: dict[str, Any] | None = None  # said by the trainer and not yet written
        self.told: str | None = None
        self.told_at = 0.0
        self.writer = Writer(slot.engine, held, slot.answered, lambda: None)
        self.folder = self.settings.checkpoint_dir / held.run_id / f"a{held.attempt}-{held.lease[:8]}"
        self.log = logging.LoggerAdapter(log, {"run": held.run_id, "attempt": held.attempt})

    def run(self) -> None:
        """Supervise to the end; a lost lease kills the trainer and writes nothing more."""
        self.trainer = self.slot.usable_trainer()
        try:
            self._send_train()
            while not self._step():
                pass
        except Fenced:
            self.log.warning("lost the lease of %s (attempt %s): stopping", self.held.run_id, self.held.attempt)
            self.slot.discard_trainer()
        except BrokenPipeError:
            self._trainer_died()

    def _send_train(self) -> None:
        saved = self.held.checkpoint
        self.trainer.send(
            {
                "type": "train",
                "run": self.held.run_id,
                "attempt": self.held.attempt,
                "spec": self.held.spec,
                "seed": self.held.seed,
                "threads": self.settings.threads,
                "flush_s": self.settings.flush_s,
                "checkpoint_s": self.settings.checkpoint_s,
                "folder": str(self.folder.resolve()),
                "datasets": str(self.settings.dataset_dir.resolve()),
                "resident_bytes": self.settings.resident_bytes,
                "resume": None if saved is None else {"folder": saved.folder, "sha256": saved.sha256},
            }
        )

    def _step(self) -> bool:
        """Handle what the trainer said, or the time that passed; True once the attempt has ended."""
        try:
            header, payload = self.trainer.frames.get(timeout=self._patience_s())
        except queue.Empty:
            return self._tick()
        if header is None:
            self._trainer_died()
            return True
        return self._handle(header, payload) or self._tick()

    def _patience_s(self) -> float:
        """How long to wait for the trainer before the next sign of life is due."""
        return max(
            0.01, min(self.settings.beat_s / 4, self.writer.last_write + self.settings.beat_s - time.monotonic())
        )

    def _handle(self, header: dict[str, Any], payload: bytes) -> bool:
        kind = header["type"]
        if kind == "started":
            self.environment = header["environment"]  # written with the first points, which follow at once
            return False
        if kind == "points":
            self.pending.add(header["series"], payload)
            if self.trainer.frames.empty() or self.pending.count > 100_000:
                self._flush()
            return False
        if self.environment is not None:  # a run so short that no points were written yet
            self._flush()
        if kind == "checkpoint":
            self._checkpoint(header)
        elif kind == "end":
            self._end(header["outcome"], header.get("note"))
            return True
        elif kind == "failed":
            self._failed(header)
            return True
        return False

    def _tick(self) -> bool:
        """Beat when one is due; pass a new wish on; end a trainer that does not obey."""
        if time.monotonic() - self.writer.last_write >= self.settings.beat_s:
            self._flush()
        wanted = self._wanted()
        if wanted and wanted != self.told:
            self.trainer.send({"type": "wish", "wish": wanted})
            self.told, self.told_at = wanted, time.monotonic()
        limit = 30.0 if self.told == "cancel" else self.settings.drain_s
        if self.told and time.monotonic() - self.told_at > limit:
            self.log.warning("the trainer of %s did not obey %s within %s s", self.held.run_id, self.told, limit)
            self._trainer_died()
            return True
        return False

    def _wanted(self) -> str | None:
        if self.wish is not Wish.RUN:
            return self.wish.value
        return "drain" if self.slot.drains else None

    def _flush(self) -> None:
        chunks, environment = self.pending.take(), self.environment
        self.wish = self.writer.commit(lambda c: leases.flush(c, self.held, chunks, environment))
        self.environment = None

    def _checkpoint(self, header: dict[str, Any]) -> None:
        saved = SavedCheckpoint(header["step"], header["folder"], header["sha256"], header["size_bytes"])
        chunks = self.pending.take()
        self.wish, retired = self.writer.commit(lambda c: leases.save_checkpoint(c, self.held, saved, chunks))
        for folder in retired:
            shutil.rmtree(folder, ignore_errors=True)

    def _end(self, outcome: str, note: str | None) -> None:
        chunks = self.pending.take()
        if outcome == "drained":
            self.writer.end(lambda c: endings.give_back(c, self.held, chunks))
        else:
            self.writer.end(lambda c: endings.finish(c, self.held, OUTCOMES[outcome], chunks, detail=note))

    def _failed(self, header: dict[str, Any]) -> None:
        kind, detail = header["kind"], header["detail"]
        evidence = {"step": header.get("step"), **header.get("evidence", {})}
        if kind == "checkpoint_damaged" and self.held.checkpoint is not None:
            folder = self.held.checkpoint.folder
            self.writer.end(lambda c: endings.quarantine(c, self.held, folder))
        elif kind in PERMANENT:
            chunks = self.pending.take()
            failure = {"code": kind, "detail": detail, "evidence": evidence}
            self.writer.end(lambda c: endings.finish(c, self.held, State.FAILED, chunks, failure))
        else:
            self._flush()
            self.writer.end(lambda c: endings.crashed(c, self.held, kind, detail, evidence))
        if not self.trainer.alive(patience_s=0.2):
            self.slot.discard_trainer()

    def _trainer_died(self) -> None:
        """Its process is gone or hangs: count it, and start another."""
        detail = self.trainer.obituary()
        self.slot.discard_trainer()
        with contextlib.suppress(Fenced):
            self._flush()
            evidence = {"step": self.pending.last_step}
            state = self.writer.end(lambda c: endings.crashed(c, self.held, "trainer_died", detail, evidence))
            self.log.warning("the trainer of %s died (%s): now %s", self.held.run_id, detail, state)
