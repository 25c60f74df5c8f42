"""The supervisor of one slot: claims a run, hands it to a trainer, writes what it says, passes wishes on.

It owns the only database connection of its slot. Every transaction starts with the fence; one whose answer was lost is
repeated with the same content, which is harmless. It imports no torch.
"""

import contextlib
import logging
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from service.db import endings, leases, reaping
from service.db.leases import Claim, SavedCheckpoint
from service.db.session import Connection, Engine, check_schema, make_engine, transaction
from service.errors import Fenced, SaddleError, Unavailable
from service.lifecycle import State, Wish
from service.settings import Settings
from worker.points import Pending
from worker.process import TrainerProcess

log = logging.getLogger(__name__)
T = TypeVar("T")

OUTCOMES = {"succeeded": State.SUCCEEDED, "paused": State.PAUSED, "cancelled": State.CANCELLED}
PERMANENT = {"spec_cannot_build", "dataset_missing", "dataset_changed", "diverged", "cuda_oom", "out_of_memory"}
RETRY_S = 0.5  # between two tries of a transaction while the database is away


class Supervisor:
    """One slot of a worker: one run at a time, on one device."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bell = threading.Event()
        self.draining = threading.Event()
        self.engine: Engine = make_engine(
            settings.database_url, pool_size=1, name=f"saddle-worker {settings.worker_name}"
        )
        self.trainer: TrainerProcess | None = None

    def run(self) -> None:
        """Claim and train until drained; the body of the slot's own thread."""
        try:
            check_schema(self.engine)
            self._take_back()
            self.answered()
            self.trainer = TrainerProcess.start(self.settings)
            self.bell.set()  # look once at the start
            while not self.draining.is_set():
                self.bell.wait(self.settings.poll_s)
                self.bell.clear()
                self._work()
        finally:
            if self.trainer is not None:
                self.trainer.kill()
            self.engine.dispose()

    def answered(self) -> None:
        """Postgres has just answered: leave the sign of life that `worker.health` looks for."""
        if self.settings.alive_file is not None:
            self.settings.alive_file.touch()

    def wake(self) -> None:
        """Look for work now."""
        self.bell.set()

    def drain(self) -> None:
        """Take nothing new; what trains is checkpointed and goes back to the queue."""
        self.draining.set()
        self.bell.set()

    def _take_back(self) -> None:
        """Reap what a former life of this worker held; its name is its own while the connection lives."""
        with transaction(self.engine) as connection:
            if reaping.own_name(connection, self.settings.worker_name):
                for seen in reaping.held_by(connection, self.settings.worker_name):
                    reaping.reap(connection, seen)
            else:
                log.warning("another worker is called %s; its runs are left to it", self.settings.worker_name)

    def _work(self) -> None:
        """Train what waits, one run after the other."""
        while not self.draining.is_set():
            try:
                held = self._claim()
            except Unavailable:
                log.warning("the database does not answer; looking again in %s s", self.settings.poll_s)
                return
            self.answered()
            if held is None:
                return
            RunSupervision(self, held).run()

    def _claim(self) -> Claim | None:
        """Claim with a lease made here: if the answer to the COMMIT is lost, asking again finds the same run."""
        lease = uuid.uuid4().hex

        def take(again: bool) -> Claim | None:
            with transaction(self.engine) as connection:
                return leases.claim(connection, [self.settings.pool], self.settings.worker_name, lease, again)

        for attempt in range(3):
            with contextlib.suppress(Unavailable):
                return take(again=attempt > 0)
            time.sleep(RETRY_S)
        return take(again=True)

    def usable_trainer(self) -> TrainerProcess:
        """The warm trainer, or a new one in place of one that died."""
        if self.trainer is None or not self.trainer.alive():
            if self.trainer is not None:
                self.trainer.kill()
            self.trainer = TrainerProcess.start(self.settings)
        return self.trainer

    def discard_trainer(self) -> None:
        """End the trainer at once and start warming another."""
        if self.trainer is not None:
            self.trainer.kill()
        self.trainer = None if self.draining.is_set() else TrainerProcess.start(self.settings)


class RunSupervision:
    """One attempt of one run, from the claim to its end."""

    def __init__(self, slot: Supervisor, held: Claim) -> None:
        self.slot, self.held, self.settings = slot, held, slot.settings
        self.pending = Pending()
        self.wish = Wish.RUN
        self.environment: dict[str, Any] | None = None  # said by the trainer and not yet written
        self.told: str | None = None
        self.told_at = 0.0
        self.last_write = time.monotonic()
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
        return max(0.01, min(self.settings.beat_s / 4, self.last_write + self.settings.beat_s - time.monotonic()))

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
        if time.monotonic() - self.last_write >= self.settings.beat_s:
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
        return "drain" if self.slot.draining.is_set() else None

    def _flush(self) -> None:
        chunks, environment = self.pending.take(), self.environment
        self.wish = self._commit(lambda c: leases.flush(c, self.held, chunks, environment))
        self.environment = None

    def _checkpoint(self, header: dict[str, Any]) -> None:
        saved = SavedCheckpoint(header["step"], header["folder"], header["sha256"], header["size_bytes"])
        chunks = self.pending.take()
        self.wish, retired = self._commit(lambda c: leases.save_checkpoint(c, self.held, saved, chunks))
        for folder in retired:
            shutil.rmtree(folder, ignore_errors=True)

    def _end(self, outcome: str, note: str | None) -> None:
        chunks = self.pending.take()
        if outcome == "drained":
            self._commit(lambda c: endings.give_back(c, self.held, chunks), last=True)
        else:
            self._commit(lambda c: endings.finish(c, self.held, OUTCOMES[outcome], chunks, detail=note), last=True)

    def _failed(self, header: dict[str, Any]) -> None:
        kind, detail = header["kind"], header["detail"]
        evidence = {"step": header.get("step"), **header.get("evidence", {})}
        if kind == "checkpoint_damaged" and self.held.checkpoint is not None:
            folder = self.held.checkpoint.folder
            self._commit(lambda c: endings.quarantine(c, self.held, folder), last=True)
        elif kind in PERMANENT:
            chunks = self.pending.take()
            failure = {"code": kind, "detail": detail, "evidence": evidence}
            self._commit(lambda c: endings.finish(c, self.held, State.FAILED, chunks, failure), last=True)
        else:
            self._flush()
            self._commit(lambda c: endings.crashed(c, self.held, kind, detail, evidence), last=True)
        if not self.trainer.alive(patience_s=0.2):
            self.slot.discard_trainer()

    def _trainer_died(self) -> None:
        """Its process is gone or hangs: count it, and start another."""
        detail = self.trainer.obituary()
        self.slot.discard_trainer()
        with contextlib.suppress(Fenced):
            self._flush()
            evidence = {"step": self.pending.last_step}
            state = self._commit(lambda c: endings.crashed(c, self.held, "trainer_died", detail, evidence), last=True)
            self.log.warning("the trainer of %s died (%s): now %s", self.held.run_id, detail, state)

    def _commit(self, write: Callable[[Connection], T], last: bool = False) -> T:
        """Run one fenced transaction until it is known to be committed; the trainer goes on meanwhile."""
        while True:
            try:
                with transaction(self.slot.engine) as connection:
                    result = write(connection)
                self.last_write = time.monotonic()
                self.slot.answered()
                return result
            except Unavailable:
                self.log.warning("the database does not answer; %s goes on, its points wait", self.held.run_id)
                time.sleep(RETRY_S)
            except Fenced:
                if last and self._ended_before():
                    return None  # type: ignore[return-value]
                raise

    def _ended_before(self) -> bool:
        """Whether the end was committed although its answer was lost."""
        try:
            with transaction(self.slot.engine) as connection:
                return endings.already_ended(connection, self.held)
        except SaddleError:
            return False
