"""The run protocol as it should be, small enough to be obvious: what a Postgres full of leases is compared with."""

from dataclasses import dataclass, field

from service.lifecycle import BUDGETS, TERMINAL, DesiredState, FailureClass, State, allowed

KEPT = 2  # good checkpoints kept of a run
CRASHES, DEVICES, LOSSES = (
    BUDGETS[kind].failures for kind in (FailureClass.CRASH, FailureClass.DEVICE, FailureClass.LOST)
)


@dataclass
class Run:
    """One run; `visible` is the last of its steps 1, 2, ... that readers see."""

    rank: int
    state: State = State.QUEUED
    desired: DesiredState = DesiredState.RUN
    attempt: int = 0
    lease: str | None = None
    good: list[int] = field(default_factory=list)  # steps of its checkpoints that can be started from, rising
    visible: int = 0
    pause_at: int | None = None  # the step after which it pauses by itself
    reached: int = 0  # the last step whose points were written in its last attempt
    crashes: int = 0
    losses: int = 0
    devices: int = 0
    broken: str | None = None  # the worker whose device failed last
    parent: int | None = None  # of a probe job
    looks_at: int = 0  # the parent's checkpoint; 0: its beginning
    keeps: bool = True  # that checkpoint, which was not found damaged

    @property
    def checkpoint(self) -> int:
        """The step the next attempt starts from."""
        if self.parent is not None:
            return self.looks_at
        return self.good[-1] if self.good else 0


@dataclass
class Holding:
    """What a worker believes it holds: true until somebody else took it."""

    run: int
    lease: str
    worker: str
    step: int  # how far its trainer is
    first: int  # where it started


class Reference:
    """Runs of one pool and one project. Every operation of a worker says whether it was let in."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.clock = 0

    def move(self, run: Run, name: str, state: State) -> None:
        """Change the state; only as the table allows."""
        assert allowed(name, run.state, state), f"{name} must not lead from {run.state} to {state}"
        run.state = state
        if state is not State.RUNNING:
            run.lease = None

    def submit(self, pause_at: int | None = None) -> None:
        self.clock += 1
        self.runs.append(Run(self.clock, pause_at=pause_at))

    def probe(self, number: int) -> None:
        """A job that looks at the newest state of a run; it trains nothing."""
        self.clock += 1
        self.runs.append(Run(self.clock, parent=number, looks_at=self.runs[number].checkpoint))

    def kept(self, number: int, good: list[int]) -> list[int]:
        """The newest, and what an open job looks at."""
        jobs = [run for run in self.runs if run.parent == number and run.state not in TERMINAL]
        return [step for step in good[:-KEPT] if any(job.keeps and job.looks_at == step for job in jobs)] + good[-KEPT:]

    def next(self) -> int | None:
        """The waiting run whose turn it is."""
        waiting = [(run.rank, number) for number, run in enumerate(self.runs) if run.state is State.QUEUED]
        return min(waiting)[1] if waiting else None

    def claim(self, worker: str, lease: str) -> Holding | None:
        number = self.next()
        if number is None:
            return None
        run = self.runs[number]
        self.move(run, "claim", State.RUNNING)
        run.attempt, run.lease = run.attempt + 1, lease
        run.reached = run.checkpoint
        run.visible = run.checkpoint if run.parent is None else 0
        return Holding(number, lease, worker, run.checkpoint, run.checkpoint)

    def held(self, mine: Holding) -> Run | None:
        """The run, if it is still this one's."""
        run = self.runs[mine.run]
        return run if run.state is State.RUNNING and run.lease == mine.lease else None

    def flush(self, mine: Holding, steps: int) -> bool:
        if not (run := self.held(mine)):
            return False
        mine.step += steps
        run.visible = run.reached = mine.step if run.parent is None else 0
        return True

    def checkpoint(self, mine: Holding, steps: int) -> bool:
        if not (run := self.held(mine)):
            return False
        if run.parent is not None:  # a state it leaves is for others: it has got no further itself
            return True
        mine.step += steps
        run.visible = run.reached = mine.step
        run.good = self.kept(mine.run, [*run.good, mine.step]) if run.checkpoint < mine.step else run.good
        run.crashes = run.losses = run.devices = 0
        run.broken = None
        return True

    def quarantine(self, mine: Holding) -> bool:
        if not (run := self.held(mine)):
            return False
        run.good = [step for step in run.good if step != mine.first]
        for job in self.runs:
            job.keeps = job.keeps and not (job.parent == mine.run and job.looks_at == mine.first)
        self.move(run, "quarantine", granted(run))
        return True

    def end(self, mine: Holding, move: str, state: State | None = None) -> bool:
        """The end of an attempt; without a state the desired state decides."""
        if not (run := self.held(mine)):
            return False
        self.move(run, move, state or granted(run))
        return True

    def pause_itself(self, mine: Holding) -> bool:
        """The end of a trainer that has paused: it stays so at the step where it was to, unless it is cancelled."""
        if not (run := self.held(mine)):
            return False
        after = granted(run)
        due = run.pause_at is not None and run.reached >= run.pause_at
        self.move(run, "paused", State.PAUSED if due and after is State.QUEUED else after)
        return True

    def crash(self, mine: Holding) -> bool:
        if not (run := self.held(mine)):
            return False
        run.crashes += 1
        self.move(run, "crash", granted(run, run.crashes >= CRASHES))
        return True

    def device_fail(self, mine: Holding) -> bool:
        if not (run := self.held(mine)):
            return False
        run.crashes += 1
        run.devices += run.broken != mine.worker
        run.broken = mine.worker
        self.move(run, "device_fail", granted(run, run.devices >= DEVICES or run.crashes >= CRASHES))
        return True

    def reap(self, number: int) -> bool:
        run = self.runs[number]
        if run.state is not State.RUNNING:
            return False
        run.losses += 1
        self.move(run, "reap", granted(run, run.losses >= LOSSES))
        return True

    def cancel(self, number: int) -> bool:
        """False: a conflict."""
        run = self.runs[number]
        if run.state in (State.QUEUED, State.PAUSED):
            self.move(run, "cancel", State.CANCELLED)
        elif run.state is State.RUNNING:
            run.desired = DesiredState.CANCEL
        return run.state not in TERMINAL or run.state is State.CANCELLED

    def pause(self, number: int) -> bool:
        run = self.runs[number]
        if run.state in TERMINAL or (run.state is State.RUNNING and run.desired is DesiredState.CANCEL):
            return False
        if run.state is State.QUEUED:
            self.move(run, "pause", State.PAUSED)
        elif run.state is State.RUNNING:
            run.desired = DesiredState.PAUSE
        return True

    def resume(self, number: int) -> bool:
        run = self.runs[number]
        if run.state in TERMINAL or (run.state is State.RUNNING and run.desired is DesiredState.CANCEL):
            return False
        if run.state is State.PAUSED:
            self.clock += 1
            if run.pause_at is not None and run.reached >= run.pause_at:
                run.pause_at = None
            run.rank = self.clock  # a new place in the queue; every other return keeps the old one
            self.move(run, "resume", State.QUEUED)
        run.desired = DesiredState.RUN
        return True


def granted(run: Run, spent: bool = False) -> State:
    """Where an attempt that broke off leaves its run."""
    if run.desired is DesiredState.RUN:
        return State.FAILED if spent else State.QUEUED
    return State.CANCELLED if run.desired is DesiredState.CANCEL else State.PAUSED
