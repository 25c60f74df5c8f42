"""Evaluation on the validation and test splits, without any effect on the training."""

import math
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from torch import Tensor, nn

from service.errors import RunFailure
from service.spec.experiment import Experiment
from service.spec.losses import CLASS_TASKS, LossBase, Task
from service.spec.memory import MAX_CHUNK_ROWS, evaluation_rows
from worker.trainer.augment.augment import Augment
from worker.trainer.build import build
from worker.trainer.data.batches import Batches
from worker.trainer.data.memory_mapped import MappedRows, RowTensor
from worker.trainer.data.split import Indices, Split
from worker.trainer.metrics import Metrics
from worker.trainer.metrics.metric_set import MetricSet
from worker.trainer.step.losses import loss_denominator, partial_loss
from worker.trainer.step.precision import Precision

T = TypeVar("T", Tensor, float)


def target_tensor(y: npt.NDArray[Any], loss: LossBase) -> Tensor:
    """Convert y for the loss: class numbers (N,) int64, or float columns, (N, 1) or one for each target.

    Tokens (N, T) and distributions (N, K) stay unchanged.
    """
    if loss.count_data and len(y) and y.min() < 0:
        raise RunFailure("spec_cannot_build", f"{loss.kind} is for counts, and a value to predict is {y.min():g}")
    if loss.binary or "regression" in loss.tasks:
        values = torch.from_numpy(y).to(torch.get_default_dtype())
        return values if values.dim() == 2 else values.unsqueeze(1)
    if y.ndim == 2 and y.dtype.kind == "f" and len(y):
        _check_distributions(y, getattr(loss, "log_target", False))
    return torch.from_numpy(y)


def _check_distributions(y: npt.NDArray[Any], logarithms: bool) -> None:
    """Raise if distributions (N, K) are not probabilities, or their logarithms where the loss expects those."""
    if logarithms and y.max() > 0:
        raise RunFailure("spec_cannot_build", f"/loss/log_target is true, and a column to predict has {y.max():g}")
    if not logarithms and y.min() < 0:
        fix = "upload probabilities, or take kl_div with log_target"
        raise RunFailure("spec_cannot_build", f"a probability to predict is {y.min():g}: {fix}")


def to_device(
    rows: Split, loss: LossBase, device: torch.device, augment: Augment | None = None, as_bytes: bool = False
) -> tuple[RowTensor, RowTensor]:
    """Return x and y of a split for the model and the loss; rows on disk stay there, and images to augment bytes.

    With `as_bytes` other images stay bytes on the host too, a quarter of the memory, and are converted when read.
    """
    x = rows.x if isinstance(rows.x, MappedRows) else torch.from_numpy(rows.x)
    y = rows.y if isinstance(rows.y, MappedRows) else target_tensor(rows.y, loss)
    if isinstance(x, MappedRows) and (as_bytes or augment is not None):
        return x.unconverted(device, augment is None or augment.on_host), y.to(device)
    return x.to(device), y.to(device)


UNTRAINED_LOSS = (
    "which no optimizer trains: keep what does not learn in a buffer (register_buffer), and what learns in the model"
)


class PerPosition(nn.Module):
    """A loss averaged over all positions: logits (B, T, V) against tokens (B, T)."""

    def __init__(self, criterion: nn.Module) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Return the mean over B x T positions."""
        loss: Tensor = self.criterion(logits.flatten(0, 1), tokens.flatten())
        return loss


def build_criterion(spec: Experiment, device: torch.device, loss: LossBase) -> nn.Module:
    """Build the spec's loss with its balanced weights as numbers, at every position if the task is a language.

    It is in evaluation mode, so that only the gradients of an update, which switch it, change buffers of a plug-in's.
    """
    criterion: nn.Module = build(loss).to(device)
    if name := next((name for name, _ in criterion.named_parameters()), None):
        detail = f"/loss: {loss.kind} has the parameter {name}, {UNTRAINED_LOSS}"
        raise RunFailure("spec_cannot_build", detail)
    return (PerPosition(criterion) if spec.dataset.facts.task == "language" else criterion).eval()


class Validation:
    """A held-out split on the device, evaluated `rows` at a time; its series are `val/...`, or `<name>/...`."""

    def __init__(
        self,
        x: RowTensor,
        y: RowTensor,
        task: Task,
        name: str = "val",
        rows: int = MAX_CHUNK_ROWS,
        precision: Precision | None = None,
        text_bytes: float = 0.0,
        metrics: MetricSet | None = None,
    ) -> None:
        self.x, self.y, self.name, self.rows, self.metrics = x, y, name, rows, metrics
        self.precision = precision or Precision("fp32", x.device)
        self.classification = task in ("language", *CLASS_TASKS)
        self.row_numbers: Indices | None = None  # of its rows in the data as read
        self.positions = y.shape[1] if task == "language" else 1  # per row
        self.text_bytes = text_bytes  # that the targets stand for; 0: unknown, or the loss is not in nats

    @classmethod
    def of(
        cls,
        spec: Experiment,
        rows: Split,
        device: torch.device,
        name: str = "val",
        metrics: MetricSet | None = None,
    ) -> "Validation | None":
        """Build the evaluation of a split; return None if the split is empty."""
        task = spec.dataset.facts.task
        if not len(rows.x) and task != "objective":
            return None
        made = ObjectivePoint if task == "objective" else cls
        precision = Precision(spec.precision, device)
        text_bytes = rows.bytes if spec.loss.in_nats else 0.0
        data = to_device(rows, spec.loss, device, as_bytes=bool(spec.augment) and device.type == "cpu")
        part = made(*data, task, name, evaluation_rows(spec), precision, text_bytes, metrics)
        part.row_numbers = rows.numbers
        return part

    @classmethod
    def of_training(cls, spec: Experiment, batches: Batches, metrics: MetricSet | None) -> "Validation | None":
        """Build the evaluation of the training part, whose rows are there already; None if the spec asks for none."""
        if not spec.evaluate.train:
            return None
        task, precision = spec.dataset.facts.task, Precision(spec.precision, batches.x.device)
        return cls(batches.x, batches.y, task, "train", evaluation_rows(spec), precision, metrics=metrics)

    def measure(self, model: nn.Module, criterion: nn.Module) -> Metrics:
        """Return mean loss, accuracy and metrics; they stay on the device, so nothing waits for them."""
        training, measurement = model.training, self.metrics.begin() if self.metrics else None
        model.eval()  # dropout draws nothing, batch normalisation learns nothing
        loss, right = torch.zeros((), device=self.x.device), torch.zeros((), device=self.x.device)
        counted: Tensor | int = 0
        with torch.no_grad(), self.precision.forward():
            for x, y in zip(self.x.split(self.rows), self.y.split(self.rows), strict=True):
                outputs = model(x)  # (B, K), or (B, T, V)
                loss, counted = loss + partial_loss(criterion, outputs, y, 1), counted + loss_denominator(criterion, y)
                if self.classification:
                    right += count_correct(outputs, y)
                if measurement:
                    measurement.update(outputs, y)
        model.train(training)
        readings: Metrics = {f"{self.name}/loss": loss / counted}
        if self.classification:
            readings[f"{self.name}/accuracy"] = right / (len(self.x) * self.positions)
        if self.text_bytes:
            readings[f"{self.name}/bits_per_byte"] = self.bits_per_byte(loss / counted)
        return readings | (measurement.compute(self.name) if measurement else {})

    def bits_per_byte(self, loss: T) -> T:
        """Return what a mean loss in nats is in bits per byte of the targets' text."""
        return loss * (len(self.x) * self.positions) / math.log(2) / self.text_bytes


class ObjectivePoint(Validation):
    """The coordinates of an objective's point, if they are few enough to plot."""

    MAX_COORDINATES = 4

    def measure(self, model: nn.Module, criterion: nn.Module) -> Metrics:
        """Return x/0, x/1, ... after the update."""
        (point,) = (parameter.detach() for parameter in model.parameters())
        if len(point) > self.MAX_COORDINATES:
            return {}
        return {f"x/{i}": value for i, value in enumerate(point.clone())}


def count_correct(outputs: Tensor, y: Tensor) -> Tensor:
    """Count correct predictions: by the largest logit, or by the sign of a single one.

    The class of a distribution is its most likely one.
    """
    if outputs.shape[-1] == 1:
        return ((outputs > 0) == (y > 0.5)).sum()
    return (outputs.argmax(-1) == (y.argmax(-1) if y.is_floating_point() else y)).sum()
