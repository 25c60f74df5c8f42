"""A preview in the trainer: the picture that the run of the same spec and seed begins with, without its model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from service.errors import RunFailure
from service.ingest import mounted
from service.spec.experiment import Experiment
from tests.ingest.mounted_files import cifar
from worker.protocol import Ended, Frame, Reading, Started, Stop, TrainRequest
from worker.trainer import start_readings
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import prepare
from worker.trainer.models.mlp import MLP
from worker.trainer.requests import run_request

CPU = torch.device("cpu")
CROP, JITTER, MIXUP = {"kind": "crop", "padding": 4}, {"kind": "color_jitter", "hue": 0.3}, {"kind": "mixup"}


class Listening:
    """The other side of the pipe."""

    def __init__(self, stop: Stop | None = None) -> None:
        self.stop = stop
        self.frames: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cifar(tmp_path / "mounted", 1, 20)
    return tmp_path


def spec_of(folder: Path, **changes: Any) -> Experiment:
    document = {
        "dataset": {"kind": "torchvision", "name": "CIFAR10"},
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "batch_size": 16,
        "steps": 8,
        "augment": (CROP, JITTER),
    }
    return mounted.resolve(folder / "mounted", Experiment.model_validate(document | changes))


def previewed(folder: Path, spec: Experiment, seed: int = 0, stop: Stop | None = None) -> list[Frame]:
    document = json.loads(json.dumps(spec.normalised()))
    listening = Listening(stop)
    request = TrainRequest(
        spec=document,
        seed=seed,
        threads=2,
        flush_s=0.05,
        checkpoint_s=60,
        folder=str(folder / "checkpoints"),
        datasets=str(folder / "datasets"),
        mounted=str(folder / "mounted"),
        task={"probes": [], "spec": document},
    )
    run_request(request, CPU, listening)
    return listening.frames


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augment": (CROP, MIXUP), "sampler": {"kind": "balanced"}},
        {"shuffle": False, "batch_size": "full"},
        {"dataset": {"kind": "torchvision", "name": "CIFAR10", "folds": 2}, "seeds": (0, 7)},
    ],
)
@pytest.mark.parametrize("seed", [0, 7])
def test_a_preview_is_what_the_run_of_the_same_spec_and_seed_begins_with(
    folder: Path, changes: dict[str, Any], seed: int
) -> None:
    spec = spec_of(folder, **changes)
    started, reading, ended = previewed(folder, spec, seed)
    assert isinstance(started, Started)
    assert isinstance(reading, Reading)
    training = prepare(spec, seed, CPU, DatasetFolders(folder / "datasets", mounted=folder / "mounted"))
    start_readings.add_start_readings(training, is_fork=False)
    (theirs,) = [each for each in training.probes.readings if each.kind == "augmented_samples"]
    assert (reading.name, reading.step, json.loads(reading.payload)) == (theirs.kind, theirs.step, theirs.data)
    assert isinstance(ended, Ended)
    assert (ended.outcome, ended.step) == ("succeeded", 0)


def test_a_preview_builds_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was built")

    monkeypatch.setattr(MLP, "__init__", refuse)
    with pytest.raises(AssertionError, match="a model was built"):
        prepare(spec_of(folder), 0, CPU, DatasetFolders(folder / "datasets", mounted=folder / "mounted"))
    assert len(previewed(folder, spec_of(folder))) == 3


def test_a_preview_that_is_stopped_sends_no_picture(folder: Path) -> None:
    frames = previewed(folder, spec_of(folder), stop="cancel")
    assert [type(each) for each in frames] == [Started, Ended]
    assert isinstance(frames[1], Ended)
    assert frames[1].outcome == "cancelled"


def test_a_preview_of_files_that_are_gone_says_so(folder: Path) -> None:
    spec = spec_of(folder)
    for each in sorted((folder / "mounted").rglob("*"), reverse=True):
        each.unlink() if each.is_file() else each.rmdir()
    with pytest.raises(RunFailure) as failed:
        previewed(folder, spec)
    assert failed.value.kind == "dataset_missing"
