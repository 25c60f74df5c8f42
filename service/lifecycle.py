"""A run's life: its states, the wishes people have for it, and the one table of allowed moves."""

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


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


@dataclass(frozen=True)
class Move:
    """One allowed change of state: who makes it, from where to where."""

    writer: str
    origins: frozenset[State]
    targets: frozenset[State]


def _move(writer: str, origins: set[State], targets: set[State]) -> Move:
    return Move(writer, frozenset(origins), frozenset(targets))


MOVES: dict[str, Move] = {
    "claim": _move("worker", {State.QUEUED}, {State.RUNNING}),
    "succeed": _move("worker", {State.RUNNING}, {State.SUCCEEDED}),
    "fail": _move("worker", {State.RUNNING}, {State.FAILED}),
    "requeue": _move("worker", {State.RUNNING}, {State.QUEUED, State.FAILED}),  # failed once the budget is spent
    "yield": _move("worker", {State.RUNNING}, {State.QUEUED}),
    "paused": _move("worker", {State.RUNNING}, {State.PAUSED}),
    "cancelled": _move("worker", {State.RUNNING}, {State.CANCELLED}),
    "cancel": _move("api", {State.QUEUED, State.PAUSED}, {State.CANCELLED}),
    "pause": _move("api", {State.QUEUED}, {State.PAUSED}),
    "resume": _move("api", {State.PAUSED}, {State.QUEUED}),
    "reap": _move("reaper", {State.RUNNING}, {State.QUEUED, State.PAUSED, State.CANCELLED, State.FAILED}),
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


CRASH_BUDGET = 3  # trainer deaths without a new checkpoint, then failed: crash_loop
DEVICE_BUDGET = 2  # workers whose device failed under it without a new checkpoint, then failed: device_loop
LOST_BUDGET = 10  # lost leases without a new checkpoint, then failed: lost_loop
ATTEMPT_BUDGET = 50  # attempts of any kind


def backoff_s(failures: int) -> float:
    """Seconds until the attempt after `failures` crashes in a row: 0 for the first, then 10, 20, 40, ... 600."""
    return 0.0 if failures <= 1 else min(10.0 * 2 ** (failures - 2), 600.0)
