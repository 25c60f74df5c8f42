"""A probe job in the trainer: readings of one state, whatever an instrument does; and the state that it leaves."""

import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from service.errors import RunFailure
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import Training, prepare, train
from worker.trainer.probes.measurement import Measurement
from worker.trainer.session import conduct

CPU = torch.device("cpu")
AT = 7


class Listening:
    """The other side of the pipe."""

    def __init__(self, wish: str | None = None) -> None:
        self.wish = wish
        self.said: list[tuple[str, dict[str, Any], bytes]] = []

    def send(self, kind: str, payload: bytes = b"", /, **fields: Any) -> None:
        self.said.append((kind, fields, payload))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [fields for each, fields, _ in self.said if each == kind]

    @property
    def readings(self) -> dict[str, Any]:
        return {fields["name"]: json.loads(payload) for kind, fields, payload in self.said if kind == "reading"}


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


def order(spec: Any, folder: Path, *kinds: str, **more: Any) -> dict[str, Any]:
    task = {"probes": [{"kind": kind} for kind in kinds]}
    plain = {"spec": spec.normalised(), "seed": 3, "threads": 1, "folder": str(folder), "resume": None, "fork": False}
    return plain | {"task": task, "checkpoint_s": 60} | more


def parent(spec: Any, folder: Path) -> dict[str, str]:
    training = prepare(spec, 3, CPU)
    for step in train(training):
        if step.step == AT:
            break
    saved = checkpoint.save(folder, training, {"environment": {}})
    return {"folder": str(saved.folder), "sha256": saved.sha256}


def test_a_job_looks_at_the_state_it_is_given_and_says_series_and_readings_at_its_step(
    experiment: Any, tmp_path: Path
) -> None:
    spec, heard = experiment(), Listening()
    conduct(order(spec, tmp_path, "sharpness", resume=parent(spec, tmp_path)), CPU, heard)
    assert [kind for kind, _, _ in heard.said] == ["started", "points", "reading", "end"]
    (points,) = heard.of("points")
    assert points["series"] == [{"name": "sharpness", "first": AT, "every": 1, "n": 1}]
    assert struct.unpack("<d", heard.said[1][2]) == (AT,)
    (reading,) = heard.of("reading")
    assert (reading["step"], reading["name"]) == (AT, "sharpness")
    assert heard.readings["sharpness"]["about"] == "sharpness"
    assert heard.readings["sharpness"]["values"] == {"sharpness": AT}
    assert heard.readings["sharpness"]["asked"]["rows"] == 2048
    assert heard.of("end") == [{"outcome": "succeeded", "step": AT, "note": None}]


def test_an_instrument_that_fails_is_told_and_the_next_one_looks(experiment: Any, tmp_path: Path) -> None:
    heard = Listening()
    conduct(order(experiment(), tmp_path, "noise_scale", "sharpness"), CPU, heard)
    assert heard.readings["noise_scale"]["error"] == "ValueError: the matrix is not positive"
    assert heard.readings["sharpness"]["values"] == {"sharpness": 0}
    assert heard.of("end")[0]["outcome"] == "succeeded"


def test_a_broken_device_is_no_reading(experiment: Any, tmp_path: Path) -> None:
    heard = Listening()
    with pytest.raises(RunFailure) as caught:
        conduct(order(experiment(), tmp_path, "spectrum"), CPU, heard)
    assert (caught.value.kind, heard.readings) == ("device_failed", {})


@pytest.mark.parametrize(("wish", "outcome"), [("pause", "paused"), ("cancel", "cancelled"), ("drain", "drained")])
def test_a_wish_is_heard_before_the_next_instrument(experiment: Any, tmp_path: Path, wish: str, outcome: str) -> None:
    heard = Listening(wish)
    conduct(order(experiment(), tmp_path, "sharpness"), CPU, heard)
    assert (heard.readings, heard.of("end")[0]["outcome"]) == ({}, outcome)


@pytest.mark.parametrize("step", [0, AT])
def test_a_changed_state_becomes_a_checkpoint_at_the_same_step_from_which_a_fork_goes_on(
    experiment: Any, tmp_path: Path, step: int
) -> None:
    spec, heard = experiment(optimizer={"kind": "sgd", "momentum": 0.9}), Listening()
    resume = parent(spec, tmp_path) if step else None
    conduct(order(spec, tmp_path, "critical_point", "sharpness", resume=resume), CPU, heard)
    (left,) = heard.of("checkpoint")
    assert (left["step"], left["reason"]) == (step, "escape")
    assert heard.readings["critical_point"]["checkpoint"] == {"step": step}
    plain, fork = prepare(spec, 3, CPU), prepare(spec, 3, CPU)
    if resume:
        checkpoint.load(Path(resume["folder"]), resume["sha256"], plain)
    _, taken = checkpoint.load_fork(Path(left["folder"]), left["sha256"], fork)
    assert (fork.step, set(taken.values())) == (step, {True})
    first, *rest = zip(plain.model.parameters(), fork.model.parameters(), strict=True)
    assert torch.equal(first[0] + 1.0, first[1])
    assert all(torch.equal(mine, its) for mine, its in rest)


def test_an_instrument_that_compares_gets_the_other_states(experiment: Any, tmp_path: Path) -> None:
    spec, heard = experiment(), Listening()
    kept = parent(spec, tmp_path)
    conduct(order(spec, tmp_path, "trajectory", beside={"kept": [kept, kept]}), CPU, heard)
    assert heard.readings["trajectory"]["steps"] == [AT, AT]
    assert heard.readings["trajectory"]["names"] == sorted(prepare(spec, 3, CPU).model.state_dict())


def test_a_damaged_checkpoint_is_told_as_of_any_run(experiment: Any, tmp_path: Path) -> None:
    spec, heard = experiment(), Listening()
    resume = parent(spec, tmp_path) | {"sha256": "0" * 64}
    with pytest.raises(RunFailure) as caught:
        conduct(order(spec, tmp_path, "sharpness", resume=resume), CPU, heard)
    assert (caught.value.kind, heard.said) == ("checkpoint_damaged", [])
