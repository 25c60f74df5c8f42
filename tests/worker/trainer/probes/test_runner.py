"""Whoever watches changes nothing: curves and weights are those of a run that nobody watches, to the last bit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from service.spec.experiment import Experiment
from service.spec.probes import DEFAULT_PROBES
from service.spec.probes.inline import NormModes
from tests.worker.trainer.checkpoints.resume_matrix import Case, cases
from worker.trainer.checkpoints import checkpoint
from worker.trainer.data.dataset_folders import NO_FOLDERS, DatasetFolders
from worker.trainer.loop import Training, prepare, train
from worker.trainer.probes.inline.base import InlineProbe
from worker.trainer.probes.runner import ProbeRunner

CPU = torch.device("cpu")
WATCHED = tuple(probe.model_copy(update={"every_steps": 1}) for probe in (*DEFAULT_PROBES, NormModes()))
COUNT = 30  # of the resume matrix: every model, every family of optimizers, every way to make steps
PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": [7]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam"},
    "batch_size": 16,
    "steps": 40,
}
Curve = list[tuple[str, float]]


def trained(
    spec: Experiment, probes: tuple[Any, ...], files: DatasetFolders = NO_FOLDERS
) -> tuple[Curve, dict[str, Any]]:
    """Loss and rate of each step as texts that keep every bit, and the weights; whatever failed is told."""
    training = prepare(spec.model_copy(update={"probes": probes}), 0, CPU, files)
    curve = [(step.loss.item().hex(), step.lr) for step in train(training)]
    assert [told for told in training.probes.readings if "error" in told.data] == []
    return curve, {**training.model.state_dict(), "random": torch.get_rng_state()}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Case], DatasetFolders]:
    folder = tmp_path_factory.mktemp("files")
    return cases(COUNT, folder), DatasetFolders(folder)


@pytest.mark.parametrize("number", range(COUNT))
def test_a_watched_run_is_the_unwatched_one_to_the_last_bit(
    matrix: tuple[list[Case], DatasetFolders], number: int
) -> None:
    made, files = matrix
    spec = made[number].spec.model_copy(update={"steps": 8, "epochs": None})
    (plain, weights), (seen, same) = (trained(spec, probes, files) for probes in ((), WATCHED))
    assert seen == plain
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def made(probes: list[dict[str, Any]] | None = None, **changes: Any) -> Training:
    document = PLAIN | changes | ({} if probes is None else {"probes": probes})
    return prepare(Experiment.model_validate_json(json.dumps(document)), 0, CPU)


def names_at(training: Training, until: int | None = None) -> dict[int, set[str]]:
    found = {}
    for step in train(training):
        found[step.step] = {name for name in step.metrics or {} if not name.startswith("val/")}
        if step.step == until:
            break
    return found


def test_the_default_set_looks_from_the_first_step_to_the_last_and_less_often_later() -> None:
    seen = names_at(made())
    due = [step for step in seen if "grad_norm" in seen[step]]
    assert due == [*range(1, 17), 20, 24, 28, 32, 40]
    assert {"update_ratio/layers.0", "rate/q50", "cosine/momentum", "dead_share/layers.1"} <= seen[40]
    assert [step for step in seen if "cosine/gradient" in seen[step]] == due[1:]


def test_a_step_that_nobody_wants_is_not_looked_at() -> None:
    training = made([{"kind": "activations", "every_steps": 20}, {"kind": "gradients", "every_steps": 15}])
    asked = []
    for step in train(training):
        asked.append((step.step, training.probes.next_step))
        assert not any(module._forward_hooks for module in training.model.modules())
    assert [after for _, after in asked] == [15] * 14 + [20] * 5 + [30] * 10 + [40] * 10 + [41]
    assert made([]).probes.next_step == 0
    nobody = made([])
    next(iter(train(nobody)))
    assert nobody.probes.next_step == 41


def test_a_resumed_run_is_watched_at_the_same_steps_and_lacks_one_cosine_at_most(tmp_path: Path) -> None:
    whole = names_at(made())
    training = made()
    names_at(training, until=13)
    saved = checkpoint.save(tmp_path, training, {})
    again = made()
    checkpoint.load(saved.folder, saved.sha256, again)
    rest = names_at(again)
    assert rest[14] == whole[14] - {"cosine/gradient"}
    assert {step: rest[step] for step in range(15, 41)} == {step: whole[step] for step in range(15, 41)}
    assert again.probes.readings == []


class Broken(InlineProbe):
    """Cannot work with this model."""

    def after_backward(self, training: Any, step: int) -> None:
        raise RuntimeError("this model is beyond me")


def test_an_instrument_that_fails_is_told_once_and_the_training_goes_on() -> None:
    training = made([{"kind": "gradients"}])
    component = training.spec.probes[0]
    training.probes = ProbeRunner(training.spec)
    broken = Broken(component)
    broken.report = lambda step, data: None
    training.probes._probes.append(broken)
    seen = names_at(training)
    assert [(told.step, told.data) for told in training.probes.readings] == [
        (1, {"error": "RuntimeError: this model is beyond me"})
    ]
    assert "grad_norm" in seen[40]


def test_an_update_that_overflowed_is_not_measured() -> None:
    training = made(precision="fp16", optimizer={"kind": "sgd", "lr": 0.01})
    assert training.pipeline.precision.scaler is not None
    training.pipeline.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    training.pipeline.precision.scale = 2.0**127
    seen = names_at(training, until=3)
    assert seen == {1: set(), 2: set(), 3: set()}
    assert not any(module._forward_hooks for module in training.model.modules())


def test_an_optimizer_that_searches_is_looked_at_at_its_first_gradient() -> None:
    optimizer = {"kind": "lbfgs", "line_search_fn": "strong_wolfe"}
    seen = names_at(made(optimizer=optimizer, batch_size="full", steps=4))
    assert all({"grad_norm", "update_ratio", "activation/std/layers.1"} <= names for names in seen.values())
    assert "cosine/gradient" in seen[2]


CHEAP = ("sharpness", "critical_sharpness", "noise_scale", "critical_point", "slice", "range_test", "gradient_check")


def test_instruments_on_a_copy_leave_no_trace_either() -> None:
    plain = made([], steps=4).spec
    probes = made([{"kind": kind, "every_steps": 2} for kind in CHEAP], steps=4).spec.probes
    (curve, weights), (seen, same) = (trained(plain, each) for each in ((), probes))
    assert seen == curve
    assert all(torch.equal(weights[name], same[name]) for name in weights)
