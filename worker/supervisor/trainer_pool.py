"""The trainers of a slot: the one that trains, and a spare that is warm when that one dies.

A trainer needs seconds to import torch and take its first steps. The spare does so at low priority, once a run has
trained for a while, and only where memory has room for it; a slot without work keeps one trainer.
"""

import contextlib
import logging
import time

from service.settings import Settings
from worker.supervisor.memory import available_bytes
from worker.supervisor.trainer_process import TrainerProcess

log = logging.getLogger(__name__)
ROOM = 2**30  # bytes that must be free for a spare: twice what one takes, so that the run can grow too
COLD_DEATHS = 3  # trainers in a row that died before they were ready: it is not the runs' fault
SHOWN = 300  # characters of a trainer's last line
PAUSE_S = 2.0  # after one that could not be started, or died cold


class Trainers:
    """Starts, promotes and ends them. All calls come from the slot's thread, to which the processes are tied."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.first: TrainerProcess | None = None
        self.spares: list[TrainerProcess] = []
        self._cold_deaths = 0
        self.cold_death = ""  # how the last one that was never ready ended
        self._not_before = 0.0  # monotonic

    def current(self) -> TrainerProcess | None:
        """The one to train with, in place of one that died if need be; None while none is warm."""
        if self.first is not None and not self.first.usable():
            self.discard(self.first)
        if self.first is None:
            self._promote()
        if self.first is None or not self.first.ready.is_set():
            return None
        self._cold_deaths = 0
        return self.first

    @property
    def cannot_start(self) -> bool:
        """Whether one after the other died before it was ready."""
        return self._cold_deaths >= COLD_DEATHS

    def discard(self, trainer: TrainerProcess) -> None:
        """End the one that trains at once; a spare takes its place."""
        if self.first is not trainer:
            return
        if not self.first.ready.is_set():
            self._cold_deaths += 1
            self._not_before = time.monotonic() + PAUSE_S
            self.cold_death = _told(self.first)
            log.error("a trainer ended before it was ready: %s\n%s", self.cold_death, self.first.last_words())
        self.first.kill()
        self.first = None
        self._promote()

    def _promote(self) -> None:
        """Let the warmest spare take the place, or start a new one."""
        self._drop_dead()
        self.spares.sort(key=lambda spare: not spare.ready.is_set())
        self.first = self.spares.pop(0) if self.spares else self._start(gently=False)

    def warm_spare(self) -> None:
        """Start a spare where one is wanted and there is room."""
        if len(self.spares) >= self.settings.spares or time.monotonic() < self._not_before:
            return
        free = available_bytes()
        if free is not None and free < ROOM:
            self._not_before = time.monotonic() + 60
            log.info("no spare trainer: only %d MiB of memory are free", free >> 20)
        elif spare := self._start(gently=True):
            self.spares.append(spare)

    def _start(self, gently: bool) -> TrainerProcess | None:
        if time.monotonic() < self._not_before:
            return None
        try:
            return TrainerProcess.start(self.settings, gently)
        except OSError as error:  # no more processes, memory or files: it passes, or an operator is needed
            self._not_before = time.monotonic() + PAUSE_S
            log.error("no trainer can be started: %s", error)
            return None

    def _drop_dead(self) -> None:
        for spare in [spare for spare in self.spares if not spare.usable()]:
            log.warning("a spare trainer died: %s", spare.obituary()[1])
            self.spares.remove(spare)
            spare.kill()

    def rest(self) -> None:
        """There is no work: keep one trainer, and give the memory of the others back."""
        while self.spares:
            self.spares.pop().kill()

    def end(self) -> None:
        """End them all."""
        self.rest()
        if self.first is not None:
            with contextlib.suppress(OSError):
                self.first.kill()
        self.first = None


def _told(trainer: TrainerProcess) -> str:
    """How it ended, with the last line that it wrote: an exception's own, where that was why."""
    how, lines = trainer.obituary()[1], trainer.last_words().split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{how} ({last[:SHOWN]})" if last else how
