"""The supervisor of one slot: claims runs, supervises each to its end (`attempt`), and keeps trainers warm.

It owns the only database connection of its slot. It imports no torch.
"""

import contextlib
import logging
import threading
import time
import uuid

from service.db.runs import leases, reaper
from service.db.runs.leases import Claim
from service.db.session import Engine, check_schema, make_engine, transaction
from service.errors import SaddleError, Unavailable
from service.settings import Settings
from worker.supervisor.attempt import RunSupervision
from worker.supervisor.cleanup import Sweeper, sweep_at_start
from worker.supervisor.presence import Presence
from worker.supervisor.trainer_pool import Trainers
from worker.supervisor.trainer_process import TrainerProcess
from worker.supervisor.writer import RETRY_S

log = logging.getLogger(__name__)
START_S = 2.0  # between two tries to begin while the database is away
WARMING_S = 0.05  # between two looks whether a trainer is warm by now


class Supervisor:
    """One slot of a worker: one run at a time, on one device."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.woken = threading.Event()
        self.draining = threading.Event()
        self.engine: Engine = make_engine(
            settings.database_url, pool_size=1, name=f"saddle-worker {settings.worker_name}", plan_once=True
        )
        self.sweeper = Sweeper(self.engine, settings)
        self.trainers = Trainers(settings)
        self.presence = Presence(settings)
        self.unhealthy: str | None = None  # why this worker takes nothing new and ends badly
        self._drained_at = 0.0

    def run(self) -> None:
        """Claim and train until drained; the body of the slot's own thread."""
        try:
            if not self._ready():
                return
            self.answered()
            self.trainers.current()  # starts to warm up
            self.woken.set()  # look once at the start
            while not self.draining.is_set():
                notified = self.woken.wait(self.settings.poll_s)
                self.woken.clear()
                if not self._work() and not notified:
                    self.trainers.rest()
        finally:
            self.trainers.end()
            self._say("unhealthy" if self.unhealthy else "gone", self.unhealthy)
            self.engine.dispose()

    def _ready(self) -> bool:
        """Wait for a Postgres that answers and has this program's schema; False: drained before."""
        while not self.draining.is_set():
            try:
                check_schema(self.engine)
                self._take_back()
                return True
            except Unavailable as error:
                why = str(error.__cause__).partition("\n")[0]
                log.warning("the database does not answer, the worker starts when it does: %s", why)
                self.draining.wait(START_S)
        return False

    def answered(self) -> None:
        """Postgres has just answered: leave the sign of life that `worker.health` looks for."""
        if self.settings.alive_file is not None:
            self.settings.alive_file.touch()

    def wake(self) -> None:
        """Look for work now."""
        self.woken.set()

    def drain(self) -> None:
        """Take nothing new; what trains is checkpointed and goes back to the queue."""
        if not self.draining.is_set():
            self._drained_at = time.monotonic()
        self.draining.set()
        self.woken.set()

    @property
    def draining_s(self) -> float | None:
        """For how long the worker has been about to stop; None: it is not."""
        return time.monotonic() - self._drained_at if self.draining.is_set() else None

    def unfit(self, why: str) -> None:
        """The device is broken: take nothing new and end, so that whoever watches starts another."""
        log.error("this worker is unfit and stops: %s", why)
        self.unhealthy = why
        self.drain()

    def warm_spare(self) -> None:
        """A run trains: have another trainer ready for when this one dies."""
        if not self.draining.is_set():
            self.trainers.warm_spare()

    def discard(self, trainer: TrainerProcess) -> None:
        """End this trainer at once; another takes its place."""
        self.trainers.discard(trainer)

    def _take_back(self) -> None:
        """Reap what a former life of this worker held; its name is its own while the connection lives."""
        with transaction(self.engine) as connection:
            mine = reaper.lock_worker_name(connection, self.settings.worker_name)
            if mine:
                for seen in reaper.held_by(connection, self.settings.worker_name):
                    reaper.reap(connection, seen)
            else:
                log.warning("another worker is called %s; its runs are left to it", self.settings.worker_name)
            self.presence.announce(connection, {})
        if mine:
            sweep_at_start(self.engine, self.settings)
        self.sweeper.look()  # from this moment on

    def _work(self) -> bool:
        """Train what waits, one run after the other; whether there was any."""
        worked = False
        while (trainer := self._warm_trainer()) is not None:
            try:
                held = self._claim(trainer)
            except Unavailable:
                log.warning("the database does not answer; looking again in %s s", self.settings.poll_s)
                break
            self.answered()
            if held is None:
                self.sweeper.look()
                break
            worked = True
            RunSupervision(self, held, trainer).run()
            self.sweeper.look()
        return worked

    def _warm_trainer(self) -> TrainerProcess | None:
        """The trainer for the next run, once it is warm; a run is not claimed to wait for one. None: drained."""
        said_at = time.monotonic()
        while not self.draining.is_set():
            if (trainer := self.trainers.current()) is not None:
                return trainer
            if time.monotonic() - said_at > self.settings.poll_s:
                self._say("starting")
                said_at = time.monotonic()
            if self.trainers.cannot_start:
                self.unfit(f"no trainer starts on {self.settings.device}: {self.trainers.cold_death}")
            self.draining.wait(WARMING_S)
        return None

    def _claim(self, trainer: TrainerProcess) -> Claim | None:
        """Claim with a lease made here: if the answer to the COMMIT is lost, asking again finds the same run."""
        lease = uuid.uuid4().hex

        def take(again: bool) -> Claim | None:
            with transaction(self.engine) as connection:
                name, packages = self.settings.worker_name, list(self.presence.packages)
                held = leases.claim(connection, [self.settings.pool], name, lease, again, packages)
                if held is None:
                    self.presence.announce(connection, trainer.device)
                    self.presence.beat(connection, "idle")
                return held

        for attempt in range(3):
            with contextlib.suppress(Unavailable):
                return take(again=attempt > 0)
            time.sleep(RETRY_S)
        return take(again=True)

    def _say(self, state: str, detail: str | None = None) -> None:
        """Say what the worker does, where somebody listens."""
        try:
            with transaction(self.engine) as connection:
                self.presence.beat(connection, state, detail=detail)
            self.answered()
        except SaddleError:
            log.warning("the database does not answer: nobody hears that this worker is %s", state)
