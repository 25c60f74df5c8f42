"""Nothing lost, nothing doubled, whoever drains when; and what is not finite is kept exactly."""

import math
import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch

from service.errors import RunFailure
from worker.trainer.loop import Step
from worker.trainer.recorder import DeviceRecorder, HostRecorder, Points, Recorder, make_recorder

CPU = torch.device("cpu")


class Mark:
    """A stand-in for torch.cuda.Event on a machine without a GPU: passed when the test says so."""

    passed = True

    def __init__(self) -> None:
        self.waited = False

    def record(self) -> None: ...

    def query(self) -> bool:
        return self.waited or type(self).passed

    def synchronize(self) -> None:
        self.waited = True


@pytest.fixture(autouse=True)
def _passed() -> None:
    Mark.passed = True


def recorder(kind: str, first: int = 1, tolerated: int | None = None, slots: int = 7) -> Recorder:
    if kind == "host":
        return HostRecorder(first, tolerated)
    return DeviceRecorder(first, tolerated, CPU, slots, Mark)


def step(number: int, loss: float | None = None, readings: Any = None) -> Step:
    return Step(number, number / 10, torch.tensor(float(number) if loss is None else loss), readings)


def joined(points: list[Points], name: str) -> dict[int, float]:
    """One series by step; fails where a step comes twice."""
    found: dict[int, float] = {}
    for part in points:
        if part.name == name:
            steps = part.steps if part.every == 0 else part.first + part.every * np.arange(part.n)
            assert steps is not None
            assert len(steps) == len(part.values) == part.n
            for at, value in zip(steps.tolist(), part.values.tolist(), strict=True):
                assert at not in found
                found[at] = value
    return found


both = pytest.mark.parametrize("kind", ["host", "device"])


@both
@pytest.mark.parametrize("every", [1, 3, 7, 8, 100])
def test_what_goes_in_comes_out_once_with_its_step(kind: str, every: int) -> None:
    made, points = recorder(kind, first=5), []
    for number in range(5, 105):
        made.record(step(number, readings={"grad_norm": torch.tensor(number + 0.5), "x": 1.0}))
        if number % every == 0:
            points += made.drain()
    points += made.drain(wait=True)
    assert joined(points, "loss") == {n: float(n) for n in range(5, 105)}
    assert joined(points, "lr") == {n: n / 10 for n in range(5, 105)}
    assert joined(points, "grad_norm") == {n: n + 0.5 for n in range(5, 105)}
    assert joined(points, "x") == dict.fromkeys(range(5, 105), 1.0)
    assert made.drain(wait=True) == []


@both
def test_draining_while_another_thread_records_loses_and_doubles_nothing(kind: str) -> None:
    made, points, over, many = recorder(kind, slots=16), [], threading.Event(), 0
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change as often as the interpreter can

    def drain() -> None:
        while not over.is_set():
            points.extend(made.drain())

    thread = threading.Thread(target=drain)
    thread.start()
    losses = [torch.tensor(float(n % 97)) for n in range(97)]
    try:
        while many < 30_000 or (len(points) <= 20 and many < 1_000_000):  # until they have run side by side
            many += 1
            made.record(Step(many, float(many), losses[many % 97], {"r": 1.0} if many % 5 == 0 else None))
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(switch)
    assert len(points) > 20
    points += made.drain(wait=True)
    assert joined(points, "loss") == {n: float(n % 97) for n in range(1, many + 1)}
    assert joined(points, "lr") == {n: float(n) for n in range(1, many + 1)}
    assert list(joined(points, "r")) == list(range(5, many + 1, 5))


@both
def test_steps_are_sent_one_by_one_only_where_they_are_uneven(kind: str) -> None:
    made = recorder(kind)
    for number in range(1, 13):
        even = {"even": 1.0} if number % 4 == 0 else {}
        uneven = {"uneven": 2.0} if number in (2, 3, 9) else {}
        once = {"once": 3.0} if number == 6 else {}
        made.record(step(number, readings=even | uneven | once or None))
    points = {part.name: part for part in made.drain(wait=True)}
    assert (points["even"].first, points["even"].every, points["even"].n, points["even"].steps) == (4, 4, 3, None)
    assert points["uneven"].every == 0
    assert points["uneven"].steps is not None
    assert points["uneven"].steps.tolist() == [2, 3, 9]
    assert (points["once"].first, points["once"].n, points["once"].steps) == (6, 1, None)


@both
def test_nan_and_infinities_are_kept_exactly_where_the_run_goes_on(kind: str) -> None:
    made, values = recorder(kind), [1.0, math.inf, -math.inf, math.nan, 2.0]
    for number, value in enumerate(values, 1):
        made.record(step(number, value))
    (loss,) = [p for p in made.drain(wait=True) if p.name == "loss"]
    np.testing.assert_array_equal(loss.values, values)


@both
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("bad", [1, 2, 7, 8, 30])
def test_the_first_loss_that_is_not_finite_fails_the_run_with_evidence(kind: str, value: float, bad: int) -> None:
    made, points = recorder(kind, tolerated=0), []

    def go() -> None:
        for number in range(1, 60):
            if number % 5 == 0:
                points.extend(made.drain())
            made.record(step(number, value if number >= bad else None, {"r": 1.0}))

    with pytest.raises(RunFailure) as caught:
        go()
    failure = caught.value
    assert (failure.kind, failure.step) == ("diverged", bad)
    assert failure.evidence["loss"] == str(value)
    assert failure.evidence["lr"] == bad / 10
    assert failure.evidence["last_finite_losses"] == [float(n) for n in range(max(1, bad - 16), bad)]
    points += made.drain(wait=True)
    assert list(joined(points, "loss")) == list(range(1, bad + 1))  # nothing after it, on either device
    assert list(joined(points, "r")) == list(range(1, bad + 1))
    np.testing.assert_equal(joined(points, "loss")[bad], value)


def test_a_device_is_never_waited_for_until_the_end() -> None:
    made = DeviceRecorder(1, "continue", CPU, 4, Mark)
    Mark.passed = False
    for number in range(1, 11):
        made.record(step(number, readings={"r": torch.tensor(1.0)}))
        assert made.drain() == []
    assert not any(transfer.event.waited for transfer in made._transfers)  # type: ignore[attr-defined]
    assert list(joined(made.drain(wait=True), "loss")) == list(range(1, 11))


def test_a_devices_first_step_is_under_way_at_once_and_then_blocks_are() -> None:
    made = DeviceRecorder(1, "continue", CPU, 4, Mark)
    made.record(step(1))
    assert list(joined(made.drain(), "loss")) == [1]
    made._drain_requested = False
    for number in range(2, 5):
        made.record(step(number))
    assert made._transfers == []
    made.record(step(5))
    assert len(made._transfers) == 1


def test_a_device_failing_is_known_after_the_last_drain_at_the_latest() -> None:
    made = DeviceRecorder(1, 0, CPU, 100, Mark)
    for number in range(1, 11):
        made.record(step(number, math.nan if number == 9 else None))
    assert list(joined(made.drain(wait=True), "loss")) == list(range(1, 10))
    assert made.failure is not None
    assert made.failure.step == 9


def test_the_ring_may_be_overwritten_while_a_transfer_is_under_way() -> None:
    made = DeviceRecorder(1, "continue", CPU, 3, Mark)
    Mark.passed = False
    for number in range(1, 20):
        made.record(step(number))
    Mark.passed = True
    assert joined(made.drain(wait=True), "loss") == {n: float(n) for n in range(1, 20)}


def test_the_recorder_is_chosen_by_device() -> None:
    assert isinstance(make_recorder(CPU, 1), HostRecorder)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: streams and pinned memory are its own")
def test_on_a_gpu_recording_does_not_wait_and_loses_nothing() -> None:
    device = torch.device("cuda:0")
    made, points = make_recorder(device, 1, "continue"), []
    busy = torch.randn(4096, 4096, device=device)
    for number in range(1, 1001):
        if number % 100 == 0:
            busy = busy @ busy / 64
        loss = torch.full((), float(number), device=device)
        made.record(Step(number, number / 10, loss, {"r": loss + 0.5} if number % 3 == 0 else None))
        if number % 37 == 0:
            points += made.drain()
    points += made.drain(wait=True)
    assert joined(points, "loss") == {n: float(n) for n in range(1, 1001)}
    assert joined(points, "r") == {n: n + 0.5 for n in range(3, 1001, 3)}


@pytest.mark.parametrize("kind", ["host", "device"])
def test_what_was_measured_before_the_first_step_is_at_the_step_before_it(kind: str) -> None:
    made = recorder(kind)
    made.record_start({"val/loss": torch.tensor(3.0)})
    for number in range(1, 5):
        made.record(step(number, readings={"val/loss": torch.tensor(2.0)} if number == 4 else None))
    assert joined(made.drain(wait=True), "val/loss") == {0: 3.0, 4: 2.0}


@pytest.mark.parametrize("kind", ["host", "device"])
def test_nothing_measured_before_the_first_step_is_no_point(kind: str) -> None:
    made = recorder(kind)
    made.record_start({})
    made.record(step(1))
    assert [part.name for part in made.drain(wait=True)] == ["loss", "lr"]
