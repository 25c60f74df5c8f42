"""Predictions on the validation part at the end of a run: a Parquet file, and what is shown of them with the run."""

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from worker.trainer.metrics.metric_set import MetricSet
from worker.trainer.pictures.rows import are_pictures, pictures
from worker.trainer.step.evaluation import Validation

MAX_MATRIX = 100  # classes of a confusion matrix
LISTED = 20  # rows with the largest losses
BINS = 15  # of a reliability diagram, as many as of the metric calibration_error
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Predicted(NamedTuple):
    """Some rows: for classes, labels (N,) and probabilities (N, K); for values, targets and predictions (N, D)."""

    losses: Floats
    targets: npt.NDArray[Any]
    predictions: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32] | None


def write_predictions(
    path: Path,
    spec: Experiment,
    model: nn.Module,
    criterion: nn.Module,
    part: Validation,
    metrics: MetricSet,
    scale: dict[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Write the part's rows and return the readings by kind; raises OSError where the disk is full.

    `scale` is that of the features, with which rows that are images become pictures.
    """
    rows = np.arange(len(part.x)) if part.row_numbers is None else part.row_numbers
    classes = class_names(spec)
    kept: list[Predicted] = []
    at = 0
    with pq.ParquetWriter(path, _schema(spec, classes), compression="zstd") as writer:
        for found in _predict(model, criterion, part, metrics):
            writer.write_table(_table(writer.schema, rows[at : at + len(found.losses)], found))
            at += len(found.losses)
            chosen = found.probabilities
            if chosen is not None:  # of the class that was predicted; the others are in the file
                chosen = np.take_along_axis(chosen, found.predictions[:, None], 1)
            kept.append(found._replace(probabilities=chosen))
    whole = Predicted(*(None if each[0] is None else np.concatenate(each) for each in zip(*kept, strict=True)))  # type: ignore[arg-type]
    worst = np.argsort(-np.nan_to_num(whole.losses, nan=np.inf), kind="stable")[:LISTED]  # NaN first
    readings = {"largest_losses": _largest_losses(rows, whole, classes, worst)}
    if are_pictures(spec.dataset):
        drawn = pictures(part.x.index_select(0, torch.from_numpy(worst).to(part.x.device)), spec.dataset, scale)
        for each, png in zip(readings["largest_losses"]["listed"], drawn, strict=True):
            each["png"] = png
    if classes and len(classes) <= MAX_MATRIX:
        readings["confusion_matrix"] = _confusion_matrix(whole, classes)
    if whole.probabilities is not None:
        readings["reliability"] = _reliability(whole.probabilities[:, 0], whole.predictions == whole.targets)
    return readings


@torch.no_grad()
def _predict(model: nn.Module, criterion: nn.Module, part: Validation, metrics: MetricSet) -> Iterator[Predicted]:
    """Yield the part's rows in order, as evaluations see them."""
    training = model.training
    model.eval()
    try:
        for x, y in zip(part.x.split(part.rows), part.y.split(part.rows), strict=True):
            with part.precision.forward():
                outputs = model(x)
            losses = row_losses(criterion, outputs if outputs.dtype == torch.float64 else outputs.float(), y)
            scores, targets = metrics.convert(outputs, y)
            probabilities = scores.double().softmax(1).float() if metrics.classes else None
            predictions = scores.argmax(1) if metrics.classes else scores
            yield Predicted(
                losses.double().cpu().numpy(),
                targets.cpu().numpy(),
                predictions.cpu().numpy(),
                None if probabilities is None else probabilities.cpu().numpy(),
            )
    finally:
        model.train(training)


def row_losses(criterion: nn.Module, outputs: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each row by itself (N,), so without the weights of classes."""

    def of_row(output: Tensor, target: Tensor) -> Tensor:
        found: Tensor = criterion(output[None], target[None])
        return found

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # of losses that torch loops over itself
            found: Tensor = torch.func.vmap(of_row)(outputs, y)
    except RuntimeError:  # a plug-in's, which decides by values
        return torch.stack([of_row(output, target) for output, target in zip(outputs, y, strict=True)])
    return found


def class_names(spec: Experiment) -> list[str]:
    """Return the names of the classes, or their numbers; nothing for values."""
    named: Sequence[str] = getattr(getattr(spec.dataset, "resolved", None), "classes", ())
    classes = spec.dataset.facts.classes
    return list(named) if len(named) == classes else [str(number) for number in range(classes)]


def _schema(spec: Experiment, classes: list[str]) -> pa.Schema:
    kind = pa.int64() if classes else _values(spec.dataset.facts.targets)
    fields = [("row", pa.int64()), ("target", kind), ("prediction", kind), ("loss", pa.float64())]
    if classes:
        fields.append(("probabilities", pa.list_(pa.float32(), len(classes))))
    about = {"saddle": json.dumps({"spec_hash": spec.hash, "part": "validation", "classes": classes})}
    return pa.schema(fields, metadata=about)


def _values(columns: int) -> pa.DataType:
    return pa.float64() if columns == 1 else pa.list_(pa.float64(), columns)


def _table(schema: pa.Schema, rows: npt.NDArray[Any], found: Predicted) -> pa.Table:
    columns = {"row": rows, "target": found.targets, "prediction": found.predictions, "loss": found.losses}
    if found.probabilities is not None:
        columns["probabilities"] = found.probabilities
    arrays = [_array(np.asarray(columns[field.name]), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind) if pa.types.is_fixed_size_list(kind) else flat.cast(kind)


def _largest_losses(
    rows: npt.NDArray[Any], found: Predicted, classes: list[str], worst: npt.NDArray[np.intp]
) -> dict[str, Any]:
    """Return the rows with the largest losses, at the positions `worst`."""

    def shown(value: Any) -> Any:
        return classes[value] if classes else np.atleast_1d(value).tolist()

    listed = []
    for at in worst:
        each = {"row": int(rows[at]), "loss": float(found.losses[at])}
        each |= {"target": shown(found.targets[at]), "prediction": shown(found.predictions[at])}
        if found.probabilities is not None:
            each["probability"] = float(found.probabilities[at, 0])
        listed.append(each)
    return {"part": "validation", "of": len(rows), "listed": listed}


def _confusion_matrix(found: Predicted, classes: list[str]) -> dict[str, Any]:
    """Return how many rows of each class (first index) were predicted as each (second)."""
    size = len(classes)
    counts = np.bincount(found.targets * size + found.predictions, minlength=size * size)
    return {"part": "validation", "classes": classes, "matrix": counts.reshape(size, size).tolist()}


def _reliability(probabilities: npt.NDArray[np.float32], correct: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the rows in each bin of the largest probability, its mean and the accuracy there; None: the bin is empty.

    A bin holds low < p <= high. Guo et al. 2017, arXiv:1706.04599, eq. 1 to 3.
    """
    wide = probabilities.astype(np.float64)
    bins = np.clip(np.ceil(wide * BINS).astype(np.int64), 1, BINS) - 1
    rows = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, weights=each, minlength=BINS) for each in (wide, correct.astype(np.float64))]
    means = [[float(total / n) if n else None for total, n in zip(each, rows, strict=True)] for each in sums]
    error = float(np.abs(sums[0] - sums[1]).sum() / len(wide))
    found = {"part": "validation", "rows": rows.tolist(), "probability": means[0], "accuracy": means[1]}
    return found | {"calibration_error": error}
