"""One session: the stack starts, calm runs give the references, faults fall, everything heals, the oracle judges."""

import contextlib
import random
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from service.local.server import make_private_folder
from tests.faults import oracle
from tests.faults.fault import KINDS, Fault, Scene
from tests.faults.kinds import broker, database, files, processes, wishes  # noqa: F401  they register their kinds
from tests.faults.oracle import Curves, Verdict
from tests.faults.people import ENDED, People
from tests.faults.specs import specs
from tests.faults.stack import WINDOW_S, Stack

NEED = {  # what the API must know for these kinds
    "run_paused": "pause",
    "run_paused_and_resumed": "pause",
    "run_paused_and_cancelled": "pause",
    "run_retried": "retry",
    "run_forked": "forks",
    "run_replayed": "replay",
}
PACKED_TOLERANCE = 1e-6  # relative; packed steps differ in the last bits of fp64, and a training makes that grow
SETTLED_S = {"toy": 150.0, "real": 240.0}


@dataclass(frozen=True)
class Plan:
    """What the command line asks for; the same plan and seed draw the same faults in the same order."""

    faults: int
    seed: int
    kinds: tuple[str, ...]
    runs: int = 0
    workers: int = 3
    injectors: int = 3
    trainer: str = "toy"
    mutant: str | None = None
    packs: int = 1  # runs that are trained together, at most

    @property
    def replay(self) -> str:
        """The command that does this again."""
        parts = [f"python -m tests.faults --faults {self.faults} --seed {self.seed} --trainer {self.trainer}"]
        parts += [f"--kinds {','.join(self.kinds)}"] if set(self.kinds) != set(KINDS) else []
        parts += [f"--mutant {self.mutant}"] if self.mutant else []
        parts += [f"--packs {self.packs}"] if self.packs > 1 else []
        return " ".join(parts)


@dataclass
class Session:
    """What was done and what came of it."""

    plan: Plan
    faults: list[Fault] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    attempts: list[Any] = field(default_factory=list)
    fenced: int = 0
    repeats: int = 0
    ended_badly: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    starved: list[tuple[float, float]] = field(default_factory=list)  # when the machine itself stood still

    @property
    def landed(self) -> list[Fault]:
        return [fault for fault in self.faults if fault.landed]


class Drive:
    """Threads that hurt and threads that use the stack."""

    def __init__(self, plan: Plan, home: Path, say: Any = print) -> None:
        self.plan, self.say, self.session = plan, say, Session(plan)
        conditions = {"FAULTS_MUTANT": plan.mutant} if plan.mutant else {}
        conditions["SADDLE_PACK_RUNS"] = str(plan.packs)
        self.stack = Stack(home, plan.workers, plan.trainer, conditions)
        self.people = People(self.stack, specs(plan.trainer, plan.packs > 1), plan.seed)
        self.scene = Scene(self.stack, self.people)
        self._lock, self._drawn = threading.Lock(), self._draw()

    def run(self) -> Session:
        began = time.monotonic()
        try:
            self.stack.start()
            references = self._references()
            self._disturb()
            self._settle()
            self._judge(references)
        finally:
            self.stack.end()
        self.session.seconds = time.monotonic() - began
        return self.session

    def _references(self) -> dict[str, Curves]:
        """Every variant once, before anything happens."""
        with self.stack.connect() as session:
            oracle.install(session, WINDOW_S)
            self._move_points(session)
        first = {variant: self.people.post(variant, patience_s=240, pack="never")[0] for variant in self.people.specs}
        self._wait(lambda: all(self.people.states()[run] == "succeeded" for run in first.values()), 240)
        self.people.repeats = 0  # those from before the API was there
        with self.stack.connect() as session:
            return {variant: oracle.curves(session, run)[0] for variant, run in first.items()}

    def _move_points(self, session: Any) -> None:
        """The table of points lies on a small disk of its own."""
        disk = self.stack.disks["small"]
        if disk.limited:
            self.stack.postgres.account.own(disk.folder)
            make_private_folder(disk.folder / "points", self.stack.postgres.account)
            session.execute(f"CREATE TABLESPACE small LOCATION '{disk.folder / 'points'}'")
            session.execute("ALTER TABLE metric_chunk SET TABLESPACE small")
            session.execute("ALTER INDEX metric_chunk_pkey SET TABLESPACE small")

    def _disturb(self) -> None:
        self._kinds = [name for name in self.plan.kinds if name not in NEED or self.people.can(NEED[name])]
        injectors = [threading.Thread(target=self._inject, daemon=True) for _ in range(self.plan.injectors)]
        users = threading.Thread(target=self._use, daemon=True)
        watch = threading.Thread(target=self._watch, daemon=True)
        for thread in (*injectors, users, watch):
            thread.start()
        for thread in injectors:
            thread.join()
        self.scene.over.set()
        users.join()

    def _draw(self) -> Iterator[Fault]:
        """Rounds in which each kind comes once, in a seeded order, until enough have landed."""
        rng, number = random.Random(self.plan.seed), 0
        while True:
            for name in rng.sample(self._kinds, len(self._kinds)):
                if (
                    self._caught()
                    or len(self.session.landed) >= self.plan.faults
                    or number >= 4 * self.plan.faults + 20
                ):
                    return
                number += 1
                yield Fault(number, KINDS[name], random.Random(rng.getrandbits(64)))

    def _caught(self) -> bool:
        """A mutant needs no more faults once it has done what is forbidden."""
        if self.plan.mutant is None:
            return False
        with contextlib.suppress(psycopg.Error), self.stack.connect() as session:
            row = session.execute("SELECT count(*) FROM oracle.forbidden").fetchone()
            return bool(row and row[0])
        return False

    def _inject(self) -> None:
        while True:
            with self._lock:
                fault = next(self._drawn, None)
            if fault is None:
                return
            try:
                self.scene.perform(fault)
            except Exception as error:
                fault.note = f"the harness failed: {error!r}"
                self.say(f"  {fault.kind.name}: {fault.note}")
                traceback.print_exc()
            with self._lock:
                self.session.faults.append(fault)
                if len(self.session.faults) % 50 == 0:
                    self.say(f"  {len(self.session.landed)} faults landed, {len(self.people.accepted)} runs")
            time.sleep(fault.rng.uniform(0.0, 0.3))

    def _use(self) -> None:
        """Keep a few more runs going than workers can train, whatever happens."""
        rng, variants = random.Random(self.plan.seed + 1), sorted(self.people.specs)
        while not self.scene.over.is_set() or len(self.people.accepted) < self.plan.runs:
            try:
                if len(self.people.unfinished()) < self.plan.workers * self.plan.packs + 2:
                    self.people.post(rng.choice(variants))
                    continue
            except Exception as error:
                if isinstance(error, AssertionError):
                    self.session.verdict.blame("wrong", f"a POST was refused: {error}")
            time.sleep(0.1)

    def _watch(self) -> None:
        """Note when even this process was not given the processor for a good part of the lease's window.

        A worker that shares the machine was not either, and may have lost its run for it.
        """
        while True:
            before = time.monotonic()
            subprocess.run(["true"], check=False)  # a process of its own: it waits in the queue as others do
            time.sleep(0.1)
            late = time.monotonic() - before - 0.1
            if late > 0.3 * WINDOW_S:
                self.session.starved.append((time.time() - late, time.time()))

    def _settle(self) -> None:
        """Heal everything and wait for every run to end; who was paused is resumed."""
        self.stack.heal()
        if not self.stack.postgres.running:
            self.stack.postgres.start()
        if not self.stack.valkey.running:
            self.stack.valkey.start()

        ended = ENDED if self.people.can("resume") else (*ENDED, "paused")

        def quiet() -> bool:
            states = self.people.states()
            for run, state in states.items():
                if state == "paused" and state not in ended:
                    self.people.wish(run, "resume")
            return all(state in ended for state in states.values())

        self._wait(quiet, SETTLED_S[self.plan.trainer], fails=False)

    def _wait(self, condition: Any, seconds: float, fails: bool = True) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                if fails:
                    raise TimeoutError(f"not within {seconds} s; see the logs in {self.stack.home}")
                return
            time.sleep(0.2)

    def _judge(self, references: dict[str, Curves]) -> None:
        from tests.faults.causes import ATTEMPTS, unexplained

        session = self.session
        earlier = session.verdict.violations
        with self.stack.connect() as connection:
            session.verdict = oracle.judge(
                connection,
                self.people.accepted,
                references,
                self.people.posted,
                self.scene.broken,
                PACKED_TOLERANCE if self.plan.trainer == "real" and self.plan.packs > 1 else 0.0,
            )
            session.attempts = connection.execute(ATTEMPTS).fetchall()
        session.verdict.violations += earlier
        unexplained(session)
        session.repeats = self.people.repeats
        session.fenced = sum(w.log.read_text(errors="replace").count("the lease is lost") for w in self.stack.workers)
        session.ended_badly = {p.name: len(p.ended_badly) for p in self.stack.processes if p.ended_badly}
        for name, times in session.ended_badly.items():
            session.verdict.blame("unexplained", f"{name} ended with an error {times} times, which no fault asks for")
