"""Measuring the validation part, without any effect on the training."""

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from service.spec.losses import Loss_
from worker.data.split import Rows

CHUNK = 4096  # rows at once: bounds the memory, and covers every bundled dataset in one


def targets(y: npt.NDArray[Any], loss: Loss_) -> Tensor:
    """y (N,) as the loss wants it: class numbers (N,) int64, or one float column (N, 1)."""
    if loss.binary or "regression" in loss.tasks:
        return torch.from_numpy(y).to(torch.float32).unsqueeze(1)
    return torch.from_numpy(y)


class Validation:
    """The validation part on the device, measured after every `every` updates."""

    def __init__(self, x: Tensor, y: Tensor, every: int, classification: bool) -> None:
        self.x, self.y, self.every, self.classification = x, y, every, classification

    @classmethod
    def of(cls, spec: Experiment, rows: Rows, device: torch.device) -> "Validation | None":
        """None where the spec keeps no validation part."""
        if not len(rows.x):
            return None
        every = spec.evaluate.every_steps or spec.steps_per_epoch
        x, y = torch.from_numpy(rows.x).to(device), targets(rows.y, spec.loss).to(device)
        return cls(x, y, every, spec.dataset.facts.task == "classification")

    def measure(self, model: nn.Module, criterion: nn.Module) -> dict[str, float | Tensor]:
        """Mean loss, and the share of right classes; left on the device, so that nobody waits for them here."""
        training = model.training
        model.eval()  # dropout draws nothing, batch normalisation learns nothing
        loss, right = torch.zeros((), device=self.x.device), torch.zeros((), device=self.x.device)
        with torch.no_grad():
            for x, y in zip(torch.split(self.x, CHUNK), torch.split(self.y, CHUNK), strict=True):
                outputs = model(x)  # (B, K)
                loss += criterion(outputs, y) * len(x)
                if self.classification:
                    right += _right(outputs, y)
        model.train(training)
        readings: dict[str, float | Tensor] = {"val/loss": loss / len(self.x)}
        return readings | {"val/accuracy": right / len(self.x)} if self.classification else readings


def _right(outputs: Tensor, y: Tensor) -> Tensor:
    """How many rows are classified right: by the largest logit, or by the sign of the only one."""
    if outputs.shape[1] == 1:
        return ((outputs > 0) == (y > 0.5)).sum()
    return (outputs.argmax(1) == y).sum()
