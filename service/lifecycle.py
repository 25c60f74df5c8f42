"""A run's life: its states, the wishes people have for it, the one table of allowed moves, and what failures may cost.

Statements carry these rules in their conditions; `tests/db/runs/test_moves.py` tries every move from every state.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a run is; stored, and changed only by a move below."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Wish(StrEnum):
    """What people want of a run; a second column, so that a wish never overwrites a fact."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class Relation(StrEnum):
    """What a run is to the one it was made from."""

    RETRY = "retry"  # of one that failed or was cancelled: same spec, same seed
    FORK = "fork"  # goes on from a checkpoint with a changed spec, as an experiment of its own
    REPLAY = "replay"  # the same once more, to be compared with; never part of a result
    PROBE = "probe"  # looks at one state of it with instruments, and trains nothing; never part of a result


ASIDE = frozenset({Relation.REPLAY, Relation.PROBE})  # of the same experiment, and count in no comparison


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Writer(StrEnum):
    """Who makes a move, and by what right."""

    API = "api"  # the row locked, its state as read
    WORKER = "worker"  # a waiting row, locked and nobody else's
    HOLDER = "holder"  # the worker whose lease the row has, while it is running
    REAPER = "reaper"  # lease and beat still as they were seen


@dataclass(frozen=True)
class Move:
    """One allowed change of state: who makes it, from where to where. No origin: the run is made by it."""

    writer: Writer
    origins: frozenset[State]
    targets: frozenset[State]


def _move(writer: Writer, origins: set[State], targets: set[State]) -> Move:
    return Move(writer, frozenset(origins), frozenset(targets))


_WAITS, _RUNS, _RESTS = State.QUEUED, State.RUNNING, State.PAUSED
_GRANTED = {State.PAUSED, State.CANCELLED}  # what breaks off grants the wish it finds
MOVES: dict[str, Move] = {
    "submit": _move(Writer.API, set(), {_WAITS}),  # retry, fork, replay and probe submit too
    "claim": _move(Writer.WORKER, {_WAITS}, {_RUNS}),
    "flush": _move(Writer.HOLDER, {_RUNS}, {_RUNS}),
    "checkpoint": _move(Writer.HOLDER, {_RUNS}, {_RUNS}),
    "succeed": _move(Writer.HOLDER, {_RUNS}, {State.SUCCEEDED}),
    "fail": _move(Writer.HOLDER, {_RUNS}, {State.FAILED}),
    "crash": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),  # failed once the budget is spent
    "device_fail": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
    "device_full": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
    "yield": _move(Writer.HOLDER, {_RUNS}, {_WAITS, *_GRANTED}),
    "paused": _move(Writer.HOLDER, {_RUNS}, {_WAITS, *_GRANTED}),  # queued: the wish was taken back meanwhile
    "pause_by_server": _move(Writer.HOLDER, {_RUNS}, _GRANTED),
    "cancelled": _move(Writer.HOLDER, {_RUNS}, {State.CANCELLED}),
    "cancel": _move(Writer.API, {_WAITS, _RESTS}, {State.CANCELLED}),  # of what runs it is wished
    "pause": _move(Writer.API, {_WAITS}, {_RESTS}),  # likewise
    "resume": _move(Writer.API, {_RESTS}, {_WAITS}),  # takes back a wished pause
    "reap": _move(Writer.REAPER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
    # the one that may lower checkpoint_step; failed where the checkpoint is the parent's
    "quarantine": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
}


def allowed(move: str, origin: State, target: State) -> bool:
    """True where the table lists `move` from `origin` to `target`."""
    entry = MOVES[move]
    return origin in entry.origins and target in entry.targets


def displayed(state: State, wish: Wish) -> str:
    """The word people read: a running run with another wish is on its way there."""
    if state is State.RUNNING and wish is not Wish.RUN:
        return {Wish.PAUSE: "pausing", Wish.CANCEL: "cancelling"}[wish]
    return state.value


class FailureClass(StrEnum):
    """What a failure says about trying again."""

    PERMANENT = "permanent"  # it would fail again: no further attempt
    CRASH = "crash"  # the trainer died or was ended: a few attempts
    DEVICE = "device"  # the device broke, not the run: another worker
    LOST = "lost"  # host or worker vanished: many attempts


@dataclass(frozen=True)
class Budget:
    """How many failures of a class in a row, without a new checkpoint, end the run, and the code it then fails with."""

    failures: int
    code: str


BUDGETS = {
    FailureClass.CRASH: Budget(3, "crash_loop"),
    FailureClass.DEVICE: Budget(2, "device_loop"),  # counted by workers: one that broke twice counts once
    FailureClass.LOST: Budget(10, "lost_loop"),
}
CRASH_BUDGET = BUDGETS[FailureClass.CRASH].failures
DEVICE_BUDGET = BUDGETS[FailureClass.DEVICE].failures
LOST_BUDGET = BUDGETS[FailureClass.LOST].failures
ATTEMPT_BUDGET = 50  # attempts of any kind
PERMANENT = frozenset(
    {
        *("diverged", "out_of_memory", "time_limit", "no_good_checkpoint"),
        *("spec_cannot_build", "dataset_missing", "dataset_changed"),
    }
)
DEVICE = frozenset({"device_failed"})


def failure_class(kind: str) -> FailureClass:
    """The class of what a trainer or its supervisor says; what nobody listed is a crash.

    cuda_oom is one at first; at the same step again it fails the run.
    """
    if kind in PERMANENT:
        return FailureClass.PERMANENT
    return FailureClass.DEVICE if kind in DEVICE else FailureClass.CRASH


BACKOFF_SPREAD = 0.2  # of the wait, either way: what failed together does not come back together


def backoff_s(failures: int) -> float:
    """Seconds until the attempt after `failures` crashes in a row: 0 for the first, then 10, 20, 40, ... 600."""
    return 0.0 if failures <= 1 else min(10.0 * 2 ** (failures - 2), 600.0)


PRIORITY_S = 600.0  # a point of priority is worth this much waiting: so waiting makes up for any priority
