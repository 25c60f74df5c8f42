"""The background threads of an API process: the reaper reclaims lost runs, the dispatcher notifies workers."""

import logging
import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from service.db.access import quota_use
from service.db.metrics import experiment_summary
from service.db.runs import preemption, reaper, turns
from service.db.runs.reaper import Beat
from service.db.session import Engine, transaction
from service.errors import SaddleError
from service.process.tasks import BackgroundThread, Tasks
from service.settings import Settings
from service.verification import escape

if TYPE_CHECKING:
    from service.notifications import Notifier

MAX_NOTIFICATIONS = 8  # at once for a pool; other idle workers find runs by polling
log = logging.getLogger(__name__)


class HeartbeatMonitor:
    """How long each heartbeat has been unchanged, by this reaper's own monotonic clock.

    A check that fails or comes late clears the memory: a heartbeat may have changed in between.
    """

    def __init__(self, window_s: float, gap_s: float) -> None:
        self._window_s, self._gap_s = window_s, gap_s
        self._first_seen: dict[Beat, float] = {}
        self._last_look: float | None = None

    def forget(self) -> None:
        """Forget all heartbeats and start over."""
        self._first_seen.clear()
        self._last_look = None

    def overdue(self, beats: list[Beat], now: float) -> list[Beat]:
        """Return the `beats` that have been unchanged for the whole window, as seen at `now` (seconds, monotonic)."""
        if self._last_look is not None and now - self._last_look > self._gap_s:
            self.forget()
        self._last_look = now
        self._first_seen = {beat: self._first_seen.get(beat, now) for beat in beats}
        return [beat for beat, since in self._first_seen.items() if now - since >= self._window_s]


class Reaper(BackgroundThread):
    """Reclaims runs whose worker sent no heartbeat for the lease window."""

    def __init__(self, engine: Engine, settings: Settings, stopping: threading.Event) -> None:
        super().__init__(name="reaper", daemon=True)
        self._engine, self._every_s, self._stopping = engine, settings.reap_s, stopping
        self.tasks = Tasks("reaper", log)
        self._monitor = HeartbeatMonitor(settings.lease_window_s, gap_s=3 * settings.reap_s + 1)

    def run(self) -> None:
        """Work until the process ends."""
        while not self._stopping.wait(self._every_s):
            try:
                self.look()
            except SaddleError as error:
                self._monitor.forget()
                log.warning("the reaper could not read the heartbeats: %s", error)
            except Exception:  # if this thread died, lost runs would never be reclaimed
                self._monitor.forget()
                log.exception("the reaper failed")
            else:
                self.tasks.succeeded_at["reclaim lost runs"] = time.time()

    def look(self) -> None:
        """Check the heartbeats once, and reclaim each overdue run in its own transaction."""
        with transaction(self._engine) as connection:
            beats = reaper.beats(connection)
        for beat in self._monitor.overdue(beats, time.monotonic()):
            with transaction(self._engine) as connection:
                state = reaper.reap(connection, beat)
            if state is not None:
                log.warning("run %s sent no heartbeat and was reclaimed: now %s", beat.run_id, state.value)


class Dispatcher(BackgroundThread):
    """Notifies workers after a submission and while runs wait; a slow broker delays only this thread."""

    def __init__(self, engine: Engine, settings: Settings, stopping: threading.Event) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._engine, self._settings, self._stopping = engine, settings, stopping
        self.tasks = Tasks("dispatcher", log)
        self._requests: queue.SimpleQueue[tuple[str, int] | None] = queue.SimpleQueue()
        self.broker = "none" if settings.broker_url is None else "not asked yet"

    async def notify(self, pool: str, runs: int) -> None:
        """Queue notifications for a pool and return at once. Call it after the commit."""
        self.request(pool, runs)

    def request(self, pool: str, runs: int) -> None:
        """Do the same, for another thread."""
        self._requests.put((pool, runs))

    def wake_up(self) -> None:
        """Make the thread check now whether the process is ending."""
        self._requests.put(None)

    def run(self) -> None:
        """Work until the process ends."""
        from service.notifications import Notifier  # noqa: PLC0415  importing Celery takes half as long as the rest of the start

        notifier = Notifier(self._settings.broker_url)
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                request = self._requests.get(timeout=max(due - time.monotonic(), 0.001))
            except queue.Empty:
                due = time.monotonic() + self._settings.reap_s
                self._look(notifier)
            else:
                if request:
                    self.tasks.attempt("notify workers", partial(self._notify, notifier, *request))

    def _look(self, notifier: "Notifier") -> None:
        self.tasks.attempt("notify workers of waiting runs", partial(self._notify_of_waiting, notifier))
        self.tasks.attempt("continue a remedy", partial(self._advance, notifier))
        self.tasks.attempt("have runs make way", self._preempt)
        self.tasks.attempt("summarise ended experiments", self._settle)
        self.tasks.attempt("count the use of quotas", self._count_use)

    def _notify_of_waiting(self, notifier: "Notifier") -> None:
        with transaction(self._engine) as connection:
            waiting = reaper.count_waiting(connection)
        for pool, runs in waiting.items():
            self._notify(notifier, pool, runs)

    def _advance(self, notifier: "Notifier") -> None:
        """Continue remedies that waited for a probe job."""
        for pool, runs in escape.fork_after_probes(self._engine, self._settings):
            self._notify(notifier, pool, runs)

    def _preempt(self) -> None:
        """Have runs make way for those that have waited too long, and drop use that has decayed."""
        with transaction(self._engine) as connection:
            for holder, waiting in preemption.preempt(connection):
                log.info("run %s makes way for %s, after %.0f s", holder.run_id, waiting.run_id, waiting.waited_s)
        with transaction(self._engine) as connection:
            turns.forget_decayed(connection)

    def _settle(self) -> None:
        """Store the summaries of experiments that have ended, so that lists need not compute them."""
        settled = experiment_summary.BATCH_EXPERIMENTS
        while settled == experiment_summary.BATCH_EXPERIMENTS and not self._stopping.is_set():
            with transaction(self._engine) as connection:
                settled = experiment_summary.settle(connection)

    def _count_use(self) -> None:
        with transaction(self._engine) as connection:
            quota_use.count_if_due(connection)

    def _notify(self, notifier: "Notifier", pool: str, runs: int) -> None:
        accepted = notifier.notify(pool, min(runs, MAX_NOTIFICATIONS))
        if self._settings.broker_url is not None:
            self.broker = "answers" if accepted else "away"
