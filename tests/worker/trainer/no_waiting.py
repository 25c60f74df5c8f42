"""No step waits for the device, on a simulated one: each optimizer, mechanic, probe, model, task and schedule.

A training's first step may wait, to allocate and to start; steps after it may not, in the first process or a resumed
one. `WAITING` names what does all the same, and why.
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from service.spec import losses, optimizers, schedules
from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.losses import Task
from service.spec.metrics import fitting_metrics
from service.spec.probes import inline
from service.spec.probes.base import ProbeBase
from tests.contract.test_catalog import REQUIRED
from tests.ingest.mounted_files import mnist
from tests.worker.trainer.checkpoints.resume_matrix import (
    DIABETES,
    DIGITS,
    IRIS,
    MECHANICS,
    MODELS,
    NOTHING,
    OPTIMIZERS,
    SCHEDULES,
    SPARSE,
    TABLE,
    stored_text,
)
from tests.worker.trainer.data.test_mounted import resolved
from tests.worker.trainer.simulated_device import NoEvent, Simulation, simulated_device
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.memory_mapped import MappedRows, PackedRows
from worker.trainer.loop import Training, prepare, train
from worker.trainer.recorder import DeviceRecorder

Document = dict[str, Any]
MEASURED = 4  # steps after the first; two epochs of two batches
PLAIN: Document = {
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 40,
    "evaluate": {"every_steps": 1000},
    **IRIS,
    "batch_size": 60,
}
BINARY: Document = {"dataset": {"kind": "breast_cancer"}, "batch_size": 200}
TEXT: Document = {"dataset": {"kind": "text"}, "batch_size": 30, "model": {"kind": "sequential", "layers": TABLE}}
WRITER = {"kind": "transformer", "width": 16, "layers": 1, "vocabulary": 6, "causal": True, "outputs_at": "every"}
LOG_SOFTMAX = [{"layer": "Linear", "out_features": 3}, {"layer": "LogSoftmax"}]

MERGES = "torch merges the rows of a sparse gradient, whose number it reads"
# the part of a spec that waits in each step, and why
WAITING = {
    "optimizer lbfgs": "its line search and its end depend on losses and gradients",
    "mechanics fp16": "whether the update is skipped, and the schedule stands still, is read once a step",
    "mechanics grad_norm_below": "it compares the norm of each step, as its description says",
    "optimizer adamw+sparse_adam": MERGES,
    "optimizer sparse adagrad": MERGES,
    **{f"optimizer {name}": "the package reads norms or copies scalars" for name in ("adamp", "avagrad", "laprop")},
    **{f"optimizer {name}": "the package reads norms or copies scalars" for name in ("prodigy", "sgdp", "swats")},
}


def every_optimizer() -> Iterator[tuple[str, Document]]:
    for chosen in OPTIMIZERS:
        kind = chosen["optimizer"]
        whole = kind["kind"] in ("lbfgs", "rprop")
        name = kind.get("name", kind["kind"]) + "+".join(["", *(k for k in kind if k not in ("kind", "name", "lr"))])
        name = name if len(kind) > 1 and kind["kind"] not in ("pytorch_optimizer", "lbfgs") else name.partition("+")[0]
        if "groups" in chosen:
            name += "+" + chosen["groups"][0]["optimizer"]["kind"]
        yield f"optimizer {name}", chosen | ({"batch_size": "full"} if whole else {})
    yield "optimizer adamw+sparse_adam", TEXT | SPARSE
    for kind in ("sgd", "adagrad"):
        yield f"optimizer sparse {kind}", TEXT | {"optimizer": {"kind": kind}}


def every_mechanic() -> Iterator[tuple[str, Document]]:
    named = [*MECHANICS[1:], {"clip": {"norm": 0.1}}, {"clip": {"value": 0.01}}, {"accumulate": 2}]
    named += [{"average": {"kind": "swa", "start": 2, "every_steps": 1}}, {"stop": {"seconds": 1e6}}]
    named += [{"stop": {"grad_norm_below": 1e-9}}]
    for document in named:
        words = [document["precision"]] if "precision" in document else list(document)
        words += [each["kind"] for each in document.values() if isinstance(each, dict) and "kind" in each]
        words += list(document.get("clip", {})) + list(document.get("stop", {}))
        yield f"mechanics {'+'.join(word for word in words if word not in ('average', 'stop'))}", document
    averaging = {"optimizer": {"kind": "asgd", "t0": 2.0}, "average": {"kind": "asgd"}}
    yield "mechanics average asgd", averaging
    rules = [{"match": {"dim": 1}, "lr": 0.5}, {"match": {"name": "0.*"}, "optimizer": {"kind": "adamw"}}]
    yield "mechanics groups", {"groups": rules[:1], "clip": {"norm": 1.0}}


def every_probe() -> Iterator[tuple[str, Document]]:
    kinds = [each for each in vars(inline).values() if isinstance(each, type) and issubclass(each, ProbeBase)]
    for kind in (each.model_fields["kind"].default for each in kinds if each is not ProbeBase):
        norms = {"kind": "mlp", "hidden": [8], "norm": "batch"}
        document = {"probes": [{"kind": kind, "every_steps": 1}], "model": norms, "optimizer": {"kind": "adam"}}
        if kind == "samples":  # an evaluation writes them token by token; the steps between must not wait
            document |= TEXT | {"model": WRITER}
        yield f"probe {kind}", document | {"accumulate": 2}


def every_model() -> Iterator[tuple[str, Document]]:
    for model, data in MODELS:
        tables = {"digits": 700, "iris": 60, "diabetes": 160}
        rows = tables.get(data["dataset"]["kind"])
        loss = {"diabetes": "mse", "none": "objective"}.get(data["dataset"]["kind"], "cross_entropy")
        batch = {"batch_size": rows} if rows else {}
        data = TEXT if data["dataset"]["kind"] == "text" else data
        yield (
            f"model {model['kind']} on {data['dataset']['kind']}",
            data
            | batch
            | {
                "model": model,
                "loss": {"kind": loss},
            },
        )


def every_task() -> Iterator[tuple[str, Document]]:
    for kind in [each.model_fields["kind"].default for each in get_args(get_args(losses.Loss)[0])]:
        if kind == "objective":
            data: Document = NOTHING | {"model": {"kind": "beale"}}
        elif kind in ("bce_with_logits", "hinge", "soft_margin"):
            data = BINARY
        elif kind == "poisson_nll":
            data = DIABETES | {"dataset": {"kind": "diabetes", "target_scaling": "none"}}
        else:
            regression = kind in ("mse", "mae", "huber", "smooth_l1", "gaussian_nll")
            data = DIABETES | {"batch_size": 160} if regression else IRIS | {"batch_size": 60}
        if kind == "nll":
            data = data | {"model": {"kind": "sequential", "layers": LOG_SOFTMAX}}
        yield f"task {kind}", data | {"loss": {"kind": kind} | REQUIRED.get(kind, {})}
    yield "task weights and ignored", {"loss": {"kind": "cross_entropy", "weight": [1.0, 2.0, 3.0]}, "accumulate": 2}
    yield "task language", TEXT
    yield "task digits", DIGITS | {"batch_size": 700}


def every_schedule() -> Iterator[tuple[str, Document]]:
    kinds = [each.model_fields["kind"].default for each in get_args(get_args(schedules.Schedule)[0])]
    examples = {kind: {"kind": kind} | REQUIRED.get(kind, {}) for kind in kinds}
    for schedule in [*examples.values(), *SCHEDULES]:
        yield f"schedule {schedule['kind']}", {"schedule": schedule}


SPECS = dict(
    pair
    for family in (every_optimizer, every_mechanic, every_probe, every_model, every_task, every_schedule)
    for pair in family()
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, DatasetFolders]:
    folder = tmp_path_factory.mktemp("uploads")
    return stored_text(folder), DatasetFolders(folder)


def experiment_of(changes: Document, text: Document) -> Experiment:
    if changes.get("dataset", {}).get("kind") == "text":
        changes = changes | {"dataset": text}
    spec = Experiment.model_validate_json(json.dumps(PLAIN | changes))
    assert not find_problems(spec)
    return spec


def waits_after_the_first_step(training: Training, simulation: Simulation, device: torch.device) -> list[str]:
    """The waits of `MEASURED` steps and of recording them."""
    recorder = DeviceRecorder(training.step + 1, None, device, event=NoEvent)
    last, before = training.step + 1 + MEASURED, 0
    for step in train(training):
        recorder.record(step)
        before = before or len(simulation.waits)
        assert step.step <= last
        if step.step == last:
            break
    return simulation.waits[before:]


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", SPECS)
def test_no_step_waits(name: str, text: tuple[Document, DatasetFolders]) -> None:
    spec = experiment_of(SPECS[name], text[0])
    with simulated_device() as (simulation, device):
        first = prepare(spec, 0, device, text[1])
        fresh = waits_after_the_first_step(first, simulation, device)
        state = first.state()
        resumed = prepare(spec, 0, device, text[1])
        resumed.load(state)
        later = waits_after_the_first_step(resumed, simulation, device)
    if name in WAITING:
        assert fresh, f"{name} no longer waits: take it off the list"
    else:
        assert fresh == []
        assert later == [], "only after a resume"


@pytest.mark.parametrize("resident_bytes", [0, 2**30])
@pytest.mark.parametrize("scaling", ["none", "standardise"])
def test_rows_on_disk_and_packed_bytes_wait_for_nothing(resident_bytes: int, scaling: str, tmp_path: Path) -> None:
    files = DatasetFolders(tmp_path / "rows", resident_bytes, tmp_path / "mounted")
    mnist(tmp_path / "mounted")
    data = {"kind": "torchvision", "name": "MNIST", "scaling": scaling}
    rest = {"model": {"kind": "linear"}, "batch_size": 30, "steps": 12, "evaluate": {"every_steps": 3}}
    spec = resolved(tmp_path / "mounted", data, **rest)
    expected = [step.loss.item() for step in train(prepare(spec, 0, torch.device("cpu"), files))]
    with simulated_device() as (simulation, device):
        training = prepare(spec, 0, device, files)
        assert isinstance(training.batches.x, PackedRows if resident_bytes else MappedRows)
        for table in (training.batches.x, training.validation and training.validation.x):
            assert (table.packed if isinstance(table, PackedRows) else table.source).dtype in (torch.uint8, np.uint8)
        found, waits = [], 0
        for step in train(training):
            waits = waits or len(simulation.waits)
            found.append(step.loss)
            if step.step == 11:
                break  # the last step copies the test split to the device
        assert simulation.waits[waits:] == []
        assert [loss.item() for loss in found] == pytest.approx(expected[:11], rel=1e-5)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("kinds", [("horizontal_flip", "crop", "mixup", "cutmix"), ("crop", "color_jitter", "mixup")])
@pytest.mark.parametrize("resident_bytes", [0, 2**30])
def test_augmented_images_wait_for_nothing(kinds: tuple[str, ...], resident_bytes: int, tmp_path: Path) -> None:
    files = DatasetFolders(tmp_path / "rows", resident_bytes, tmp_path / "mounted")
    mnist(tmp_path / "mounted")
    fields = {"crop": {"padding": 2}, "color_jitter": {"brightness": 0.5}}
    rest: Document = {"model": {"kind": "linear"}, "batch_size": 30, "steps": 12, "evaluate": {"every_steps": 3}}
    augment = tuple({"kind": kind} | fields.get(kind, {}) for kind in kinds)
    rest |= {"augment": augment, "resources": {"loader_processes": 0}}
    spec = resolved(tmp_path / "mounted", {"kind": "torchvision", "name": "MNIST"}, **rest)
    with simulated_device() as (simulation, device):
        waits = waits_after_the_first_step(training := prepare(spec, 0, device, files), simulation, device)
        found = [training.batches.batch(step) for step in (7, 8)]
        assert waits == []
    assert all(x.device == y.device == training.device for x, y in found)


def test_the_list_has_every_optimizer_and_no_unknown_name() -> None:
    kinds = {each.model_fields["kind"].default for each in get_args(get_args(optimizers.Optimizer)[0])}
    assert kinds - {"pytorch_optimizer"} <= {word for name in SPECS for word in name.split()[-1].split("+")}
    assert WAITING.keys() <= SPECS.keys()
    assert len(SPECS) > 100


def test_an_evaluation_waits_only_for_a_rule_that_decides_by_it() -> None:
    every = {"evaluate": {"every_steps": 1}, "average": {"kind": "swa", "start": 2, "every_steps": 1}}
    every |= {"model": {"kind": "mlp", "hidden": [8], "norm": "batch"}, "clip": {"norm": 1.0}}
    with simulated_device() as (simulation, device):
        plain = waits_after_the_first_step(prepare(experiment_of(every, {}), 0, device), simulation, device)
        ruled = every | {"stop": {"patience": {"series": "val/loss", "evaluations": 30}}}
        decided = waits_after_the_first_step(prepare(experiment_of(ruled, {}), 0, device), simulation, device)
    assert plain == []
    assert len(decided) == MEASURED


@pytest.mark.parametrize("task", ["classification", "regression", "language"])
def test_metrics_wait_for_nothing(task: Task, text: tuple[Document, DatasetFolders]) -> None:
    values: Document = DIABETES | {"batch_size": 160, "loss": {"kind": "mse"}}
    data = {"regression": values, "language": TEXT}.get(task, {})
    named = [{"kind": kind} | ({"top_k": 2} if kind == "accuracy" else {}) for kind in fitting_metrics(task)]
    spec = experiment_of(data | {"evaluate": {"every_steps": 1, "train": True}, "metrics": named}, text[0])
    with simulated_device() as (simulation, device):
        assert waits_after_the_first_step(prepare(spec, 0, device, text[1]), simulation, device) == []


def test_the_simulation_trains_as_the_cpu_does() -> None:
    spec = experiment_of(
        {"optimizer": {"kind": "rmsprop"}, "model": {"kind": "mlp", "hidden": [8], "norm": "batch"}}, {}
    )
    expected = [step.loss.item() for step in train(prepare(spec, 3, torch.device("cpu")))]
    with simulated_device() as (_, device):
        found = [step.loss.item() for step in train(prepare(spec, 3, device))]
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_simulation_sees_each_kind_of_wait() -> None:
    with simulated_device() as (simulation, device):
        values = torch.arange(4.0).to(device)
        pinned = torch.ones(4).pin_memory()
        expected = [(lambda: pinned.to(device, non_blocking=True), 0), (lambda: values * 2.0, 0)]
        expected += [(lambda: values.masked_fill_(values > 2, 0.0), 0), (lambda: torch.zeros(3, device=device), 0)]
        expected += [(values.sum().item, 1), (values.cpu, 1), (values.nonzero, 1)]
        expected += [(lambda: values[values > 1], 1), (lambda: bool(values[0] > 1), 1)]
        expected += [(lambda: torch.tensor(1.0, device=device), 1), (lambda: torch.ones(2).to(device), 1)]
        expected += [(lambda: torch.ones(2).to(device, non_blocking=True), 1)]  # not from pinned memory
        for number, (act, waits) in enumerate(expected):
            before = len(simulation.waits)
            act()
            assert len(simulation.waits) - before == waits, number
        with pytest.raises(AssertionError, match="mixes devices"):
            values + torch.ones(4)
