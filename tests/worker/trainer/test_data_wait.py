"""The series `system/data_wait`: the share of the time that updates waited for their batches."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.ingest.mounted_files import cifar
from tests.worker.trainer.augment.test_augment import spec_of
from worker.protocol import Frame, Stop, TrainRequest
from worker.protocol import Points as PointsFrame
from worker.trainer import data_wait
from worker.trainer.data import batches as batches_module
from worker.trainer.data.batches import Batch, Batches
from worker.trainer.data_wait import DataWait
from worker.trainer.recorder import Points
from worker.trainer.requests import run_request


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def losses(first: int, n: int) -> Points:
    return Points("loss", first, 1, n, None, np.zeros(n))


def test_it_is_the_time_in_batches_over_the_time_since_the_last_point(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(batches_module, "perf_counter", clock)

    class Slow(Batches):
        takes_time = True  # type: ignore[assignment]

        def _rows(self, step: int) -> Batch:
            clock.now += 0.3
            return super()._rows(step)

    batches = Slow(torch.zeros(8, 2), torch.zeros(8), rows=4, seed=0)
    wait = DataWait(batches, clock)

    def train(first: int, last: int, rest_s: float) -> None:
        for step in range(first, last + 1):
            batches.batch(step)
            clock.now += rest_s

    train(1, 2, 0.1)
    assert wait.points(losses(1, 2)) == []  # 0.8 s
    train(3, 4, 0.1)
    (point,) = wait.points(losses(3, 2))
    assert (point.name, point.first, point.n, point.steps) == ("system/data_wait", 4, 1, None)
    assert point.values.tolist() == pytest.approx([0.75])
    train(5, 6, 2.7)
    assert wait.points(losses(5, 0)) == []  # readings only
    assert wait.points(losses(5, 2))[0].values.tolist() == pytest.approx([0.1])


def test_rows_at_hand_have_no_such_series() -> None:
    clock = Clock()
    batches = Batches(torch.zeros(8, 2), torch.zeros(8), rows=4, seed=0)
    wait = DataWait(batches, clock)
    batches.batch(1)
    clock.now = 10 * data_wait.PERIOD_S
    assert wait.points(losses(1, 1)) == []
    assert batches.waited_s == 0


class Heard:
    stop: Stop | None = None

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}  # of each series the last one

    def send(self, frame: Frame) -> None:
        if isinstance(frame, PointsFrame):
            self.steps |= {
                each["name"]: each["first"] + each["n"] - 1 for each in frame.series if not each["every"] > 1
            }


@pytest.mark.parametrize("augmented", [True, False])
def test_a_run_that_augments_has_it(augmented: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_wait, "PERIOD_S", 0.0)
    cifar(tmp_path / "mounted", 1, 20)
    spec = spec_of(tmp_path / "mounted", *[{"kind": "horizontal_flip"}] * augmented)
    plain = {"threads": 1, "flush_s": 60.0, "checkpoint_s": 60.0, "datasets": str(tmp_path / "rows")}
    request = TrainRequest(
        spec=spec.normalised(),
        seed=0,
        folder=str(tmp_path / "run"),
        mounted=str(tmp_path / "mounted"),
        resident_bytes=2**30,
        **plain,
    )
    heard = Heard()
    run_request(request, torch.device("cpu"), heard)
    assert heard.steps["loss"] == 8
    assert heard.steps.get("system/data_wait") == (8 if augmented else None)
