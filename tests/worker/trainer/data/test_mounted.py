"""Rows of a mounted folder: as the files have them, in memory and from disk, or the run says why not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.errors import RunFailure
from service.ingest import mounted
from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from tests.ingest.mounted_files import cifar, dictionary, mnist, parquet, save_to_disk, table
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.split import load, split_dataset
from worker.trainer.failures import REUSABLE_AFTER
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")


def resolved(root: Path, dataset: dict[str, Any], **changes: Any) -> Experiment:
    document = {
        "dataset": dataset,
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "mse" if dataset.get("task") == "regression" else "cross_entropy"},
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "batch_size": 16,
        "steps": 20,
    }
    spec = mounted.resolve(root, Experiment.model_validate(document | changes))
    assert find_problems(spec) == []
    return spec


@pytest.fixture
def files(tmp_path: Path) -> DatasetFolders:
    return DatasetFolders(tmp_path / "datasets", mounted=tmp_path / "mounted")


@pytest.mark.parametrize("packed", [False, True])
def test_images_come_back_byte_by_byte_the_sets_own_test_rows_last(packed: bool, files: DatasetFolders) -> None:
    assert files.mounted is not None
    x, y = mnist(files.mounted, packed=packed)
    dataset = resolved(files.mounted, {"kind": "torchvision", "name": "MNIST"}).dataset
    found = load(dataset, files)
    assert (found[0].dtype, found[1].dtype) == (np.uint8, np.int64)
    assert (found[0] == x[:, None]).all()
    assert (found[1] == y).all()
    parts = split_dataset(dataset.model_copy(update={"scaling": "none"}), files)
    assert [len(part.x) for part in (parts.train, parts.validation, parts.test)] == [48, 12, 20]
    assert isinstance(parts.test.x, MappedRows)
    assert (parts.test.x[:].numpy() == x[60:, None]).all()
    assert parts.test.x[:].dtype == torch.float32
    assert (np.bincount(np.asarray(parts.validation.y)) > 0).all()  # stratified


@pytest.mark.parametrize(("name", "labels"), [("CIFAR10", 1), ("CIFAR100", 2)])
def test_cifars_planes_and_fine_labels_come_back(name: str, labels: int, files: DatasetFolders) -> None:
    assert files.mounted is not None
    x, y = cifar(files.mounted, labels, 20 if labels == 1 else 120)
    dataset = resolved(files.mounted, {"kind": "torchvision", "name": name, "validation": 0.0}).dataset
    found = load(dataset, files)
    assert (found[0] == x).all()
    assert (found[1] == y).all()


@pytest.mark.parametrize("resident", [0, 2**30])
@pytest.mark.parametrize("write", [dictionary, parquet])
def test_arrays_and_class_labels_of_both_layouts_come_back(write: Any, resident: int, files: DatasetFolders) -> None:
    assert files.mounted is not None
    write(files.mounted / "set")
    data = {"kind": "huggingface", "path": "set", "predict": "label", "task": "classification"}
    dataset = resolved(files.mounted, data | {"features": ("pixels",), "test_split": "test"}).dataset
    x, y = load(dataset, DatasetFolders(files.folder, resident, files.mounted))
    whole = [table(), table(12, 1)]
    assert (x == np.concatenate([np.array(part["pixels"].to_pylist(), np.float32) for part in whole])).all()
    assert (y == np.concatenate([part["label"].to_numpy() for part in whole])).all()
    assert isinstance(x, np.memmap) == (resident == 0)
    parts = split_dataset(dataset, DatasetFolders(files.folder, resident, files.mounted))
    assert isinstance(parts.train.x, MappedRows) == (resident == 0)
    assert len(parts.test.x) == 12


def test_columns_side_by_side_words_as_classes_and_values(files: DatasetFolders) -> None:
    assert files.mounted is not None
    save_to_disk(files.mounted / "set", table())
    data = {"kind": "huggingface", "path": "set", "features": ("x", "z")}
    words = resolved(files.mounted, data | {"predict": "word", "task": "classification"}).dataset
    x, y = load(words, files)
    assert (x[:, 1] == table()["z"].to_numpy()).all()
    assert [words.resolved.classes[i] for i in y] == table()["word"].to_pylist()  # type: ignore[union-attr]
    values = resolved(files.mounted, data | {"features": ("x",), "predict": "z", "task": "regression"}).dataset
    assert (load(values, files)[1] == table()["z"].to_numpy()).all()


def test_a_run_on_images_trains_and_measures_the_sets_own_test_part(files: DatasetFolders) -> None:
    assert files.mounted is not None
    mnist(files.mounted)
    model = {"kind": "cnn", "channels": (4,)}
    spec = resolved(files.mounted, {"kind": "torchvision", "name": "MNIST"}, model=model, batch_size=16)
    steps = list(train(prepare(spec, 0, CPU, files)))
    assert {"test/loss", "test/accuracy"} <= set(steps[-1].metrics or {})
    assert all(torch.isfinite(step.loss) for step in steps)


def test_a_gap_in_a_column_is_said_by_its_name(files: DatasetFolders) -> None:
    assert files.mounted is not None
    made = table()
    gap = made.set_column(1, "x", [[None, *([1.0] * 29)]])
    save_to_disk(files.mounted / "set", gap.cast(made.schema))
    data = {"kind": "huggingface", "path": "set", "predict": "label", "task": "classification", "features": ("x",)}
    with pytest.raises(ValueError, match="column x has missing"):
        load(resolved(files.mounted, data).dataset, files)


def failure(spec: Experiment, files: DatasetFolders) -> str:
    with pytest.raises(RunFailure) as caught:
        load(spec.dataset, files)
    assert caught.value.kind in REUSABLE_AFTER
    return caught.value.kind


def test_a_worker_whose_folder_is_absent_or_another_says_so(files: DatasetFolders, tmp_path: Path) -> None:
    assert files.mounted is not None
    mnist(files.mounted)
    spec = resolved(files.mounted, {"kind": "torchvision", "name": "MNIST"})
    assert failure(spec, DatasetFolders(files.folder)) == "dataset_missing"
    assert failure(spec, DatasetFolders(files.folder, mounted=tmp_path)) == "dataset_missing"
    mnist(tmp_path / "other", test=10)
    assert failure(spec, DatasetFolders(files.folder, mounted=tmp_path / "other")) == "dataset_changed"
