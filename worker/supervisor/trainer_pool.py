"""The trainers of a worker: an active one, and a warm spare that replaces it if it dies.

A trainer needs seconds to import torch and warm up. A spare does so at low priority, once a run has trained for a
while, if there is enough memory. It takes a GPU when it is promoted, or before if the GPU has room for two trainers. An
idle worker keeps one trainer.
"""

import contextlib
import logging
import time

from service.settings import Settings
from worker.memory import available_bytes
from worker.supervisor.trainer_process import TrainerProcess

log = logging.getLogger(__name__)
SPARE_BYTES = 2**30  # that must be free: twice what a spare takes, so that the run can grow
NO_MEMORY_PAUSE_S = 60.0  # before memory is checked again
START_PAUSE_S = 2.0  # after a trainer could not be started
MAX_FAILED_STARTS = 3  # in a row: trainers that ended before they were ready
START_LIMIT_S = 180.0  # for the imports and the warm-up, after which a trainer hangs; 4 s are usual on a CPU
LAST_LINE_CHARS = 300


class TrainerPool:
    """Starts, promotes and kills trainers. Call it from one thread, which the processes are tied to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.active: TrainerProcess | None = None
        self.spares: list[TrainerProcess] = []
        self._failed_starts = 0
        self.start_failure = ""  # how the last trainer that never became ready ended
        self._not_before = 0.0  # monotonic: no trainer is started before
        self._no_spare_before = 0.0

    def current(self) -> TrainerProcess | None:
        """Return the trainer for the next run, replacing one that died; None while none is warm."""
        if self.active is not None and (not self.active.is_usable() or _hangs_at_start(self.active)):
            self.discard(self.active)
        if self.active is None:
            self._promote()
        if self.active is None or not self.active.ready.is_set():
            return None
        self._failed_starts = 0
        return self.active

    @property
    def cannot_start(self) -> bool:
        """Whether several trainers in a row ended before they were ready."""
        return self._failed_starts >= MAX_FAILED_STARTS

    def discard(self, trainer: TrainerProcess) -> None:
        """Kill the active trainer; a spare takes its place."""
        if self.active is not trainer:
            return
        if not trainer.ready.is_set():
            self._failed_starts += 1
            self._not_before = time.monotonic() + START_PAUSE_S
            self.start_failure = _describe_failed_start(trainer)
            log.error("a trainer ended before it was ready: %s\n%s", self.start_failure, trainer.output_tail())
        trainer.kill()
        self.active = None
        self._promote()

    def renew(self, trainer: TrainerProcess) -> None:
        """Kill the active trainer and the spares, so that a fresh one starts."""
        self.stop_spares()
        self.discard(trainer)

    def _promote(self) -> None:
        """Make a spare the active trainer, a warm one if possible, or start a new one."""
        self._drop_dead_spares()
        self.spares.sort(key=lambda spare: (not spare.ready.is_set(), not spare.waiting.is_set()))
        if self.spares:
            self.active = self.spares.pop(0)
            self.active.promote()
        else:
            self.active = self._start(low_priority=False)

    def warm_spare(self) -> None:
        """Start a spare if one is wanted and there is memory for it."""
        if len(self.spares) >= self.settings.spares or time.monotonic() < self._no_spare_before:
            return
        free = available_bytes()
        if free is not None and free < SPARE_BYTES:
            self._no_spare_before = time.monotonic() + NO_MEMORY_PAUSE_S
            log.info("no spare trainer: only %d MiB of memory are free", free >> 20)
        elif spare := self._start(low_priority=True):
            self.spares.append(spare)

    def _start(self, low_priority: bool) -> TrainerProcess | None:
        if time.monotonic() < self._not_before:
            return None
        try:
            return TrainerProcess.start(self.settings, low_priority)
        except OSError as error:  # such as too many processes: it passes, or an operator must act
            self._not_before = time.monotonic() + START_PAUSE_S
            log.error("no trainer can be started: %s", error)
            return None

    def _drop_dead_spares(self) -> None:
        for spare in [spare for spare in self.spares if not spare.is_usable()]:
            log.warning("a spare trainer died: %s", spare.describe_end()[1])
            self.spares.remove(spare)
            spare.kill()

    def stop_spares(self) -> None:
        """Kill the spares to free their memory."""
        while self.spares:
            self.spares.pop().kill()

    def stop(self) -> None:
        """Kill all trainers."""
        self.stop_spares()
        if self.active is not None:
            with contextlib.suppress(OSError):
                self.active.kill()
        self.active = None


def _hangs_at_start(trainer: TrainerProcess) -> bool:
    return not trainer.ready.is_set() and time.monotonic() - trainer.started_at > START_LIMIT_S


def _describe_failed_start(trainer: TrainerProcess) -> str:
    """Return how a trainer ended and its last line of output, which names an exception."""
    how, lines = trainer.describe_end()[1], trainer.output_tail().split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{how} ({last[:LAST_LINE_CHARS]})" if last else how
