"""Measuring the validation part, without any effect on the training."""

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from service.errors import RunFailure
from service.spec.experiment import Experiment
from service.spec.losses import Loss_
from worker.build import build
from worker.data.mapped import Mapped, Table
from worker.data.split import Rows
from worker.losses import mass

CHUNK = 4096  # rows at once, positions where each has an answer: bounds the memory, and covers small sets in one


def targets(y: npt.NDArray[Any], loss: Loss_) -> Tensor:
    """y (N,) as the loss wants it: class numbers (N,) int64, or one float column (N, 1); tokens (N, T) as they are."""
    if loss.counts and len(y) and y.min() < 0:
        raise RunFailure("spec_cannot_build", f"{loss.kind} is for counts, and a value to predict is {y.min():g}")
    if loss.binary or "regression" in loss.tasks:
        return torch.from_numpy(y).to(torch.float32).unsqueeze(1)
    return torch.from_numpy(y)


def on_device(rows: Rows, loss: Loss_, device: torch.device) -> tuple[Table, Table]:
    """x and y of a part as the model and the loss want them; rows on disk stay there."""
    x = rows.x if isinstance(rows.x, Mapped) else torch.from_numpy(rows.x)
    y = rows.y if isinstance(rows.y, Mapped) else targets(rows.y, loss)
    return x.to(device), y.to(device)


class PerPosition(nn.Module):
    """A loss over every position of every row alike: logits (B, T, V) against tokens (B, T)."""

    def __init__(self, criterion: nn.Module) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """The mean over B x T positions."""
        loss: Tensor = self.criterion(logits.flatten(0, 1), tokens.flatten())
        return loss


def criterion_of(spec: Experiment, device: torch.device) -> nn.Module:
    """The spec's loss, at every position where the task is a language."""
    criterion: nn.Module = build(spec.loss).to(device)
    return PerPosition(criterion) if spec.dataset.facts.task == "language" else criterion


class Validation:
    """The validation part on the device, measured after every `every` updates."""

    def __init__(self, x: Table, y: Table, every: int, classification: bool) -> None:
        self.x, self.y, self.every, self.classification = x, y, every, classification
        self.positions = y.shape[1] if y.dim() == 2 and classification else 1  # answers a row

    @classmethod
    def of(cls, spec: Experiment, rows: Rows, device: torch.device) -> "Validation | None":
        """None where the spec keeps no validation part."""
        if spec.dataset.facts.task == "objective":
            return Point(*on_device(rows, spec.loss, device), spec.evaluate.every_steps or 1, False)
        if not len(rows.x):
            return None
        every = spec.evaluate.every_steps or spec.steps_per_epoch
        x, y = on_device(rows, spec.loss, device)
        return cls(x, y, every, spec.dataset.facts.task in ("classification", "language"))

    def measure(self, model: nn.Module, criterion: nn.Module) -> dict[str, float | Tensor]:
        """Mean loss, and the share of right classes; left on the device, so that nobody waits for them here."""
        training = model.training
        model.eval()  # dropout draws nothing, batch normalisation learns nothing
        rows = max(1, CHUNK // self.positions)
        loss, right = torch.zeros((), device=self.x.device), torch.zeros((), device=self.x.device)
        counted: Tensor | int = 0
        with torch.no_grad():
            for x, y in zip(self.x.split(rows), self.y.split(rows), strict=True):
                outputs = model(x)  # (B, K), or (B, T, V)
                share = mass(criterion, y)
                loss, counted = loss + criterion(outputs, y) * share, counted + share
                if self.classification:
                    right += _right(outputs, y)
        model.train(training)
        readings: dict[str, float | Tensor] = {"val/loss": loss / counted}
        return readings | {"val/accuracy": right / (len(self.x) * self.positions)} if self.classification else readings


class Point(Validation):
    """Where an objective is: its point's coordinates, where they are few enough to be drawn."""

    MOST = 4

    def measure(self, model: nn.Module, criterion: nn.Module) -> dict[str, float | Tensor]:
        """x/0, x/1, ... after the update."""
        (point,) = (parameter.detach() for parameter in model.parameters())
        if len(point) > self.MOST:
            return {}
        return {f"x/{i}": value for i, value in enumerate(point.clone())}


def _right(outputs: Tensor, y: Tensor) -> Tensor:
    """How many answers are right: by the largest logit, or by the sign of the only one."""
    if outputs.shape[-1] == 1:
        return ((outputs > 0) == (y > 0.5)).sum()
    return (outputs.argmax(-1) == y).sum()
