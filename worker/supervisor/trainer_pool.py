"""The trainers of a worker: the one that trains, and a spare that is warm if that one dies.

A trainer needs seconds to import torch and take its first steps. The spare does so at low priority, once a run has
trained for a while, and only if there is memory for it; a worker without work keeps one trainer.
"""

import contextlib
import logging
import time

from service.settings import Settings
from worker.supervisor.memory import available_bytes
from worker.supervisor.trainer_process import TrainerProcess

log = logging.getLogger(__name__)
SPARE_BYTES = 2**30  # of memory that must be free for a spare: twice what one takes, so that the run can grow too
NO_MEMORY_PAUSE_S = 60.0  # before memory is looked at again
START_PAUSE_S = 2.0  # after a trainer that could not be started or died cold
MAX_COLD_DEATHS = 3  # trainers in a row that died before they were ready: that is not the runs' fault
LAST_LINE_CHARS = 300


class TrainerPool:
    """Starts, promotes and ends trainers. All calls come from the thread that the processes are tied to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.active: TrainerProcess | None = None
        self.spares: list[TrainerProcess] = []
        self._cold_deaths = 0
        self.cold_death = ""  # how the last trainer that was never ready ended
        self._not_before = 0.0  # monotonic

    def current(self) -> TrainerProcess | None:
        """Return the trainer for the next run, replacing one that died; None while none is warm."""
        if self.active is not None and not self.active.is_usable():
            self.discard(self.active)
        if self.active is None:
            self._promote()
        if self.active is None or not self.active.ready.is_set():
            return None
        self._cold_deaths = 0
        return self.active

    @property
    def cannot_start(self) -> bool:
        """Whether several trainers in a row died before they were ready."""
        return self._cold_deaths >= MAX_COLD_DEATHS

    def discard(self, trainer: TrainerProcess) -> None:
        """Kill the active trainer; a spare takes its place."""
        if self.active is not trainer:
            return
        if not trainer.ready.is_set():
            self._cold_deaths += 1
            self._not_before = time.monotonic() + START_PAUSE_S
            self.cold_death = _describe_end(trainer)
            log.error("a trainer ended before it was ready: %s\n%s", self.cold_death, trainer.last_words())
        trainer.kill()
        self.active = None
        self._promote()

    def _promote(self) -> None:
        """Make the warmest spare the active trainer, or start a new one."""
        self._drop_dead_spares()
        self.spares.sort(key=lambda spare: not spare.ready.is_set())
        self.active = self.spares.pop(0) if self.spares else self._start(low_priority=False)

    def warm_spare(self) -> None:
        """Start a spare if one is wanted and there is memory for it."""
        if len(self.spares) >= self.settings.spares or time.monotonic() < self._not_before:
            return
        free = available_bytes()
        if free is not None and free < SPARE_BYTES:
            self._not_before = time.monotonic() + NO_MEMORY_PAUSE_S
            log.info("no spare trainer: only %d MiB of memory are free", free >> 20)
        elif spare := self._start(low_priority=True):
            self.spares.append(spare)

    def _start(self, low_priority: bool) -> TrainerProcess | None:
        if time.monotonic() < self._not_before:
            return None
        try:
            return TrainerProcess.start(self.settings, low_priority)
        except OSError as error:  # out of processes, memory or files: it passes, or needs an operator
            self._not_before = time.monotonic() + START_PAUSE_S
            log.error("no trainer can be started: %s", error)
            return None

    def _drop_dead_spares(self) -> None:
        for spare in [spare for spare in self.spares if not spare.is_usable()]:
            log.warning("a spare trainer died: %s", spare.obituary()[1])
            self.spares.remove(spare)
            spare.kill()

    def stop_spares(self) -> None:
        """Free the memory of the spares: there is no work."""
        while self.spares:
            self.spares.pop().kill()

    def stop(self) -> None:
        """End all trainers."""
        self.stop_spares()
        if self.active is not None:
            with contextlib.suppress(OSError):
                self.active.kill()
        self.active = None


def _describe_end(trainer: TrainerProcess) -> str:
    """Say how it ended, with its last line of output: that of an exception names the reason."""
    how, lines = trainer.obituary()[1], trainer.last_words().split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{how} ({last[:LAST_LINE_CHARS]})" if last else how
