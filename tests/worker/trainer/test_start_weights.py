"""Start weights: a run begins exactly there, a new head apart, and a file that does not fit fails before any step."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from service.errors import RunFailure
from service.ingest import inspect_file
from service.ingest.upload_files import IncomingUpload
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.start_weights import StartWeights
from service.storage.uploads import FolderUploads
from worker.trainer.checkpoints import checkpoint
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import Training, prepare, train
from worker.trainer.optional_imports import import_optional
from worker.trainer.probes.model_copy import ModelCopy

CPU = torch.device("cpu")
ID = "dat_" + "0" * 26
LIBRARY: dict[str, Any] = {"dataset": {"kind": "digits"}, "model": {"kind": "timm", "name": "resnet10t"}}
NORMED: dict[str, Any] = {"model": {"kind": "mlp", "hidden": (8, 8), "norm": "batch"}}
Start = Callable[..., Experiment]


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    return DatasetFolders(tmp_path)


@pytest.fixture
def started(experiment: Any, files: DatasetFolders) -> Start:
    """An experiment that starts from these tensors, stored and resolved as the server does."""

    def make(tensors: dict[str, Tensor], head: str = "keep", **changes: Any) -> Experiment:
        assert files.folder is not None
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, files.folder / "new")
        sha256 = hashlib.sha256((files.folder / "new").read_bytes()).hexdigest()
        (files.folder / sha256).mkdir(exist_ok=True)
        report = inspect_file(files.folder / "new", None)
        (files.folder / "new").rename(files.folder / sha256 / "content")
        start = StartWeights(upload=ID, head=head)
        resolved, problems = start.resolve(report, sha256, None)
        assert problems == []
        made: Experiment = experiment(**changes)
        return made.model_copy(update={"start": start.model_copy(update={"resolved": resolved})})

    return make


def weights_of(experiment: Experiment, seed: int) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in prepare(experiment, seed, CPU).model.state_dict().items()}


def first_loss(training: Training) -> float:
    return next(iter(train(training))).loss.item()


def test_the_first_loss_of_a_library_model_is_torchs_with_the_given_weights(
    experiment: Any, started: Start, files: DatasetFolders
) -> None:
    timm = import_optional("timm")
    torch.manual_seed(7)
    own = timm.create_model("resnet10t", pretrained=False, num_classes=10, in_chans=1)
    training = prepare(started(own.state_dict(), **LIBRARY), 0, CPU, files)
    x, y = training.batches.batch(1)
    expected = nn.functional.cross_entropy(own.train()(x), y)
    assert first_loss(training) == expected.item()
    assert first_loss(prepare(experiment(**LIBRARY), 0, CPU)) != expected.item()


def test_a_new_head_keeps_its_own_initialisation_and_other_classes_fit(
    experiment: Any, started: Start, files: DatasetFolders
) -> None:
    given = weights_of(experiment(**NORMED), 5)
    given["layers.6.weight"], given["layers.6.bias"] = torch.zeros(7, 8), torch.zeros(7)
    found = weights_of_start(started(given, "new", **NORMED), files)
    fresh = weights_of(experiment(**NORMED), 0)
    for name in found:
        assert torch.equal(found[name], (fresh if name.startswith("layers.6.") else given)[name]), name
    assert any(not torch.equal(given[name], fresh[name]) for name in given if name.startswith("layers.0."))


def weights_of_start(experiment: Experiment, files: DatasetFolders) -> dict[str, Tensor]:
    return prepare(experiment, 0, CPU, files).model.state_dict()


def test_statistics_and_half_precision_are_taken_over(experiment: Any, started: Start, files: DatasetFolders) -> None:
    given = weights_of(experiment(**NORMED), 5)
    given["layers.1.running_mean"] += 3
    half = {name: value.half() if value.is_floating_point() else value for name, value in given.items()}
    found = weights_of_start(started(half, **NORMED), files)
    assert all(torch.equal(value, half[name].to(value.dtype)) for name, value in found.items())


def test_the_hash_is_of_the_file_and_not_of_the_upload(experiment: Any, started: Start) -> None:
    given = weights_of(experiment(), 5)
    one = started(given)
    assert one.start is not None
    other_id = one.start.model_copy(update={"upload": "dat_" + "1" * 26})
    assert one.model_copy(update={"start": other_id}).hash == one.hash
    assert experiment().hash != one.hash != started(given, "new").hash
    assert started({name: value + 1 for name, value in given.items()}).hash != one.hash
    assert Experiment.model_validate_json(one.model_dump_json()).hash == one.hash


def test_a_resumed_run_equals_an_uninterrupted_one_with_frozen_layers(
    experiment: Any, started: Start, files: DatasetFolders, tmp_path: Path
) -> None:
    frozen = ({"match": {"name": "layers.0.*"}, "freeze": True},)
    given = weights_of(experiment(**NORMED), 5)
    spec = started(given, "new", groups=frozen, steps=12, **NORMED)
    whole = prepare(spec, 0, CPU, files)
    losses = [step.loss.item() for step in train(whole)]
    first = prepare(spec, 0, CPU, files)
    for step in train(first):
        if step.step == 5:
            break
    saved = checkpoint.save(tmp_path / "run", first, {})
    again = prepare(spec, 0, CPU, files)
    checkpoint.load(saved.folder, saved.sha256, again)
    assert [step.loss.item() for step in train(again)] == losses[5:]
    assert torch.equal(again.model.state_dict()["layers.0.weight"], given["layers.0.weight"])
    assert not torch.equal(again.model.state_dict()["layers.3.weight"], given["layers.3.weight"])


def test_probes_that_look_at_the_beginning_see_the_start_weights(
    experiment: Any, started: Start, files: DatasetFolders
) -> None:
    given = weights_of(experiment(), 5)
    training = prepare(started(given), 0, CPU, files)
    list(train(training))
    copy = ModelCopy(training)
    expected = torch.cat([given[name].flatten() for name in copy.names])
    assert torch.equal(copy.initial(), expected.to(copy.dtype))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers.0.weight": torch.zeros(3, 4)}, r"layers.0.weight is \[3, 4\] in the file, not \[8, 4\]"),
        ({"layers.1.running_var": None}, "layers.1.running_var is not in the file"),
        ({"extra.weight": torch.zeros(1)}, "extra.weight is not in the model"),
        ({"layers.0.bias": torch.zeros(8, dtype=torch.int32)}, "layers.0.bias holds int32 in the file"),
        ({"layers.0.bias": torch.full((8,), torch.nan)}, "layers.0.bias has 8 of 8 values in the file that are NaN"),
        ({"layers.1.running_var": torch.tensor([torch.inf] * 8)}, "layers.1.running_var has 8 of 8 values"),
    ],
)
def test_a_file_that_does_not_fit_fails_before_any_step(
    change: dict[str, Tensor | None], said: str, experiment: Any, started: Start, files: DatasetFolders
) -> None:
    given = weights_of(experiment(**NORMED), 5) | change
    spec = started({name: value for name, value in given.items() if value is not None}, **NORMED)
    with pytest.raises(RunFailure, match=said):
        prepare(spec, 0, CPU, files)


def test_a_mounted_file_is_the_start_and_its_change_is_told(
    experiment: Any, started: Start, files: DatasetFolders, tmp_path: Path
) -> None:
    spec = started(weights_of(experiment(), 5))
    assert spec.start is not None
    assert files.folder is not None
    content = files.folder / spec.start.found.sha256 / "content"
    mounted = replace(files, folder=None, mounted=tmp_path / "nets")
    (tmp_path / "nets").mkdir()
    path = tmp_path / "nets" / "five.safetensors"
    path.write_bytes(content.read_bytes())
    start = spec.start.model_copy(update={"upload": None, "mounted": "five.safetensors"})
    own = spec.model_copy(update={"start": start})
    assert own.hash == spec.hash
    assert first_loss(prepare(own, 0, CPU, mounted)) == first_loss(prepare(spec, 0, CPU, files))
    path.write_bytes(content.read_bytes()[:-1] + b"x")
    with pytest.raises(RunFailure, match=r"the mounted file five.safetensors is not what it was"):
        prepare(own, 0, CPU, mounted)
    path.unlink()
    with pytest.raises(RunFailure, match=r"the mounted folder has no file five.safetensors"):
        prepare(own, 0, CPU, mounted)
    with pytest.raises(RunFailure, match="mounts no folder"):
        prepare(own, 0, CPU, files)


def test_a_changed_or_missing_file_is_told(experiment: Any, started: Start, files: DatasetFolders) -> None:
    spec = started(weights_of(experiment(), 5))
    assert spec.start is not None
    assert files.folder is not None
    content = files.folder / spec.start.found.sha256 / "content"
    content.write_bytes(content.read_bytes() + b"x")
    with pytest.raises(RunFailure, match="is not what it was"):
        prepare(spec, 0, CPU, files)
    content.unlink()
    with pytest.raises(RunFailure, match="is not in this worker's data folder"):
        prepare(spec, 0, CPU, files)


RATES = {"head": 0.01, "last": 0.003, "middle": 0.001, "first": 0.0003}  # each a fraction of the next one's


@pytest.mark.parametrize(
    ("kind", "name", "head", "channels"), [("torchvision", "resnet18", "fc", 3), ("timm", "resnet10t", "fc", 1)]
)
def test_a_library_model_is_fine_tuned_with_rates_by_layer_as_by_hand(
    kind: str, name: str, head: str, channels: int, started: Start, files: DatasetFolders
) -> None:
    dataset = small_images(files, channels)
    model = {"kind": kind, "name": name}
    rules: list[dict[str, Any]] = [
        {"match": {"name": f"{head}.*"}, "name": "head"},
        {"match": {"name": "layer4.*"}, "name": "last", "lr": RATES["last"]},
        {"match": {"name": "layer[23].*"}, "name": "middle", "lr": RATES["middle"], "norm_statistics": "frozen"},
        {"match": {"name": "*"}, "name": "first", "lr": RATES["first"], "norm_statistics": "frozen"},
    ]
    rules[2] |= {"freeze": True, "unfreeze_at": 4}
    rules[3] |= {"freeze": True, "unfreeze_at": 6}
    given = pretrained(kind, name, channels)
    changes = {
        "dataset": dataset,
        "model": model,
        "groups": tuple(rules),
        "optimizer": {"kind": "adamw", "lr": RATES["head"]},
    }
    training = prepare(started(given, head="new", steps=8, batch_size=12, **changes), 0, CPU, files)
    torch.manual_seed(0)
    own = library_model(kind, name, channels, classes=4)
    own.load_state_dict({n: v for n, v in given.items() if not n.startswith(f"{head}.")}, strict=False)
    losses = fine_tuned(own, training, head)
    assert [step.loss.item() for step in train(training)] == losses
    for (known, ours), (_, theirs) in zip(training.model.state_dict().items(), own.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), known


def small_images(files: DatasetFolders, channels: int) -> Upload:
    """An upload of 60 digits of four classes, as images of 16 x 16."""
    from sklearn.datasets import load_digits

    rows, digits = load_digits(return_X_y=True)
    rows, digits = rows[digits > 5][:60], digits[digits > 5][:60]
    image = np.kron(rows.reshape(-1, 1, 8, 8) / 16, np.ones((1, channels, 2, 2))).astype(np.float32)
    sink = io.BytesIO()
    np.savez(sink, image=image, digit=digits)
    assert files.folder is not None
    incoming = IncomingUpload(files.folder)
    incoming.write(sink.getvalue())
    incoming.close()
    report = inspect_file(incoming.path, None)
    incoming.keep(FolderUploads(files.folder))
    made = Upload(upload=ID, predict="digit", features=("image",), task="classification", scaling="none")
    resolved, problems = made.resolve(report, incoming.sha256)
    assert problems == []
    return made.model_copy(update={"resolved": resolved})


def library_model(kind: str, name: str, channels: int, classes: int) -> nn.Module:
    if kind == "torchvision":
        made: nn.Module = import_optional("torchvision").models.get_model(name, weights=None, num_classes=classes)
    else:
        made = import_optional("timm").create_model(name, pretrained=False, num_classes=classes, in_chans=channels)
    return made


def pretrained(kind: str, name: str, channels: int) -> dict[str, Tensor]:
    """Weights after a few updates on other images, of six classes."""
    torch.manual_seed(7)
    model = library_model(kind, name, channels, classes=6).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.rand(12, channels, 16, 16)), torch.arange(12) % 6).backward()
        optimizer.step()
    return model.state_dict()


def fine_tuned(model: nn.Module, training: Training, head: str) -> list[float]:
    """Train by hand: the head and the last stage at once, the middle at update 4, the rest at 6."""
    stages = {"head": [head], "last": ["layer4"], "middle": ["layer2", "layer3"]}
    of = {n: next((k for k, v in stages.items() if n.split(".")[0] in v), "first") for n, _ in model.named_modules()}
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in RATES}
    for name, parameter in model.named_parameters():
        groups[of[name.rpartition(".")[0]]].append(parameter.requires_grad_(of[name.rpartition(".")[0]] in "head last"))
    optimizer = torch.optim.AdamW([{"params": groups[k], "lr": RATES[k]} for k in ("head", "last")], fused=True)
    losses = []
    for step in range(1, 9):
        for name, at in (("middle", 4), ("first", 6)):
            if step == at:
                trained = [parameter.requires_grad_(True) for parameter in groups[name]]
                optimizer.add_param_group({"params": trained, "lr": RATES[name]})
        model.train()
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d) and of[name] in ("middle", "first"):
                module.eval()
        x, y = training.batches.batch(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
