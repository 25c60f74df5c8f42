"""The replay of the last steps of a diverged run, with every value checked, before its failure is reported.

Its time is bounded. The failure is announced first, so an error in the replay only becomes a reading.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from service.errors import RunFailure
from service.nonfinite import dumps
from service.spec.training import allowed_nonfinite
from worker.protocol import Failing, Reading
from worker.trainer.channel import SupervisorLink
from worker.trainer.checkpoints import checkpoint
from worker.trainer.failures import describe_error
from worker.trainer.loop import Training, train
from worker.trainer.reproduction import StateBefore, copy_state, pack_step

CHECKED_STEPS = 50  # at the end, in which every value is checked; earlier steps are only repeated
KIND = "autopsy"


class RestorePoint(NamedTuple):
    """A checkpoint from which steps can be repeated."""

    step: int
    folder: Path
    sha256: str
    fork: bool = False  # of the parent, under another spec


class AttemptHistory(NamedTuple):
    """The checkpoints and the speed of an attempt."""

    restore_points: list[RestorePoint]  # where a replay can start
    steps: int  # made by the attempt
    seconds: float  # that the steps took


class OutOfTime(Exception):
    """The time limit is reached, or the run was asked to stop."""


def replay_divergence(
    prepare: Callable[[], Training],
    history: AttemptHistory,
    failure: RunFailure,
    limit_s: float,
    supervisor: SupervisorLink,
) -> None:
    """Replay and send the result as a reading; takes at most `limit_s` and one step, and does not raise."""
    if limit_s <= 0 or failure.step is None:
        return
    supervisor.send(Failing(kind=failure.kind, detail=failure.detail, step=failure.step, evidence=failure.evidence))
    try:
        data = _find_cause(prepare, history, failure.step, time.monotonic() + limit_s, supervisor)
    except OutOfTime as error:
        data = {"kind": None, "why": str(error)}
    except Exception as error:
        data = {"kind": None, "why": "the autopsy failed itself", "error": describe_error(error)}
    supervisor.send(Reading(step=failure.step, name=KIND, payload=dumps({"step": failure.step} | data).encode()))


def _find_cause(
    prepare: Callable[[], Training], history: AttemptHistory, last: int, deadline: float, supervisor: SupervisorLink
) -> dict[str, Any]:
    """Find the first non-finite value; the loss shows a non-finite gradient one step late."""
    # imported late: the probes it brings import parts of torch that take seconds
    from worker.trainer.probes.on_demand.autopsy import autopsy  # noqa: PLC0415

    training = prepare()
    training.use_eager_gradients()
    first = max(1, last - (allowed_nonfinite(training.spec.nonfinite) or 0))
    start_step = _restore_before(training, history, first)
    needed_s = (last - training.step) * history.seconds / max(history.steps, 1)
    if needed_s > deadline - time.monotonic():
        raise OutOfTime(f"the last checkpoint is {last - training.step} steps back, about {needed_s:.0f} s: too far")
    states: dict[int, StateBefore] = {}
    for _ in _repeat_to(training, first - CHECKED_STEPS, deadline, supervisor):
        pass
    found = autopsy(training, _repeat_suspects(training, first, last, deadline, supervisor, states))
    result: dict[str, Any] = {"retrained_from": start_step}
    if found is None:
        return result | {"kind": None, "why": f"in the replay every value was finite up to step {training.step}"}
    result |= found.data()
    if (state := states.get(found.step)) is not None and (packed := pack_step(training, state, found.step)) is not None:
        result["reproduction"] = packed
    return result


def _restore_before(training: Training, history: AttemptHistory, first: int) -> int:
    """Restore the newest state before the two suspected steps; return its step."""
    for point in sorted(history.restore_points, reverse=True):
        if point.fork:  # there is none before it
            checkpoint.load_fork(point.folder, point.sha256, training)
            break
        if point.step <= max(0, first - 2):
            try:
                checkpoint.load(point.folder, point.sha256, training)
                break
            except RunFailure:  # moved to a bucket
                continue
    return training.step


def _repeat_to(training: Training, last: int, deadline: float, supervisor: SupervisorLink) -> Iterator[int]:
    """Repeat the training up to step `last`."""
    if training.step >= last:
        return
    for step in train(training):
        if time.monotonic() > deadline:
            raise OutOfTime(f"out of time at step {step.step}")
        if supervisor.stop is not None:
            raise OutOfTime(f"interrupted at step {step.step}: {supervisor.stop} was requested")
        yield step.step
        if step.step >= last:
            return


def _repeat_suspects(
    training: Training,
    first: int,
    last: int,
    deadline: float,
    supervisor: SupervisorLink,
    states: dict[int, StateBefore],
) -> Iterator[int]:
    """Repeat the training to the end, keeping the state before each suspected step."""
    if training.step >= first - 2:
        states[training.step + 1] = copy_state(training)
    for step in _repeat_to(training, last, deadline, supervisor):
        yield step
        if step >= first - 2:
            states[step + 1] = copy_state(training)
