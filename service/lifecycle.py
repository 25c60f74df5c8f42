"""A run's life: its states, its desired state, the table of allowed moves, and the budgets of failures.

SQL statements carry these rules in their conditions; `tests/db/runs/test_moves.py` tries every move from every state.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The state of a run, changed only by one of `MOVES`."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DesiredState(StrEnum):
    """What people want of a run: a column of its own, so that a request never overwrites a fact."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"
    YIELD = "yield"  # run, and make way for another first: no wish of people, so never stored; a fence returns it


WISHES = (DesiredState.RUN, DesiredState.PAUSE, DesiredState.CANCEL)


class Relation(StrEnum):
    """How a run relates to the one it was made from."""

    RETRY = "retry"  # a failed or cancelled run again: same spec, same seed
    FORK = "fork"  # continues from a checkpoint with a changed spec, as an experiment of its own
    REPLAY = "replay"  # trains the same run again to compare; never part of a result
    PROBE = "probe"  # measures one state of the run and trains nothing; never part of a result
    PREVIEW = "preview"  # of no run: draws augmented samples of a spec before it is submitted; never part of a result


ASIDE = frozenset({Relation.REPLAY, Relation.PROBE})  # belong to the same experiment but count in no comparison


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Writer(StrEnum):
    """Who makes a move, and what entitles them to."""

    API = "api"  # has locked the row and read its state
    WORKER = "worker"  # has locked a waiting row
    HOLDER = "holder"  # the worker that holds the lease of a running row
    REAPER = "reaper"  # sees the same lease and beat as when it looked last


@dataclass(frozen=True)
class Move:
    """One allowed change of state: who makes it, from which states to which. Without an origin it creates the run."""

    writer: Writer
    origins: frozenset[State]
    targets: frozenset[State]


def _move(writer: Writer, origins: set[State], targets: set[State]) -> Move:
    return Move(writer, frozenset(origins), frozenset(targets))


_WAITS, _RUNS, _RESTS = State.QUEUED, State.RUNNING, State.PAUSED
_GRANTED = {State.PAUSED, State.CANCELLED}  # an attempt that breaks off enters the desired state
MOVES: dict[str, Move] = {
    "submit": _move(Writer.API, set(), {_WAITS}),  # also for retry, fork, replay and probe
    "claim": _move(Writer.WORKER, {_WAITS}, {_RUNS}),
    "flush": _move(Writer.HOLDER, {_RUNS}, {_RUNS}),
    "checkpoint": _move(Writer.HOLDER, {_RUNS}, {_RUNS}),
    "succeed": _move(Writer.HOLDER, {_RUNS}, {State.SUCCEEDED}),
    "fail": _move(Writer.HOLDER, {_RUNS}, {State.FAILED}),
    "crash": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),  # failed once the budget is spent
    "device_fail": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
    "device_full": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
    "yield": _move(Writer.HOLDER, {_RUNS}, {_WAITS, *_GRANTED}),  # its worker drains, or it is preempted
    "paused": _move(Writer.HOLDER, {_RUNS}, {_WAITS, *_GRANTED}),  # queued: the pause was taken back meanwhile
    "pause_by_server": _move(Writer.HOLDER, {_RUNS}, _GRANTED),
    "cancelled": _move(Writer.HOLDER, {_RUNS}, {State.CANCELLED}),
    "cancel": _move(Writer.API, {_WAITS, _RESTS}, {State.CANCELLED}),  # a running run only gets a new desired state
    "pause": _move(Writer.API, {_WAITS}, {_RESTS}),  # likewise
    "resume": _move(Writer.API, {_RESTS}, {_WAITS}),  # also takes back a pause that is still pending
    "reap": _move(Writer.REAPER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
    # the only move that may lower checkpoint_step; failed if the checkpoint belongs to the parent
    "quarantine": _move(Writer.HOLDER, {_RUNS}, {_WAITS, State.FAILED, *_GRANTED}),
}


def allowed(move: str, origin: State, target: State) -> bool:
    """Return whether `MOVES` lists `move` from `origin` to `target`."""
    entry = MOVES[move]
    return origin in entry.origins and target in entry.targets


def displayed(state: State, desired: DesiredState) -> str:
    """Return the state to show: `pausing` or `cancelling` while a running run is on its way there."""
    if state is State.RUNNING and desired is not DesiredState.RUN:
        return {DesiredState.PAUSE: "pausing", DesiredState.CANCEL: "cancelling"}[desired]
    return state.value


class FailureClass(StrEnum):
    """What a failure says about another attempt."""

    PERMANENT = "permanent"  # would fail again: no further attempt
    CRASH = "crash"  # the trainer died or was killed: a few attempts
    DEVICE = "device"  # no fresh trainer starts on the device: another worker
    LOST = "lost"  # the host or worker vanished: many attempts


@dataclass(frozen=True)
class Budget:
    """How many consecutive failures without a new checkpoint end the run, and the code it then fails with."""

    failures: int
    code: str


BUDGETS = {
    FailureClass.CRASH: Budget(3, "crash_loop"),
    FailureClass.DEVICE: Budget(2, "device_loop"),  # counts workers; each of these failures is a crash too
    FailureClass.LOST: Budget(10, "lost_loop"),
}
CRASH_BUDGET = BUDGETS[FailureClass.CRASH].failures
DEVICE_BUDGET = BUDGETS[FailureClass.DEVICE].failures
LOST_BUDGET = BUDGETS[FailureClass.LOST].failures
ATTEMPT_BUDGET = 50  # attempts of any kind
PERMANENT = frozenset(
    {
        *("diverged", "out_of_memory", "time_limit", "no_good_checkpoint"),
        *("spec_cannot_build", "nondeterministic", "dataset_missing", "dataset_changed"),
    }
)
DEVICE = frozenset({"device_failed"})


def failure_class(kind: str) -> FailureClass:
    """Return the class of a failure kind; an unlisted kind is a crash.

    cuda_oom starts as a crash; a second one at the same step fails the run.
    """
    if kind in PERMANENT:
        return FailureClass.PERMANENT
    return FailureClass.DEVICE if kind in DEVICE else FailureClass.CRASH


BACKOFF_SPREAD = 0.2  # share of the wait, either way, so that runs that failed together do not return together


def backoff_s(failures: int) -> float:
    """Return the seconds to wait after `failures` crashes in a row: 0 for the first, then 10, 20, 40, ... 600."""
    return 0.0 if failures <= 1 else min(10.0 * 2 ** (failures - 2), 600.0)


PRIORITY_S = 600.0  # seconds of waiting that one point of priority is worth, so waiting makes up for any priority
