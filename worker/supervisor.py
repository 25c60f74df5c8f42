"""The supervisor of one slot: claims runs, has each supervised to its end (worker.supervision), keeps a trainer warm.

It owns the only database connection of its slot. It imports no torch.
"""

import contextlib
import logging
import threading
import time
import uuid

from service.db import leases, reaping
from service.db.leases import Claim
from service.db.session import Engine, check_schema, make_engine, transaction
from service.errors import Unavailable
from service.settings import Settings
from worker.process import TrainerProcess
from worker.supervision import RunSupervision
from worker.sweeping import sweep_at_start
from worker.writer import RETRY_S

log = logging.getLogger(__name__)


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

    @property
    def drains(self) -> bool:
        """Whether what trains is to be checkpointed and given back."""
        return self.draining.is_set()

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
            mine = reaping.own_name(connection, self.settings.worker_name)
            if mine:
                for seen in reaping.held_by(connection, self.settings.worker_name):
                    reaping.reap(connection, seen)
            else:
                log.warning("another worker is called %s; its runs are left to it", self.settings.worker_name)
        if mine:
            sweep_at_start(self.engine, self.settings)

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
