"""One attempt of one run: hands it to the trainer, writes what that says, passes wishes on.

Every transaction starts with the fence; one whose answer was lost is repeated (worker.writer).
"""

import contextlib
import logging
import queue
import time
from typing import Any, Protocol

from service.db import endings, events, leases
from service.db.leases import Claim, SavedCheckpoint
from service.db.session import Connection, Engine
from service.errors import Fenced, Unavailable
from service.lifecycle import State, Wish
from service.settings import Settings
from service.storage.places import store_of
from worker.keeping import Keeper
from worker.points import Pending
from worker.process import TrainerProcess
from worker.sweeping import sweep
from worker.writer import Writer

log = logging.getLogger(__name__)

OUTCOMES = {"succeeded": State.SUCCEEDED, "paused": State.PAUSED, "cancelled": State.CANCELLED}
NOT_SAVED = 3  # checkpoints in a row that could not be saved, until the run is paused
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
        self.not_saved = 0  # checkpoints in a row
        self.log = logging.LoggerAdapter(log, {"run": held.run_id, "attempt": held.attempt})

    def run(self) -> None:
        """Supervise to the end; a lost lease kills the trainer and writes nothing more."""
        self.trainer = self.slot.usable_trainer()
        store, cache = store_of(self.settings), self.settings.checkpoint_cache.resolve()
        self.keeper = Keeper(store, cache, self.held.lease, self.trainer.frames.put)
        try:
            self._begin()
            while not self._step():
                pass
        except Fenced:
            self.log.warning("lost the lease of %s (attempt %s): stopping", self.held.run_id, self.held.attempt)
            self.slot.discard_trainer()
        except BrokenPipeError:
            self._trainer_died()
        finally:
            self.keeper.close()

    def _begin(self) -> None:
        """Train, at once or when the checkpoint to start from is on this machine."""
        saved = self.held.checkpoint
        if saved is None:
            self._send_train(None)
        elif (folder := self.keeper.fetch(saved)) is not None:
            self._send_train({"folder": str(folder), "sha256": saved.sha256})

    def _send_train(self, resume: dict[str, str] | None) -> None:
        own = self.settings.checkpoint_dir / self.held.run_id / f"a{self.held.attempt}-{self.held.lease[:8]}"
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
                "folder": str(self.keeper.folder(own).resolve()),
                "datasets": str(self.settings.dataset_dir.resolve()),
                "resident_bytes": self.settings.resident_bytes,
                "resume": resume,
                "fork": self.held.forked,
                "until": self.held.total_steps,
            }
        )

    def _step(self) -> bool:
        """Handle what the trainer said, or the time that passed; True once the attempt has ended."""
        try:
            header, payload = self.trainer.frames.get(timeout=self._patience_s())
        except queue.Empty:
            return self._tick()
        if self.keeper.takes(header):
            if header is not None and header["type"] == "checkpoint":
                self._flush()  # a chunk of points ends at a checkpoint's step
            return self._tick()
        if header is None or header["type"] == "died":
            self._trainer_died()
            return True
        if header.get("lease", self.held.lease) != self.held.lease:
            return False  # of the run before
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
        if kind == "fetched" and self.held.checkpoint is not None:
            self.keeper.fetching = False
            self._send_train({"folder": header["folder"], "sha256": self.held.checkpoint.sha256})
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
        elif kind == "checkpoint_failed":
            return self._checkpoint_failed(header)
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
        if wanted and self.keeper.fetching:  # the trainer has not begun
            self._end({"pause": "paused", "cancel": "cancelled", "drain": "drained"}[wanted], None)
            return True
        if wanted and wanted != self.told:
            self.trainer.send({"type": "wish", "wish": wanted})
            self.told, self.told_at = wanted, time.monotonic()
        limit = 30.0 if self.told == "cancel" else self.settings.drain_s
        if self.told and not self.keeper.ending and time.monotonic() - self.told_at > limit:
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

        def write(connection: Connection) -> Wish:
            wish = leases.flush(connection, self.held, chunks, environment)
            if environment is not None and environment.get("reproducible") is False:
                data = {"attempt": self.held.attempt, "differs": environment.get("differs")}
                why = "it runs on something else than the attempt before"
                events.add(connection, self.held.run_id, "not_reproducible", data, by=self.held.who, why=why)
            return wish

        self.wish = self.writer.commit(write)
        self.environment = None

    def _checkpoint(self, header: dict[str, Any]) -> None:
        named = ("step", "folder", "sha256", "size_bytes", "reason", "value")
        saved = SavedCheckpoint(**{name: header[name] for name in named})
        chunks = self.pending.take()
        self.wish, retired = self.writer.commit(lambda c: leases.save_checkpoint(c, self.held, saved, chunks))
        self.not_saved = 0
        self.keeper.remove(retired)
        if self.keeper.store.in_place:  # of a bucket only at the start: to list one takes its time
            with contextlib.suppress(OSError, Unavailable):
                sweep(self.slot.engine, self.keeper.store, self.held.run_id)

    def _checkpoint_failed(self, header: dict[str, Any]) -> bool:
        """What was saved before is still good, so the run goes on; but not for ever. True once it is paused."""
        self.not_saved += 1
        step, reason, detail = header["step"], header["reason"], header["detail"]
        self.log.warning("the checkpoint of %s at step %s was not saved: %s", self.held.run_id, step, detail)
        data = {"step": step, "attempt": self.held.attempt, "reason": reason, "detail": detail}
        chunks = self.pending.take()

        def write(connection: Connection) -> Wish:
            wish = leases.flush(connection, self.held, chunks)
            told = data | {"in_a_row": self.not_saved}
            events.add(connection, self.held.run_id, "checkpoint_failed", told, by=self.held.who, why=detail)
            return wish

        self.wish = self.writer.commit(write)
        if self.not_saved < NOT_SAVED or reason in ("end", "wish"):
            return False
        why = f"{self.not_saved} checkpoints in a row could not be saved; the last time: {detail}"
        self.writer.end(lambda c: endings.paused_by(c, self.held, {}, "checkpoint_failed", why))
        self.slot.discard_trainer()
        return True

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
