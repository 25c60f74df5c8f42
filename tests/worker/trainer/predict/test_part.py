"""Predictions on the validation part: scikit-learn scores the file to the figures that the run recorded."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn import metrics as sklearn
from torch import nn

from service.ingest.mounted import resolve
from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.losses import CLASS_TASKS
from tests.contract.test_catalog import document, members
from tests.ingest.mounted_files import cifar
from worker.trainer.data.dataset_folders import NO_FOLDERS, DatasetFolders
from worker.trainer.data.split import load
from worker.trainer.loop import Training, prepare, train
from worker.trainer.pictures.rows import are_pictures, pictures
from worker.trainer.predict.part import row_losses, write_predictions
from worker.trainer.probes.runner import MAX_READING_BYTES

CPU = torch.device("cpu")
CLASSES: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": (8,), "dropout": 0.2},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 30,
    "metrics": ({"kind": "f1"}, {"kind": "auc"}, {"kind": "calibration_error"}),
    "predictions": True,
}
VALUES = CLASSES | {
    "dataset": {"kind": "diabetes"},
    "loss": {"kind": "mse"},
    "metrics": ({"kind": "r2"}, {"kind": "rmse"}),
}


def written(
    spec: Experiment, path: Path, files: DatasetFolders = NO_FOLDERS
) -> tuple[Training, dict[str, float], dict[str, dict[str, Any]]]:
    """A finished training, what its last step measured, and the readings."""
    training = prepare(spec, 0, CPU, files)
    *_, last = train(training)
    assert training.validation is not None
    readings = write_predictions(
        path,
        spec,
        training.model,
        training.criterion,
        training.validation,
        training.reporting,
        training.scales.get("features"),
    )
    return training, {name: float(value) for name, value in (last.metrics or {}).items()}, readings


def test_scikit_learn_scores_the_file_to_the_recorded_figures(tmp_path: Path) -> None:
    spec = Experiment.model_validate(CLASSES)
    training, found, readings = written(spec, tmp_path / "p.parquet")
    frame = pq.read_table(tmp_path / "p.parquet").to_pandas()
    probabilities = np.stack(frame["probabilities"])
    assert found["val/accuracy"] == pytest.approx(sklearn.accuracy_score(frame["target"], frame["prediction"]))
    assert found["val/f1_macro"] == pytest.approx(
        sklearn.f1_score(frame["target"], frame["prediction"], average="macro")
    )
    assert found["val/loss"] == pytest.approx(frame["loss"].mean(), rel=1e-5)
    wide = probabilities.astype(float)
    rows = frame["target"], wide / wide.sum(1, keepdims=True)
    assert found["val/auc_macro"] == pytest.approx(sklearn.roc_auc_score(*rows, multi_class="ovr"), abs=1e-4)
    x, y = training.validation.x, frame["row"]  # type: ignore[union-attr]
    assert len(set(y)) == len(x)
    labels = sklearn_digits()
    assert (labels[y] == frame["target"]).all()
    matrix = readings["confusion_matrix"]["matrix"]
    assert matrix == sklearn.confusion_matrix(frame["target"], frame["prediction"]).tolist()
    largest, correct = wide.max(1), (frame["target"] == frame["prediction"]).to_numpy()
    reliability, apart = readings["reliability"], 0.0
    for place, (low, high) in enumerate(zip(np.arange(15) / 15, np.arange(1, 16) / 15, strict=True)):
        inside = (largest > low) & (largest <= high)
        assert reliability["rows"][place] == inside.sum()
        if not inside.any():
            assert reliability["probability"][place] is None
            continue
        assert reliability["probability"][place] == pytest.approx(largest[inside].mean())
        assert reliability["accuracy"][place] == pytest.approx(correct[inside].mean())
        apart += inside.sum() * abs(largest[inside].mean() - correct[inside].mean())
    assert reliability["calibration_error"] == pytest.approx(apart / len(frame))
    worst = frame.sort_values("loss", ascending=False, kind="stable").head(20)
    listed = readings["largest_losses"]["listed"]
    assert [each["row"] for each in listed] == worst["row"].tolist()
    assert listed[0]["probability"] == pytest.approx(probabilities[worst.index[0]].max())
    images = sklearn_digits(images=True)[worst["row"]]
    shown = np.stack([read_picture(each["png"]) for each in listed])
    low, high = images.min(), images.max()
    assert np.abs(shown - (images - low) * 255 / (high - low)).max() < 0.51  # an odd value lies halfway
    about = json.loads(pq.read_schema(tmp_path / "p.parquet").metadata[b"saddle"])
    assert about["classes"] == [str(number) for number in range(10)]


def sklearn_digits(images: bool = False) -> Any:
    from sklearn.datasets import load_digits

    return load_digits().images if images else load_digits().target


def read_picture(png: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


@pytest.mark.parametrize("scaling", ["standardise", "minmax", "none"])
@pytest.mark.parametrize("resident_bytes", [2**30, 0])
def test_the_images_with_the_largest_loss_are_shown_as_they_were_stored(
    scaling: str, resident_bytes: int, tmp_path: Path
) -> None:
    cifar(tmp_path / "mounted", 1, 20)
    dataset = {"kind": "torchvision", "name": "CIFAR10", "scaling": scaling}
    spec = resolve(tmp_path / "mounted", Experiment.model_validate(CLASSES | {"dataset": dataset, "steps": 4}))
    files = DatasetFolders(tmp_path / "datasets", resident_bytes, tmp_path / "mounted")
    _, _, readings = written(spec, tmp_path / "p.parquet", files)
    x, _ = load(spec.dataset, files)
    listed = readings["largest_losses"]["listed"]
    assert len(listed) == 20
    for each in listed:
        assert (read_picture(each["png"]).transpose(2, 0, 1) == x[each["row"]]).all()


def test_twenty_pictures_fit_in_a_reading() -> None:
    dataset = Experiment.model_validate(CLASSES).dataset.model_copy(update={"of_bytes": True})
    noise = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (20, 3, 300, 200)).astype(np.float32))
    drawn = pictures(noise, dataset, None)
    assert read_picture(drawn[0]).shape == (48, 32, 3)
    assert sum(map(len, drawn)) < MAX_READING_BYTES - 10_000


def test_rows_that_are_no_images_have_no_pictures() -> None:
    shapes = {"digits": True, "iris": False, "diabetes": False}
    assert {
        name: are_pictures(Experiment.model_validate(CLASSES | {"dataset": {"kind": name}}).dataset) for name in shapes
    } == shapes


def test_values_are_in_the_unit_of_the_target(tmp_path: Path) -> None:
    _, found, readings = written(Experiment.model_validate(VALUES), tmp_path / "p.parquet")
    frame = pq.read_table(tmp_path / "p.parquet").to_pandas()
    assert found["val/r2"] == pytest.approx(sklearn.r2_score(frame["target"], frame["prediction"]))
    assert found["val/rmse"] == pytest.approx(sklearn.root_mean_squared_error(frame["target"], frame["prediction"]))
    assert frame["target"].between(25, 346).all()  # of the data as they are
    assert set(readings) == {"largest_losses"}
    assert readings["largest_losses"]["listed"][0]["loss"] == frame["loss"].max()


@pytest.mark.parametrize("member", members("loss"), ids=lambda member: member.__name__)
def test_the_loss_of_each_row_is_that_of_a_batch_of_one(member: Any) -> None:
    if not {"regression", *CLASS_TASKS} & {*member.tasks}:
        return
    spec = Experiment.model_validate(document("loss", member))
    training = prepare(spec, 0, CPU)
    part = training.validation
    assert part is not None
    with torch.no_grad():
        outputs, y = training.model.eval()(part.x[:5]), part.y[:5]
        found = row_losses(training.criterion, outputs, y)
        each = [training.criterion(outputs[at : at + 1], y[at : at + 1]) for at in range(5)]
    torch.testing.assert_close(found, torch.stack(each))


def test_a_loss_that_decides_by_values_is_computed_row_by_row() -> None:
    class Deciding(nn.Module):
        def forward(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return outputs.sum() if bool(y.sum() > 0) else -outputs.sum()

    found = row_losses(Deciding(), torch.ones(2, 1), torch.tensor([[1.0], [-1.0]]))
    assert found.tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"dataset": {"kind": "digits", "validation": 0.0}}, "validation is 0"),
        (
            {
                "dataset": {"kind": "none"},
                "model": {"kind": "beale"},
                "loss": {"kind": "objective"},
                "batch_size": "full",
                "metrics": (),
            },
            "is objective",
        ),
    ],
)
def test_what_has_no_predictions_is_refused(changes: dict[str, Any], detail: str) -> None:
    found = find_problems(Experiment.model_validate(CLASSES | changes))
    assert [each.pointer for each in found] == ["/predictions"]
    assert detail in found[0].detail


def test_predictions_change_no_hash() -> None:
    assert Experiment.model_validate(CLASSES).hash == Experiment.model_validate(CLASSES | {"predictions": False}).hash
