"""The preparation of a table: equal to scikit-learn's, fitted on the training rows, from memory and from disk alike."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, PowerTransformer, StandardScaler

from service.ingest import inspect_file, without_incomplete_rows
from service.ingest.upload_files import IncomingUpload
from service.spec.checks.metrics import measured_series
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.model_inputs import model_inputs
from service.spec.parse.defaults import fill_defaults
from service.spec.prediction_rows import read_rows
from service.spec.preparation import PreparationStep
from service.storage.uploads import FolderUploads
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.stored_model import StoredModel
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.memory_mapped import MappedRows
from worker.trainer.data.split import Splits, split_dataset
from worker.trainer.loop import prepare, train
from worker.trainer.predict.job import predict_rows
from worker.trainer.predict.rows import describe_outputs, model_rows
from worker.trainer.probes.inline.sanity_checks import best_constant

CPU = torch.device("cpu")
NUMBERS = ["age", "income"]


def frame(rows: int = 200) -> pd.DataFrame:
    """A table with categories and blanks; the city Bern is in its last row only."""
    draw = np.random.RandomState(0)
    made = pd.DataFrame(
        {
            "age": draw.randint(18, 80, rows).astype(float),
            "income": np.exp(draw.standard_normal(rows)) * 1000,
            "city": draw.choice(["Rome", "Oslo", "Paris"], rows, p=[0.6, 0.3, 0.1]),
            "size": draw.choice(["S", "M", "L"], rows),
            "y": draw.standard_normal(rows),
        }
    )
    for name in ("age", "income", "city"):
        made.loc[draw.random(rows) < 0.1, name] = np.nan
    made.loc[rows - 1, "city"] = "Bern"
    return made


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., tuple[Upload, DatasetFolders]]:
    """Store a table as the API does, and resolve a dataset on it as the server does."""

    def stored(table: pd.DataFrame, **fields: Any) -> tuple[Upload, DatasetFolders]:
        folder = tmp_path / "datasets"
        incoming = IncomingUpload(folder)
        incoming.write(table.to_csv(index=False).encode())
        incoming.close()
        report = inspect_file(incoming.path)
        incoming.keep(FolderUploads(folder))
        basis = {"kind": "upload", "upload": "dat_" + "0" * 26, "predict": "y", "task": "regression"}
        made = Upload.model_validate(basis | fields)
        content = folder / incoming.sha256 / "content"
        resolved, problems = made.resolve(without_incomplete_rows([content], [report], made)[0], incoming.sha256)
        assert problems == []
        return made.model_copy(update={"resolved": resolved}), DatasetFolders(folder)

    return stored


def of_part(table: pd.DataFrame, splits: Splits, part: str) -> pd.DataFrame:
    """The rows of a part, found by their targets, which stay as they are."""
    place = {value: at for at, value in enumerate(table["y"].astype(np.float32))}
    return table.iloc[[place[value] for value in getattr(splits, part).y]]


def rows_of(values: Any) -> Any:
    return values[:].numpy() if isinstance(values, MappedRows) else values


APART = 2  # a split whose training part has no row in Bern
STEPS = (
    {"kind": "impute", "strategy": "median", "columns": ("age", "income"), "indicator": True},
    {"kind": "impute", "strategy": "most_frequent", "columns": ("city",)},
    {"kind": "ordinal", "columns": ("size",), "order": ("S", "M", "L")},
    {"kind": "one_hot"},
)


@pytest.mark.parametrize("resident", [2**30, 1], ids=["memory", "disk"])
def test_it_equals_a_pipeline_of_scikit_learn(resident: int, store: Any) -> None:
    dataset, files = store(frame(), prepare=STEPS, target_scaling="none", split_seed=APART)
    splits = split_dataset(dataset, replace(files, resident_bytes=resident))
    assert isinstance(splits.train.x, MappedRows) == (resident == 1)
    known = ["Oslo", "Paris", "Rome"]
    pipeline = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
            ("size", make_pipeline(OrdinalEncoder(categories=[["S", "M", "L"]]), StandardScaler()), ["size"]),
            (
                "city",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"),
                    OneHotEncoder(categories=[known], handle_unknown="ignore", sparse_output=False),
                ),
                ["city"],
            ),
        ]
    ).fit(of_part(frame(), splits, "train"))
    assert splits.preparation is not None
    names = ["age", "income", "city=Bern", "city=Oslo", "city=Paris", "city=Rome", "size"]
    assert splits.preparation.names == [*names, "age missing", "income missing"]
    for part in ("train", "validation"):
        table, found = of_part(frame(), splits, part), rows_of(getattr(splits, part).x)
        ours = found[:, [0, 1, 6, 3, 4, 5]]  # those of scikit-learn, which has no column for an unknown category
        np.testing.assert_allclose(ours, pipeline.transform(table), atol=2e-6)
        np.testing.assert_array_equal(found[:, 7:], table[NUMBERS].isna())
        assert not found[:, 2].any()  # no training row is in Bern


def test_a_category_that_the_training_part_lacks_is_unknown(store: Any) -> None:
    table = frame().fillna({"age": 1.0, "income": 1.0, "city": "Rome"})
    steps = ({"kind": "ordinal", "columns": ("city",)}, {"kind": "one_hot", "columns": ("size",)})
    dataset, files = store(table, prepare=steps, split_seed=APART, scaling="none", target_scaling="none")
    splits = split_dataset(dataset, files)
    assert splits.preparation is not None
    (told, _) = splits.preparation.as_json()["steps"]
    assert told["columns"]["city"]["categories"] == ["Bern", "Oslo", "Paris", "Rome"]
    counts = of_part(table, splits, "train")["city"].value_counts()
    assert told["columns"]["city"]["counts"] == [0, counts["Oslo"], counts["Paris"], counts["Rome"]]
    cities = of_part(table, splits, "validation")["city"]
    assert "Bern" in {*cities}
    numbers = cities.map({"Bern": -1, "Oslo": 1, "Paris": 2, "Rome": 3})
    np.testing.assert_array_equal(splits.validation.x[:, 2], numbers)


def test_rows_are_dropped_for_the_blanks_that_no_step_fills(store: Any) -> None:
    table = frame()
    steps = ({"kind": "impute", "columns": ("age",)}, {"kind": "one_hot"})
    dataset, files = store(table, prepare=steps, missing="drop")
    kept = table.dropna(subset=["income", "city"])
    assert dataset.facts.rows == len(kept) < len(table)
    assert sum(len(part.x) for part in split_dataset(dataset, files)[:3]) == len(kept)


def test_a_constant_may_be_a_new_category(store: Any) -> None:
    steps = (
        {"kind": "impute", "strategy": "constant", "value": "nowhere"},
        {"kind": "impute", "strategy": "constant", "value": -1},
        {"kind": "one_hot"},
    )
    dataset, files = store(frame(), prepare=steps, scaling="none", target_scaling="none")
    splits = split_dataset(dataset, files)
    assert splits.preparation is not None
    place = splits.preparation.names.index("city=nowhere")
    table = of_part(frame(), splits, "train")
    np.testing.assert_array_equal(splits.train.x[:, place], table["city"].isna())
    np.testing.assert_array_equal(splits.train.x[:, 0] == -1, table["age"].isna())


@pytest.mark.parametrize("method", ["yeo_johnson", "box_cox"])
def test_powers_and_logarithms_equal_those_of_scikit_learn(method: str, store: Any) -> None:
    table = frame(120)[["age", "income", "y"]].dropna()
    table["far"] = -np.square(table["y"]) - 3  # below 0 in every row
    table["same"] = 5.0
    steps: tuple[Any, ...] = (
        {"kind": "divide", "columns": ("age",), "by": 16},
        {"kind": "log1p", "columns": ("income",)},
        {"kind": "power", "method": method, "columns": ("income", "age")},
    )
    others = ["far", "same"] if method == "yeo_johnson" else []
    steps = (*steps, {"kind": "power", "columns": tuple(others)}) if others else steps
    dataset, files = store(table, prepare=steps, scaling="none", target_scaling="none")
    splits = split_dataset(dataset, files)
    ours = table.assign(age=table["age"] / 16, income=np.log1p(table["income"]))
    theirs = PowerTransformer(method.replace("_", "-"), standardize=False)
    theirs.fit(of_part(ours, splits, "train")[["age", "income"]])
    for part in ("train", "validation"):
        found = getattr(splits, part).x
        expected = theirs.transform(of_part(ours, splits, part)[["age", "income"]])
        np.testing.assert_allclose(found[:, :2], expected, rtol=1e-5)
    if others:
        far = PowerTransformer(standardize=False).fit(of_part(table, splits, "train")[["far"]])
        np.testing.assert_allclose(
            splits.validation.x[:, 2:3], far.transform(of_part(table, splits, "validation")[["far"]]), rtol=1e-5
        )
        np.testing.assert_array_equal(splits.train.x[:, 3], 5)


def test_missing_values_may_be_filled_after_a_power(store: Any) -> None:
    table = frame()[["age", "income", "y"]]
    steps = ({"kind": "power"}, {"kind": "impute"})
    dataset, files = store(table, prepare=steps, target_scaling="none")
    splits = split_dataset(dataset, files)
    pipeline = make_pipeline(PowerTransformer(standardize=False), SimpleImputer(), StandardScaler())
    pipeline.fit(of_part(table, splits, "train")[NUMBERS])
    expected = pipeline.transform(of_part(table, splits, "validation")[NUMBERS])
    np.testing.assert_allclose(splits.validation.x, expected, atol=1e-5)


MEMBERS = get_args(get_args(PreparationStep)[0])
FOR_WORDS = {"kind": "impute", "strategy": "most_frequent"}


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)
def test_a_training_takes_what_each_step_makes(member: Any, store: Any) -> None:
    kind = member.model_fields["kind"].default
    rest = ({"kind": "impute", "strategy": "median"}, FOR_WORDS)
    step = {"kind": kind} | ({"by": 16} if kind == "divide" else {})
    steps = (*rest, step) if member.encodes else (*rest, step, {"kind": "one_hot"})
    dataset, files = store(frame(), prepare=steps)
    document = {
        "dataset": dataset.model_dump(),
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "steps": 30,
    }
    training = prepare(fill_defaults(Experiment.model_validate(document))[0], 0, CPU, files)
    losses = [float(step.loss) for step in train(training)]
    assert np.isfinite(losses).all()
    assert training.fitted["preparation"]["features"]


def test_several_targets_are_scaled_and_predicted_side_by_side(store: Any) -> None:
    table = frame()[["age", "income", "y"]].dropna()
    table["z"] = 3 * table["y"] + 100
    dataset, files = store(table, predict=("y", "z"))
    splits = split_dataset(dataset, files)
    train_y = splits.train.y
    np.testing.assert_allclose(train_y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train_y[:, 0], train_y[:, 1], atol=1e-4)
    document = {
        "dataset": dataset.model_dump(),
        "model": {"kind": "mlp", "hidden": (8,)},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "metrics": ({"kind": "r2"}, {"kind": "mae"}, {"kind": "mae", "average": "none"}),
        "steps": 30,
    }
    for loss in ("mse", "mae", "gaussian_nll"):
        training = prepare(Experiment.model_validate(document | {"loss": {"kind": loss}}), 0, CPU, files)
        assert training.batches.y.shape[1] == 2
        *_, last = train(training)
        assert last.metrics is not None
        assert np.isfinite(float(last.metrics["val/r2"]))
        each = [float(last.metrics[f"val/mae/{at}"]) for at in range(2)]
        assert float(last.metrics["val/mae"]) == pytest.approx(np.mean(each))
        assert measured_series(training.spec)[-2:] == ("val/mae/0", "val/mae/1")
        outputs = training.model(training.batches.x).detach()
        assert outputs.shape[1] == (4 if loss == "gaussian_nll" else 2)
        constant = best_constant(training.criterion, outputs, training.batches.y)
        if loss == "mse":
            assert constant[1] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("kind", ["log1p", "power"])
def test_targets_are_transformed_for_the_loss_and_measured_in_their_own_unit(kind: Any, store: Any) -> None:
    table = frame()[["age", "income", "y"]].dropna()
    table["z"] = 2 - table["income"] if kind == "power" else table["income"] + 1
    predicted = ("income", "z")
    dataset, files = store(table, predict=predicted, prepare_target=kind, features=("age",))
    splits = split_dataset(dataset, files)
    plain = split_dataset(store(table, predict=predicted, features=("age",), target_scaling="none")[0], files)
    theirs = PowerTransformer() if kind == "power" else make_pipeline(FunctionTransformer(np.log1p), StandardScaler())
    theirs.fit(plain.train.y.astype(np.float64))
    for part in ("train", "validation"):
        found, given = getattr(splits, part).y, getattr(plain, part).y
        np.testing.assert_allclose(found, theirs.transform(given.astype(np.float64)), atol=1e-5)
    document = {
        "dataset": dataset.model_dump(),
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "metrics": ({"kind": "mae"},),
        "steps": 5,
    }
    training = prepare(Experiment.model_validate(document), 0, CPU, files)
    assert training.fitted["target"]["kind"] == kind
    *_, last = train(training)
    assert last.metrics is not None
    assert splits.target is not None
    with torch.no_grad():
        outputs = training.model(torch.from_numpy(splits.validation.x)).double().numpy()
    scale = splits.scales["target"]
    predictions = splits.target.invert(torch.from_numpy(outputs * scale.divisor + scale.shift)).numpy()
    if kind == "power":
        np.testing.assert_allclose(predictions, theirs.inverse_transform(outputs), rtol=1e-5)
    error = np.abs(predictions - plain.validation.y).mean()
    assert float(last.metrics["val/mae"]) == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("encoder", ["one_hot", "ordinal", "embed"])
def test_predictions_for_rows_of_the_table_prepare_them_as_the_training_did(
    encoder: str, store: Any, tmp_path: Path
) -> None:
    table = frame()
    table["rank"] = np.arange(len(table)) % 3
    steps = (
        {"kind": "divide", "columns": ("age",), "by": 16},
        {"kind": "impute", "strategy": "median", "columns": ("age", "income"), "indicator": True},
        {"kind": "impute", "strategy": "constant", "value": "nowhere"},
        {"kind": "power", "columns": ("income",)},
        {"kind": "log1p", "columns": ("age",)},
        {"kind": encoder, "columns": ("city", "rank")},
        {"kind": "ordinal", "order": ("S", "M", "L")},
    )
    table["y"] = np.exp(table["y"])
    dataset, files = store(table, prepare=steps, split_seed=APART, prepare_target="power")
    document = {
        "dataset": dataset.model_dump(),
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 0.01},
        "steps": 3,
    }
    spec = Experiment.model_validate(document)
    training = prepare(spec, 0, CPU, files)
    inputs = model_inputs(spec, json.loads(json.dumps(training.fitted)))
    splits = split_dataset(dataset, files)
    assert splits.target is not None
    untouched = split_dataset(dataset.model_copy(update={"prepare_target": None, "target_scaling": "none"}), files)
    rows = of_part(table, untouched, "validation").drop(columns="y")
    documents = json.loads(rows.to_json(orient="records"))
    x = model_rows(documents, inputs)
    np.testing.assert_allclose(x, splits.validation.x, atol=1e-5)
    assert torch.equal(model_rows([list(each.values()) for each in documents], inputs), x)
    values = [each["value"] for each in describe_outputs(torch.from_numpy(splits.validation.y).reshape(-1, 1), inputs)]
    np.testing.assert_allclose(values, untouched.validation.y, rtol=1e-4)
    with pytest.raises(ValueError, match="rank"):
        model_rows([documents[0] | {"rank": None}], inputs)
    with pytest.raises(ValueError, match="row 0: log1p cannot take -2"):
        model_rows([documents[0] | {"age": -32}], inputs)
    given, problems = read_rows(dataset, None, documents)
    assert problems == []
    with torch.no_grad():
        expected = describe_outputs(training.model.eval()(x), inputs)
    assert predict_rows(training, training.fitted, given) == expected
    saved = checkpoint.save(tmp_path, training, {"environment": {}} | training.fitted)
    stored = StoredModel(spec, 0, CPU)
    assert predict_rows(stored, stored.load(saved.folder, saved.sha256), given) == expected, "without the table"


def test_an_uploaded_table_without_steps_is_stored_as_before(store: Any) -> None:
    dataset, _ = store(frame()[["age", "y"]].dropna())
    resolved = dataset.model_dump(mode="json")["resolved"]
    assert (resolved["columns"], resolved["inputs"], dataset.facts.shape) == ([], 0, (1,))
