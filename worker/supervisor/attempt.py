"""One attempt of one run: hands it to the trainer, writes what that says, passes wishes on, ends what hangs.

Every transaction starts with the fence; one whose answer was lost is repeated (worker.supervisor.writer).
"""

import logging
import queue
import time
from collections.abc import MutableMapping, Sequence
from typing import Any, Protocol

from service.db.runs.leases import Claim, SavedCheckpoint
from service.db.session import Connection, Engine
from service.errors import Fenced, Unavailable
from service.lifecycle import DesiredState
from service.settings import Settings
from service.storage.places import store_of
from worker.supervisor.checkpoint_transfer import Keeper
from worker.supervisor.deadlines import Watch
from worker.supervisor.endings import Ending
from worker.supervisor.journal import Journal
from worker.supervisor.pending_points import Pending
from worker.supervisor.presence import Presence
from worker.supervisor.trainer_process import TrainerProcess
from worker.supervisor.writer import Writer

log = logging.getLogger(__name__)
BUSY_S = 2.0  # a run has stepped for so long: time to warm a spare trainer beside it
OUTCOMES = {"pause": "paused", "cancel": "cancelled", "drain": "drained"}
WAITING = 100_000  # points that are written even while more arrive


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """Every line says which run and attempt it is about."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Put them in front."""
        extra = self.extra or {}
        return f"[{extra['run']} attempt {extra['attempt']}] {msg}", kwargs


class Slot(Protocol):
    """What the supervision of a run needs of its slot."""

    settings: Settings
    engine: Engine
    presence: Presence

    @property
    def draining_s(self) -> float | None:
        """For how long the worker has been about to stop; None: it is not."""

    def answered(self) -> None:
        """Postgres has just answered."""

    def warm_spare(self) -> None:
        """A run trains: have another trainer ready for when this one dies."""

    def discard(self, trainer: TrainerProcess) -> None:
        """End this trainer at once."""

    def unfit(self, why: str) -> None:
        """The device is broken: take nothing new."""


class RunSupervision:
    """One attempt of one run, from the claim to its end."""

    def __init__(self, slot: Slot, held: Claim, trainer: TrainerProcess) -> None:
        self.slot, self.held, self.trainer, self.settings = slot, held, trainer, slot.settings
        self.log = RunLog(log, {"run": held.run_id, "attempt": held.attempt})
        self.pending = Pending()
        limits = [limit for limit in (held.limit_s, self.settings.max_run_s) if limit is not None]
        budget_s = max(0.0, min(limits) - held.trained_s) if limits else None
        self.watch = Watch(self.settings, budget_s, time.monotonic())
        self.writer = Writer(slot.engine, held, slot.answered, self._away, self.log)
        store, cache = store_of(self.settings), self.settings.checkpoint_cache.resolve()
        self.keeper = Keeper(store, cache, held.lease, trainer.frames.put)
        self.journal = Journal(held, self.writer, self.pending, self.keeper, self._beat)
        self.ending = Ending(held, self.journal, self.watch)
        self.announced: dict[str, Any] | None = None  # a failure whose causes the trainer looks for

    def run(self) -> None:
        """Supervise to the end; a lost lease kills the trainer and writes nothing more."""
        self.trainer.begin(self.log)
        self.slot.presence.soon()
        try:
            self._begin()
            while not self._step():
                pass
        except Fenced:
            self.log.warning("the lease is lost: stopping")
            self.slot.discard(self.trainer)
        except Unavailable:
            self.log.error("given up: the worker stops, and the database does not answer")
            self.slot.discard(self.trainer)
        finally:
            self.keeper.close()

    def _begin(self) -> None:
        """Train, at once or when the checkpoint to start from is on this machine."""
        saved = self.held.checkpoint
        for each in self.held.references.values():
            self.keeper.bring(each)
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
                "mounted": str(self.settings.dataset_folder.resolve()) if self.settings.dataset_folder else None,
                "resident_bytes": self.settings.resident_bytes,
                "resume": resume,
                "fork": self.held.forked,
                "until": self.held.total_steps,
                "autopsy_s": self.settings.autopsy_s,
                "task": self.held.task,
                "beside": {name: self._folders(saved) for name, saved in self.held.references.items()},
            }
        )

    def _folders(self, saved: Sequence[SavedCheckpoint]) -> list[dict[str, str]]:
        return [{"folder": str(self.keeper.place(each)), "sha256": each.sha256} for each in saved]

    def _step(self) -> bool:
        """Handle what the trainer said, or the time that passed; True once the attempt has ended."""
        try:
            header, payload = self.trainer.frames.get(timeout=self._patience_s())
        except queue.Empty:
            return self._tick()
        if self.keeper.takes(header):
            if header is not None and header["type"] == "checkpoint":
                self.journal.flush()  # a chunk of points ends at a checkpoint's step
            return self._tick()
        if header is None or header["type"] == "died":
            self._died()
            return True
        if header.get("lease", self.held.lease) != self.held.lease:
            return False  # of the run before
        return self._handle(header, payload) or self._tick()

    @property
    def _beat_s(self) -> float:
        """Seconds between two writes: a beat also brings people's wishes, which a slow step must not keep waiting."""
        return min(self.settings.beat_s, self.settings.wish_s)

    def _patience_s(self) -> float:
        """How long to wait for the trainer before the next sign of life is due."""
        return max(0.01, min(self._beat_s / 4, self.writer.last_write + self._beat_s - time.monotonic()))

    def _handle(self, header: dict[str, Any], payload: bytes) -> bool:
        kind = header["type"]
        if kind == "started":
            self.journal.environment = header["environment"]  # written with the first points, which follow at once
        elif kind == "fetched" and self.held.checkpoint is not None:
            self.keeper.fetching = False
            self._send_train({"folder": header["folder"], "sha256": self.held.checkpoint.sha256})
        elif kind == "points":
            self._points(header, payload)
        else:
            self.journal.note()
            return self._milestone(header, payload)
        return False

    def _points(self, header: dict[str, Any], payload: bytes) -> None:
        self.pending.add(header["series"], payload)
        if usage := header.get("usage"):
            self.pending.note(usage["step"], usage["values"])
        self.watch.stepped(self.pending.last_step, time.monotonic())
        if self.trainer.frames.empty() or self.pending.count > WAITING:
            self.journal.flush()

    def _milestone(self, header: dict[str, Any], payload: bytes) -> bool:
        """A reading, a checkpoint, or the end; True where that is the attempt's."""
        kind = header["type"]
        if kind == "reading":
            self.journal.reading(header, payload)
            self.watch.looked(time.monotonic())
        elif kind == "checkpoint":
            self.journal.checkpoint(header)
        elif kind == "failing":
            self.announced = header
        elif kind == "checkpoint_failed":
            if not self.journal.checkpoint_failed(header):
                return False
            self.slot.discard(self.trainer)
            return True
        elif kind == "end":
            self.ending.said(header["outcome"], header.get("note"))
            return True
        elif kind == "failed":
            self._failed(header)
            return True
        return False

    def _tick(self) -> bool:
        """Beat when one is due; pass wishes on; end a trainer that does not obey or does not move."""
        now = time.monotonic()
        if now - self.writer.last_write >= self._beat_s:
            self.journal.flush()
        if (wanted := self._wanted()) is not None:
            if self.keeper.fetching:  # the trainer has not begun
                self.ending.said(OUTCOMES[wanted], None)
                return True
            self._tell(wanted)
        if self.watch.stepping_s(now) > BUSY_S:
            self.slot.warm_spare()
        verdict = self.watch.look(time.monotonic(), self.trainer.moved_at)
        if verdict is None or self.keeper.ending or not self.trainer.frames.empty():  # what it said comes first
            return False
        if verdict == "stalled":
            self._stalled()
        else:
            self.log.warning("the trainer did not obey %s within %g s", self.watch.told, self.watch.obey_s)
            self.slot.discard(self.trainer)
            self.ending.disobeyed()
        return True

    def _wanted(self) -> str | None:
        """What the trainer is to be told, if anything."""
        if self.watch.used_up(time.monotonic()):
            self.ending.out_of_time = True
        if self.journal.desired is DesiredState.CANCEL:
            return "cancel"
        if self.ending.out_of_time or (self.journal.desired is DesiredState.RUN and self.slot.draining_s is not None):
            return "drain"
        return "pause" if self.journal.desired is DesiredState.PAUSE else None

    def _tell(self, desired: str) -> None:
        if self.watch.tell(desired, time.monotonic()):
            self.trainer.send({"type": "wish", "wish": desired})

    def _away(self) -> None:
        """The database does not answer: after a while the trainer saves its state and stops, and its words wait here.

        Whoever has no lease for long may not be the only one who trains this run. A worker that stops tries for
        `drain_s` to write; what it then leaves is taken back when its lease runs out.
        """
        stopping_s = self.slot.draining_s
        if stopping_s is not None or time.monotonic() - self.writer.last_write > self.settings.fence_s:
            self._tell("drain")
        if stopping_s is not None and stopping_s > self.settings.drain_s:
            raise Unavailable("The worker stops, and the database does not answer.")

    def _beat(self, connection: Connection) -> None:
        """The worker's own word goes along with the run's."""
        state = "busy" if self.slot.draining_s is None else "draining"
        self.slot.presence.beat_if_due(connection, state, self.held.run_id)

    def _failed(self, header: dict[str, Any]) -> None:
        """The trainer said why."""
        kind, detail = header["kind"], header["detail"]
        evidence = {"step": header.get("step"), **header.get("evidence", {})}
        state = self.ending.failed(kind, detail, evidence)
        self.log.warning("failed (%s: %s): now %s", kind, detail, state)
        if kind == "device_failed":
            self.slot.unfit(detail)
        if not header.get("stays", kind == "checkpoint_damaged"):  # found before the trainer had begun
            self.slot.discard(self.trainer)

    def _failed_as_announced(self) -> bool:
        """What looked for the cause of a failure does not come to its end: the failure is still what it was."""
        if self.announced is None:
            return False
        self._failed(self.announced | {"stays": False})
        return True

    def _stalled(self) -> None:
        """It hangs: keep where it stood, and end it."""
        if self._failed_as_announced():
            return
        seconds = round(self.watch.quiet_s(time.monotonic()), 1)
        stack = self.trainer.stack()
        detail = f"no step for {seconds:g} s"
        self._ended_badly("stalled", detail, {"seconds": seconds, "stack": stack})

    def _died(self) -> None:
        """Its process is gone."""
        if self._failed_as_announced():
            return
        kind, detail = self.trainer.obituary()
        self._ended_badly(kind, detail, {"stderr": self.trainer.last_words()})

    def _ended_badly(self, kind: str, detail: str, evidence: dict[str, Any]) -> None:
        self.slot.discard(self.trainer)
        self.journal.note()
        evidence = {"step": max(self.pending.last_step, self.held.start_step)} | evidence
        state = self.ending.died(kind, detail, evidence)
        self.log.warning("the trainer's end (%s: %s): now %s", kind, detail, state)
