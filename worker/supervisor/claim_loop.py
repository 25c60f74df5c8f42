"""The loop of the supervisor's thread: claims runs, supervises their attempts, and keeps trainers warm.

It owns the only database connection of the worker.
"""

import contextlib
import logging
import threading
import time
import uuid

from service.db.runs import claims, companions, reaper
from service.db.runs.claims import Claim
from service.db.session import Engine, check_schema, close_engine, make_engine, transaction
from service.errors import SaddleError, Unavailable
from service.settings import Settings
from service.spec.requirements import met_by
from service.storage.disk import reserve_problem
from worker.supervisor.alive_file import AliveFile
from worker.supervisor.attempts.group import AttemptGroup
from worker.supervisor.attempts.trace import trace_claim
from worker.supervisor.attempts.writes import RETRY_S
from worker.supervisor.cleanup import DeletionCleanup, clean_up_at_start
from worker.supervisor.device_memory import DeviceMemory, max_companions
from worker.supervisor.presence import Presence
from worker.supervisor.trainer_pool import TrainerPool
from worker.supervisor.trainer_process import TrainerProcess

log = logging.getLogger(__name__)
START_RETRY_S = 2.0  # between attempts to start while the database is down
WARMING_POLL_S = 0.05  # between checks whether a trainer is warm


class Supervisor:
    """Trains one run at a time in one slot, whose name, devices and pool `settings` holds."""

    def __init__(self, settings: Settings, alive: AliveFile | None = None, memory: DeviceMemory | None = None) -> None:
        self.settings = settings
        self.memory = memory or DeviceMemory({settings.worker_name: settings.slot_devices})
        self.sharing: list[Supervisor] = []  # slots with a device of this one
        self.alive = alive or AliveFile(settings.alive_file, [settings.worker_name])
        self.notified = threading.Event()
        self.draining = threading.Event()
        self.engine: Engine = make_engine(
            settings.database_url,
            pool_size=1,
            name=f"saddle-worker {settings.worker_name}",
            plan_once=True,
            turns=settings.turns,
        )
        self.cleanup = DeletionCleanup(self.engine, settings)
        self.trainers = TrainerPool(settings)
        self.presence = Presence(settings)
        self.unhealthy: str | None = None  # why this slot stops
        self._stopped_at = 0.0  # monotonic

    def run(self) -> None:
        """Claim and train until drained."""
        try:
            if not self._connect():
                return
            self.note_contact()
            self.trainers.current()  # starts one
            self.notified.set()  # look for work once at the start
            while not self.draining.is_set():
                was_notified = self.notified.wait(self.settings.poll_s)
                self.notified.clear()
                if self._is_drained():
                    continue
                if not self._train_waiting_runs() and not was_notified:
                    self.trainers.stop_spares()
        finally:
            self.trainers.stop()
            self._report("unhealthy" if self.unhealthy else "gone", self.unhealthy)
            close_engine(self.engine)

    def _connect(self) -> bool:
        """Wait until Postgres answers and has the right schema; return False if drained first."""
        while not self.draining.is_set():
            try:
                check_schema(self.engine)
                self._reclaim_own_runs()
                return True
            except Unavailable as error:
                why = str(error.__cause__).partition("\n")[0]
                log.warning("the database does not answer, the worker starts when it does: %s", why)
                self.draining.wait(START_RETRY_S)
        return False

    def note_contact(self) -> None:
        """Record that Postgres has just answered: touch the file that `worker.health` checks."""
        self.alive.touch(self.settings.worker_name)

    def notify(self) -> None:
        """Look for work now."""
        self.notified.set()

    def drain(self) -> None:
        """Claim no more runs; the current one is checkpointed and queued again."""
        if not self.draining.is_set():
            self._stopped_at = time.monotonic()
        self.draining.set()
        self.notified.set()

    @property
    def draining_s(self) -> float | None:
        """Seconds since it was asked to give up its run, by a signal or a server admin; None if it was not."""
        since = self._stopped_at if self.draining.is_set() else self.presence.drained_at
        return None if since is None else time.monotonic() - since

    def stop_unhealthy(self, why: str) -> None:
        """Drain, because the device is broken. The worker exits with an error once all of its slots have ended."""
        log.error("%s is unhealthy and stops: %s", self.settings.worker_name, why)
        self.unhealthy = why
        self.drain()

    def _is_drained(self) -> bool:
        """Whether a server admin drained it; it then frees its device, and beats until it may take runs again."""
        if self.presence.drained_at is None:
            return False
        self._report("idle")  # and is told whether that still holds
        if self.presence.drained_at is None:
            return False
        self.trainers.stop()
        return True

    def warm_spare(self) -> None:
        """Start a spare trainer, in case the active one dies."""
        if not self.draining.is_set():
            self.trainers.warm_spare()

    def discard(self, trainer: TrainerProcess) -> None:
        """Kill this trainer; a spare or a new one replaces it."""
        self.trainers.discard(trainer)

    def renew(self, trainer: TrainerProcess) -> None:
        """Kill this trainer and the spares; a fresh one starts."""
        self.trainers.renew(trainer)

    @property
    def is_warm(self) -> bool:
        """Whether a trainer is warm; if none is and none is starting, start one."""
        return self.trainers.current() is not None

    @property
    def start_problem(self) -> str | None:
        """Why no trainer starts, once several have failed to."""
        failure = self.trainers.start_failure
        return f"no trainer starts on {self.settings.devices}: {failure}" if self.trainers.cannot_start else None

    def _reclaim_own_runs(self) -> None:
        """Reap the runs of an earlier process of this worker; its name is locked while the connection is open."""
        with transaction(self.engine) as connection:
            is_mine = reaper.lock_worker_name(connection, self.settings.worker_name)
            if is_mine:
                for seen in reaper.held_by(connection, self.settings.worker_name):
                    reaper.reap(connection, seen)
            else:
                log.warning("another worker has the name %s: its runs are not reaped", self.settings.worker_name)
            self.presence.announce(connection, {})
        if is_mine:
            clean_up_at_start(self.engine, self.settings)
        self.cleanup.run_if_due()

    def _train_waiting_runs(self) -> bool:
        """Train waiting runs until none is left; return whether there was any."""
        has_trained = False
        while (trainer := self._warm_trainer()) is not None:
            if (problem := reserve_problem(self.settings.data_dir, self.settings.disk_reserve_bytes)) is not None:
                log.warning("%s takes no run: %s", self.settings.worker_name, problem)
                self._report("unhealthy", problem)
                break
            began_ns = time.time_ns()
            try:
                claimed = self._claim(trainer)
            except Unavailable:
                log.warning("the database does not answer; looking again in %s s", self.settings.poll_s)
                break
            self.note_contact()
            if not claimed:
                self.cleanup.run_if_due()
                break
            for claim in claimed:
                trace_claim(claim, began_ns)
            has_trained = True
            try:
                AttemptGroup(self, claimed, trainer).run()
            finally:
                self.memory.release(self.settings.worker_name)
                for other in self.sharing:
                    other.notify()  # a run may fit now
            self.cleanup.run_if_due()
        return has_trained

    def _warm_trainer(self) -> TrainerProcess | None:
        """Wait for a warm trainer, before a run is claimed; return None if drained first."""
        reported_at = time.monotonic()
        while not self.draining.is_set():
            if (trainer := self.trainers.current()) is not None:
                return trainer
            if time.monotonic() - reported_at > self.settings.poll_s:
                self._report("starting")
                reported_at = time.monotonic()
            if (problem := self.start_problem) is not None:
                self.stop_unhealthy(problem)
            self.draining.wait(WARMING_POLL_S)
        return None

    def raised_memory(self) -> int | None:
        """Return the bytes that the run reserves next if it ran out of memory beside another; None if it was alone."""
        return self.memory.raised_bytes(self.settings.worker_name)

    def _claim(self, trainer: TrainerProcess) -> list[Claim]:
        """Claim a run that fits into the free memory of the device, with its companions, and reserve that memory."""
        name, total_bytes = self.settings.worker_name, trainer.device.get("memory_bytes")
        with self.memory.claiming(name):
            free_bytes = self.memory.free_bytes(name, total_bytes)
            claimed = self._claim_fitting(trainer, free_bytes)
            if claimed:
                needed = [each.memory_bytes for each in claimed]
                known = [each for each in needed if each is not None]
                self.memory.reserve(name, sum(known) if len(known) == len(needed) else None, total_bytes)
            return claimed

    def _claim_fitting(self, trainer: TrainerProcess, free_bytes: int | None) -> list[Claim]:
        """Claim runs under new leases, so that a retry after a lost answer to the COMMIT returns the same runs."""
        lease, *others = [uuid.uuid4().hex for _ in range(self.settings.pack_runs)]

        def claim_once(again: bool) -> list[Claim]:
            with transaction(self.engine) as connection:
                name, packages = self.settings.worker_name, met_by(self.presence.packages)
                devices, pools = len(self.settings.slot_devices), [self.settings.pool]
                claim = claims.claim(connection, pools, name, lease, again, packages, devices, free_bytes)
                if claim is None:
                    self.presence.announce(connection, trainer.device)
                    limit = None if free_bytes is None else f"{free_bytes >> 20} MiB are free beside other runs"
                    self.presence.beat(connection, "idle", detail=limit)
                    return []
                room = others[: max_companions(claim.memory_bytes, free_bytes, trainer.device)]
                return [claim, *companions.claim(connection, claim, room, again)]

        for attempt in range(3):
            with contextlib.suppress(Unavailable):
                return claim_once(again=attempt > 0)
            time.sleep(RETRY_S)
        return claim_once(again=True)

    def _report(self, state: str, detail: str | None = None) -> None:
        """Write the worker's state; log if the database does not answer."""
        try:
            with transaction(self.engine) as connection:
                self.presence.beat(connection, state, detail=detail)
            self.note_contact()
        except SaddleError:
            log.warning("the database does not answer, so the state %s of this worker is not written", state)
