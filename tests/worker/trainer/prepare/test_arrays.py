"""The preparation of rows without columns by name: arrays of any shape, bundled and generated data, mounted tables."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import PowerTransformer

from service.errors import RunFailure
from service.ingest import inspect_file, mounted
from service.ingest.upload_files import IncomingUpload
from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.model_inputs import model_inputs
from service.storage.uploads import FolderUploads
from tests.ingest.mounted_files import mnist, save_to_disk, table
from worker.trainer.data.dataset_folders import NO_FOLDERS, DatasetFolders
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.split import split_dataset
from worker.trainer.loop import prepare
from worker.trainer.predict.rows import model_rows

CPU = torch.device("cpu")
DIVIDE = {"kind": "divide", "by": 16}


def spec(dataset: Any, **more: Any) -> Experiment:
    document = {
        "dataset": dataset,
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "batch_size": 8,
        "steps": 3,
    }
    return Experiment.model_validate(document | more)


def found_at(experiment: Experiment) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in find_problems(experiment)]


def uploaded(folder: Path, x: Any, **fields: Any) -> tuple[Upload, DatasetFolders]:
    """An NPZ file with the array `pixels`, resolved as the server does."""
    stream = io.BytesIO()
    np.savez(stream, pixels=x, y=np.arange(len(x)) * 1.0)
    incoming = IncomingUpload(folder)
    incoming.write(stream.getvalue())
    incoming.close()
    report = inspect_file(incoming.path)
    incoming.keep(FolderUploads(folder))
    basis = {"kind": "upload", "upload": "dat_" + "0" * 26, "predict": "y", "task": "regression"}
    made = Upload.model_validate(basis | {"scaling": "none", "target_scaling": "none"} | fields)
    resolved, problems = made.resolve(report, incoming.sha256)
    assert problems == []
    return made.model_copy(update={"resolved": resolved}), DatasetFolders(folder)


def rows_of(values: Any) -> Any:
    return values[:].numpy() if isinstance(values, MappedRows) else values


def test_pixels_are_divided_and_keep_their_shape() -> None:
    whole = {"kind": "digits", "scaling": "none"}
    made = spec(whole | {"prepare": (DIVIDE,)})
    assert [*find_problems(made), *find_warnings(made)] == []
    assert made.dataset.facts.shape == (1, 8, 8)
    plain, divided = split_dataset(spec(whole).dataset), split_dataset(made.dataset)
    for part in ("train", "validation"):
        np.testing.assert_array_equal(getattr(divided, part).x, getattr(plain, part).x / 16)
    scaled = split_dataset(spec(whole | {"scaling": "standardise"}).dataset).train.x
    both = split_dataset(made.dataset.model_copy(update={"scaling": "standardise"})).train.x
    np.testing.assert_array_equal(both, scaled)  # a power of two changes no digit


@pytest.mark.parametrize("resident", [2**30, 1], ids=["memory", "disk"])
def test_the_numbers_of_an_array_are_prepared_by_position(resident: int, tmp_path: Path) -> None:
    draw = np.random.RandomState(0)
    x = np.exp(draw.standard_normal((80, 2, 3)))
    x[::7, 1, 1] = np.nan  # feature 4
    steps = (
        {"kind": "impute", "strategy": "median"},
        {"kind": "power", "columns": ("4", "0")},
        {"kind": "log1p", "columns": ("2",)},
    )
    dataset, files = uploaded(tmp_path, x, prepare=steps)
    assert dataset.facts.shape == (2, 3)
    splits = split_dataset(dataset, replace(files, resident_bytes=resident))
    assert isinstance(splits.train.x, MappedRows) == (resident == 1)
    rows = {part: x[getattr(splits, part).y.astype(int)].reshape(-1, 6) for part in ("train", "validation")}
    imputer = SimpleImputer(strategy="median").fit(rows["train"])
    power = PowerTransformer(standardize=False).fit(imputer.transform(rows["train"])[:, [0, 4]])
    for part, given in rows.items():
        expected = imputer.transform(given)
        expected[:, [0, 4]] = power.transform(expected[:, [0, 4]])
        expected[:, 2] = np.log1p(expected[:, 2])
        np.testing.assert_allclose(rows_of(getattr(splits, part).x), expected.reshape(-1, 2, 3), rtol=1e-5)


def test_predictions_prepare_the_numbers_of_an_array_as_the_training_did(tmp_path: Path) -> None:
    x = np.exp(np.random.RandomState(0).standard_normal((40, 2, 3)))
    steps = (DIVIDE, {"kind": "power"})
    dataset, files = uploaded(tmp_path, x, prepare=steps, scaling="standardise")
    made = spec(dataset, loss={"kind": "mse"})
    training = prepare(made, 0, CPU, files)
    validation = split_dataset(dataset, files).validation
    rows = x[np.asarray(validation.y).astype(int)].tolist()
    found = model_rows(rows, model_inputs(made, training.fitted))
    np.testing.assert_allclose(found, validation.x, atol=1e-6)


def test_indicators_of_a_flat_array_are_further_features(tmp_path: Path) -> None:
    x = np.arange(60.0).reshape(20, 3)
    x[4, 1] = np.nan
    steps = ({"kind": "impute", "indicator": True},)
    dataset, files = uploaded(tmp_path, x, prepare=steps)
    assert dataset.facts.shape == (6,)  # the report counts the array's blanks, not each number's
    splits = split_dataset(dataset, files)
    np.testing.assert_array_equal(splits.train.x[:, 4], splits.train.y == 4)


def test_generated_rows_are_prepared_as_scikit_learn_does_it() -> None:
    dataset = spec({"kind": "friedman1", "rows": 200, "scaling": "none"}, loss={"kind": "mse"}).dataset
    plain = split_dataset(dataset)
    found = split_dataset(type(dataset).model_validate({**dataset.model_dump(), "prepare": ({"kind": "power"},)}))
    theirs = PowerTransformer(standardize=False).fit(plain.train.x.astype(np.float64))
    np.testing.assert_allclose(found.validation.x, theirs.transform(plain.validation.x.astype(np.float64)), rtol=1e-4)


def test_a_value_that_a_step_cannot_take_fails_the_run_with_its_feature() -> None:
    dataset = spec({"kind": "wine", "prepare": (DIVIDE, {"kind": "power", "method": "box_cox"})}).dataset
    assert np.isfinite(split_dataset(dataset).train.x).all()
    with pytest.raises(RunFailure, match="log1p takes values above -1, and the feature 1 of a row is -") as failed:
        split_dataset(spec({"kind": "blobs", "prepare": ({"kind": "log1p", "columns": ("1",)},)}).dataset, NO_FOLDERS)
    assert failed.value.kind == "spec_cannot_build"


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"kind": "iris", "prepare": ({"kind": "one_hot", "columns": ("0",)},)}, "unsuitable_column"),
        ({"kind": "iris", "prepare": ({"kind": "log1p", "columns": ("4",)},)}, "no_such_column"),
        ({"kind": "digits", "prepare": ({"kind": "log1p", "columns": ("3", "3")},)}, "repeated"),
    ],
)
def test_steps_that_no_array_fits_are_refused(dataset: Any, expected: str) -> None:
    (found,) = found_at(spec(dataset))
    assert found[1] == expected
    assert found[0].startswith("/dataset/prepare/0/columns/")


@pytest.mark.parametrize("step", [{"kind": "impute"}, {"kind": "one_hot"}])
def test_a_step_that_finds_nothing_to_do_is_told(step: Any) -> None:
    warned = find_warnings(spec({"kind": "iris", "prepare": (step,)}))
    assert [(problem.pointer, problem.code) for problem in warned] == [("/dataset/prepare/0", "no_effect")]


def test_columns_of_a_mounted_table_are_prepared_by_name(tmp_path: Path) -> None:
    made = table()
    save_to_disk(tmp_path / "mounted" / "things", made)
    given = {
        "kind": "huggingface",
        "path": "things",
        "predict": "label",
        "features": ("x", "z"),
        "task": "classification",
    }
    steps = ({"kind": "divide", "by": 4, "columns": ("z",)},)
    plain, divided = (
        mounted.resolve(tmp_path / "mounted", spec(given | {"scaling": "none", "prepare": prepared}))
        for prepared in ((), steps)
    )
    assert plain.dataset.model_dump()["resolved"]["columns"] == ()
    assert found_at(divided) == []
    files = DatasetFolders(tmp_path / "datasets", mounted=tmp_path / "mounted")
    before, after = (split_dataset(each.dataset, files).train.x for each in (plain, divided))
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    np.testing.assert_array_equal(after[:, 1], before[:, 1] / 4)
    array = mounted.resolve(tmp_path / "mounted", spec(given | {"features": ("pixels",), "prepare": (DIVIDE,)}))
    assert [found_at(array), array.dataset.facts.shape] == [[], (4, 3)]
    assert split_dataset(array.dataset, files).train.x.shape[1:] == (4, 3)


def test_images_of_bytes_take_no_steps(tmp_path: Path) -> None:
    mnist(tmp_path)
    images = mounted.resolve(tmp_path, spec({"kind": "torchvision", "name": "MNIST", "prepare": (DIVIDE,)}))
    assert found_at(images) == [("/dataset/prepare", "wrong_dataset")]
