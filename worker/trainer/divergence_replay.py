"""Replay the last steps of a diverged run before its failure is reported, checking every value.

It costs a bounded time, and whatever goes wrong in it is a reading too: the failure has been announced before.
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

CHECKED = 50  # steps at the end in which every value is checked; earlier ones are only repeated
KIND = "autopsy"


class RestorePoint(NamedTuple):
    """A checkpoint from which steps can be repeated."""

    step: int
    folder: Path
    sha256: str
    fork: bool = False  # the parent's, under another spec


class AttemptHistory(NamedTuple):
    """The checkpoints and the speed of an attempt."""

    places: list[RestorePoint]  # where a replay can start
    steps: int  # made by the attempt
    seconds: float  # that they took


class OutOfTime(Exception):
    """The time limit is reached, or the run was asked to stop."""


def replay_divergence(
    prepared: Callable[[], Training],
    past: AttemptHistory,
    failure: RunFailure,
    limit_s: float,
    supervisor: SupervisorLink,
) -> None:
    """Send the result as a reading; return within `limit_s` and one step, whatever happens."""
    if limit_s <= 0 or failure.step is None:
        return
    supervisor.send(Failing(kind=failure.kind, detail=failure.detail, step=failure.step, evidence=failure.evidence))
    try:
        data = _found(prepared, past, failure.step, time.monotonic() + limit_s, supervisor)
    except OutOfTime as error:
        data = {"kind": None, "why": str(error)}
    except Exception as error:
        data = {"kind": None, "why": "the autopsy failed itself", "error": describe_error(error)}
    supervisor.send(Reading(step=failure.step, name=KIND, payload=dumps({"step": failure.step} | data).encode()))


def _found(
    prepared: Callable[[], Training], past: AttemptHistory, last: int, deadline: float, supervisor: SupervisorLink
) -> dict[str, Any]:
    """Find the first non-finite value; the loss shows a non-finite gradient one step late."""
    # imported late: the probes it brings import parts of torch that take seconds
    from worker.trainer.probes.on_demand.autopsy import autopsy  # noqa: PLC0415

    training = prepared()
    training.use_eager_gradients()
    first = max(1, last - (allowed_nonfinite(training.spec.nonfinite) or 0))
    came_from = _begin(training, past, first)
    needed_s = (last - training.step) * past.seconds / max(past.steps, 1)
    if needed_s > deadline - time.monotonic():
        raise OutOfTime(f"the last checkpoint is {last - training.step} steps back, about {needed_s:.0f} s: too far")
    seen: dict[int, StateBefore] = {}
    for _ in _steps(training, first - CHECKED, deadline, supervisor):
        pass
    found = autopsy(training, _looked_at(training, first, last, deadline, supervisor, seen))
    told = {"retrained_from": came_from}
    if found is None:
        return told | {"kind": None, "why": f"made again, every value was finite up to step {training.step}"}
    data = found.data() | told
    if (state := seen.get(found.step)) is not None and (made := pack_step(training, state, found.step)) is not None:
        data["reproduction"] = made
    return data


def _begin(training: Training, past: AttemptHistory, first: int) -> int:
    """Restore the newest state before the two suspected steps; return its step."""
    for place in sorted(past.places, reverse=True):
        if place.fork:  # nothing lies before it
            checkpoint.load_fork(place.folder, place.sha256, training)
            break
        if place.step <= max(0, first - 2):
            try:
                checkpoint.load(place.folder, place.sha256, training)
                break
            except RunFailure:  # moved to a bucket
                continue
    return training.step


def _steps(training: Training, last: int, deadline: float, supervisor: SupervisorLink) -> Iterator[int]:
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


def _looked_at(
    training: Training, first: int, last: int, deadline: float, supervisor: SupervisorLink, seen: dict[int, StateBefore]
) -> Iterator[int]:
    """Repeat to the end, keeping the state before each suspected step."""
    if training.step >= first - 2:
        seen[training.step + 1] = copy_state(training)
    for step in _steps(training, last, deadline, supervisor):
        yield step
        if step >= first - 2:
            seen[step + 1] = copy_state(training)
