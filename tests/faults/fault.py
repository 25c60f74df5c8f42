"""What a fault is: a named, seeded event with a target, for as long as it lasts; and the scene it happens in."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.faults.people import People
from tests.faults.stack import WINDOW_S, Process, Stack


class Missed(Exception):
    """There was nothing to hit: not counted as a fault."""


@dataclass(frozen=True)
class Kind:
    """A way to hurt the stack. `takes`: what no other fault may touch meanwhile."""

    name: str
    inject: Callable[["Scene", "Fault"], None]
    takes: str  # worker | api | workers | apis | postgres | broker | gates | none
    loses: bool  # whether a worker may lose its lease of it
    crashes: bool  # whether a trainer may die of it


@dataclass(eq=False)
class Fault:
    """One event of the plan."""

    number: int
    kind: Kind
    rng: random.Random
    target: str = ""
    began: float = 0.0  # seconds, wall clock of the machine
    ended: float = 0.0
    landed: bool = False
    note: str = ""
    held: tuple[str, int] | None = None  # the run and attempt that the target was training

    def covers(self, worker: str, begin: float, end: float) -> bool:
        """Whether it may be why that worker's attempt ended then."""
        return (self.target in ("", worker)) and self.began <= end and begin <= self.ended + 2 * WINDOW_S + 3


KINDS: dict[str, Kind] = {}


def kind(takes: str, loses: bool = False, crashes: bool = False) -> Callable[[Any], Any]:
    """Register a fault under the name of its function."""

    def register(inject: Callable[["Scene", Fault], None]) -> Callable[["Scene", Fault], None]:
        KINDS[inject.__name__] = Kind(inject.__name__, inject, takes, loses, crashes)
        return inject

    return register


@dataclass
class Scene:
    """The stack, its users, and who is being hurt at the moment."""

    stack: Stack
    people: People
    busy: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)  # checkpoint folders damaged on purpose
    change: threading.Condition = field(default_factory=threading.Condition)
    over: threading.Event = field(default_factory=threading.Event)

    def perform(self, fault: Fault) -> None:
        """Inject one fault once its target is free; it is healed when this returns."""
        with self._reserved(fault):
            fault.began = time.time()
            try:
                fault.kind.inject(self, fault)
                fault.landed = True
            except Missed as reason:
                fault.note = f"missed: {reason}"
            except psycopg.Error as error:  # the harness's own session died of another fault
                fault.note = f"missed: {type(error).__name__}"
            fault.ended = time.time()

    @contextmanager
    def _reserved(self, fault: Fault) -> Iterator[None]:
        names = self._names(fault)
        with self.change:
            self.change.wait_for(lambda: not names & self.busy, timeout=60)
            self.busy |= names
        try:
            yield
        finally:
            with self.change:
                self.busy -= names
                self.change.notify_all()

    def _names(self, fault: Fault) -> set[str]:
        """What is reserved; one worker or API process is chosen here."""
        workers, apis = ({each.name for each in group} for group in (self.stack.workers, self.stack.apis))
        match fault.kind.takes:
            case "worker" | "api" as family:
                fault.target = fault.rng.choice(sorted(workers if family == "worker" else apis))
                return {fault.target}
            case "workers":
                return workers
            case "apis":
                return apis
            case "gates":
                return {"postgres"}
            case "none":
                return set()
            case one:
                return {one}

    def target(self, fault: Fault) -> Process:
        """The process that was chosen for this fault."""
        return next(each for each in self.stack.processes if each.name == fault.target)

    def training(self, fault: Fault, seconds: float = 4.0) -> Process:
        """The chosen worker at a seeded moment of a run; what it trains is noted in the fault."""
        worker, end = self.target(fault), time.monotonic() + seconds
        wanted, since = fault.rng.uniform(0.0, 1.5), time.monotonic()
        while time.monotonic() < end and not self.over.is_set():
            row = self.one("SELECT id, attempt FROM run WHERE state = 'running' AND worker = %s", worker.name)
            if row is None or row != fault.held:
                fault.held, since = row, time.monotonic()
            if row is not None and worker.alive and time.monotonic() - since >= wanted:
                fault.began = time.time()
                return worker
            time.sleep(0.03)
        raise Missed(f"{worker.name} trains nothing")

    def one(self, query: str, *values: Any) -> Any:
        """One row of the harness's own look past every gate."""
        return next(iter(self.stack.look(query, values)), None)

    def sleep(self, low: float, high: float, fault: Fault) -> None:
        """Let the fault last for a seeded while."""
        time.sleep(fault.rng.uniform(low, high))
