"""A probe job in the trainer: readings of one state, whatever an instrument does; and the state that it leaves."""

import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from service.errors import RunFailure
from service.storage.files import sha256_of_folder
from worker.protocol import (
    Checkpoint,
    CheckpointFiles,
    Ended,
    Frame,
    Points,
    Reading,
    Started,
    Stop,
    TrainRequest,
)
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import Training, prepare, train
from worker.trainer.probes.measurement import Measurement
from worker.trainer.requests import run_request

CPU = torch.device("cpu")
AT = 7
F = TypeVar("F", bound=Frame)


class Listening:
    """The other side of the pipe."""

    def __init__(self, stop: Stop | None = None) -> None:
        self.stop = stop
        self.frames: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    def of(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.frames if isinstance(frame, kind)]

    @property
    def readings(self) -> dict[str, Any]:
        return {frame.name: json.loads(frame.payload) for frame in self.of(Reading)}


class Instrument:
    """Stands in for one: what a job does with it is the test's subject, not what it measures."""

    def __init__(self, component: Any) -> None:
        self.component = component

    def measure(self, training: Training) -> Measurement:
        assert training.step in (0, AT)
        return Measurement({self.component.kind: float(training.step)}, {"about": self.component.kind})


class Failing(Instrument):
    def measure(self, training: Training) -> Measurement:
        raise ValueError("the matrix is not positive")


class Broken(Instrument):
    def measure(self, training: Training) -> Measurement:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


class Leaving(Instrument):
    def step_out(self, training: Training) -> bool:
        with torch.no_grad():
            next(training.model.parameters()).add_(1.0)
        return True


class Comparing(Instrument):
    needs = "kept"

    def __init__(self, component: Any, kept: Any) -> None:
        self.kept = kept

    def measure(self, training: Training) -> Measurement:
        return Measurement({}, {"steps": [each.step for each in self.kept], "names": sorted(self.kept[0].weights)})


@pytest.fixture(autouse=True)
def _instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"sharpness": ("Sharpness", Instrument), "critical_point": ("CriticalPoint", Leaving)}
    found |= {"noise_scale": ("NoiseScale", Failing), "spectrum": ("Spectrum", Broken)}
    found |= {"trajectory": ("Trajectory", Comparing)}
    for kind, (name, stand_in) in found.items():
        module = ModuleType(f"worker.trainer.probes.on_demand.{kind}")
        setattr(module, name, stand_in)
        monkeypatch.setitem(sys.modules, f"worker.trainer.probes.on_demand.{kind}", module)
    from worker.trainer.build import resolve

    resolve.cache_clear()


def request(spec: Any, folder: Path, *kinds: str, **more: Any) -> TrainRequest:
    task = {"probes": [{"kind": kind} for kind in kinds]}
    plain = {"seed": 3, "threads": 1, "folder": str(folder), "checkpoint_s": 60, "flush_s": 0.2, "task": task}
    return TrainRequest(spec=spec.normalised(), **(plain | more))


def parent(spec: Any, folder: Path, fitted: Any = None) -> CheckpointFiles:
    training = prepare(spec, 3, CPU)
    for step in train(training):
        if step.step == AT:
            break
    saved = checkpoint.save(folder, training, {"environment": {}} | (fitted or {}))
    return {"folder": str(saved.folder), "sha256": saved.sha256}


def test_a_job_looks_at_the_state_it_is_given_and_says_series_and_readings_at_its_step(
    experiment: Any, tmp_path: Path
) -> None:
    spec, heard = experiment(), Listening()
    run_request(request(spec, tmp_path, "sharpness", resume=parent(spec, tmp_path)), CPU, heard)
    assert [type(frame) for frame in heard.frames] == [Started, Points, Reading, Ended]
    (points,) = heard.of(Points)
    assert points.series == [{"name": "sharpness", "first": AT, "every": 1, "n": 1}]
    assert struct.unpack("<d", points.payload) == (AT,)
    (reading,) = heard.of(Reading)
    assert (reading.step, reading.name) == (AT, "sharpness")
    assert heard.readings["sharpness"]["about"] == "sharpness"
    assert heard.readings["sharpness"]["values"] == {"sharpness": AT}
    assert heard.readings["sharpness"]["asked"]["rows"] == 2048
    assert heard.of(Ended) == [Ended(outcome="succeeded", step=AT, note=None)]


def test_an_instrument_that_fails_is_told_and_the_next_one_looks(experiment: Any, tmp_path: Path) -> None:
    heard = Listening()
    run_request(request(experiment(), tmp_path, "noise_scale", "sharpness"), CPU, heard)
    assert heard.readings["noise_scale"]["error"] == "ValueError: the matrix is not positive"
    assert heard.readings["sharpness"]["values"] == {"sharpness": 0}
    assert heard.of(Ended)[0].outcome == "succeeded"


def test_a_broken_device_is_no_reading(experiment: Any, tmp_path: Path) -> None:
    heard = Listening()
    with pytest.raises(RunFailure) as caught:
        run_request(request(experiment(), tmp_path, "spectrum"), CPU, heard)
    assert (caught.value.kind, heard.readings) == ("crashed", {})


@pytest.mark.parametrize(("stop", "outcome"), [("pause", "paused"), ("cancel", "cancelled"), ("drain", "drained")])
def test_a_stop_is_heard_before_the_next_instrument(experiment: Any, tmp_path: Path, stop: Stop, outcome: str) -> None:
    heard = Listening(stop)
    run_request(request(experiment(), tmp_path, "sharpness"), CPU, heard)
    assert (heard.readings, heard.of(Ended)[0].outcome) == ({}, outcome)


@pytest.mark.parametrize("step", [0, AT])
def test_a_changed_state_becomes_a_checkpoint_at_the_same_step_from_which_a_fork_goes_on(
    experiment: Any, tmp_path: Path, step: int
) -> None:
    spec, heard = experiment(optimizer={"kind": "sgd", "momentum": 0.9}), Listening()
    resume = parent(spec, tmp_path) if step else None
    run_request(request(spec, tmp_path, "critical_point", "sharpness", resume=resume), CPU, heard)
    (left,) = heard.of(Checkpoint)
    assert (left.step, left.reason) == (step, "escape")
    assert heard.readings["critical_point"]["checkpoint"] == {"step": step}
    plain, fork = prepare(spec, 3, CPU), prepare(spec, 3, CPU)
    if resume:
        checkpoint.load(Path(resume["folder"]), resume["sha256"], plain)
    _, taken = checkpoint.load_fork(Path(left.folder), left.sha256, fork)
    assert (fork.step, set(taken.values())) == (step, {True})
    first, *rest = zip(plain.model.parameters(), fork.model.parameters(), strict=True)
    assert torch.equal(first[0] + 1.0, first[1])
    assert all(torch.equal(mine, its) for mine, its in rest)


def test_an_instrument_that_compares_gets_the_other_states(experiment: Any, tmp_path: Path) -> None:
    spec, heard = experiment(), Listening()
    kept = parent(spec, tmp_path)
    run_request(request(spec, tmp_path, "trajectory", other_states={"kept": [kept, kept]}), CPU, heard)
    assert heard.readings["trajectory"]["steps"] == [AT, AT]
    assert heard.readings["trajectory"]["names"] == sorted(prepare(spec, 3, CPU).model.state_dict())


def test_a_damaged_checkpoint_is_told_as_of_any_run(experiment: Any, tmp_path: Path) -> None:
    spec, heard = experiment(), Listening()
    resume: CheckpointFiles = {**parent(spec, tmp_path), "sha256": "0" * 64}
    with pytest.raises(RunFailure) as caught:
        run_request(request(spec, tmp_path, "sharpness", resume=resume), CPU, heard)
    assert (caught.value.kind, heard.frames) == ("checkpoint_damaged", [])


def test_rows_are_predicted_by_a_checkpoint_as_the_model_itself_does(experiment: Any, tmp_path: Path) -> None:
    spec, heard, rows = experiment(), Listening(), [[5.1, 3.5, 1.4, 0.2], [6.0, 2.2, 4.0, 1.0]]
    task = {"probes": [], "rows": rows}
    training = prepare(spec, 3, CPU)
    run_request(request(spec, tmp_path, task=task, resume=parent(spec, tmp_path, training.fitted)), CPU, heard)
    saved = next(iter(tmp_path.glob("step-*")))
    checkpoint.load(saved, sha256_of_folder(saved), training)
    assert [type(frame) for frame in heard.frames] == [Started, Reading, Ended]
    scale = training.scales["features"]
    x = torch.tensor((np.array(rows) - scale["shift"]) / scale["divisor"], dtype=torch.float32)
    likely = training.model.eval()(x).double().softmax(1)
    found = heard.readings["predictions"]["predictions"]
    assert [list(each["probabilities"].values()) for each in found] == likely.tolist()


@pytest.mark.parametrize(
    ("rows", "why"), [([[1.0, 2.0]], "invalid for input of size"), ([[1.0] * 4], "earlier release")]
)
def test_rows_that_cannot_be_predicted_are_answered_with_the_reason(
    experiment: Any, tmp_path: Path, rows: Any, why: str
) -> None:
    spec, heard = experiment(), Listening()
    fitted = prepare(spec, 3, CPU).fitted if "input" in why else {}
    task = {"probes": [], "rows": rows}
    run_request(request(spec, tmp_path, task=task, resume=parent(spec, tmp_path, fitted)), CPU, heard)
    assert why in heard.readings["predictions"]["error"]
    assert heard.of(Ended)[0].outcome == "succeeded"
