"""The transform of a regression's targets, fitted on the training rows, and its inverse for metrics."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.spec.datasets.targets import TargetTransformKind
from service.spec.preparation.base import Feature
from worker.trainer.prepare.steps import Fitted, Log1p, Power

STEPS = {"log1p": Log1p, "power": Power}


class TargetTransform(NamedTuple):
    """A logarithm or a Yeo-Johnson power of each target column."""

    kind: TargetTransformKind
    names: tuple[str, ...]
    fitted: tuple[Fitted, ...]

    @classmethod
    def fit(cls, kind: TargetTransformKind, names: Sequence[str], y: npt.NDArray[Any]) -> "TargetTransform":
        """Fit on training targets (N,) or (N, D)."""
        columns = y.reshape(len(y), -1).astype(np.float64)
        step = STEPS[kind]()
        pairs = zip(names, columns.T, strict=True)
        return cls(kind, tuple(names), tuple(step.fit(column.reshape(-1, 1), Feature(name)) for name, column in pairs))

    def apply(self, y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return transformed targets, in the shape of `y`."""
        columns = y.reshape(len(y), len(self.names)).astype(np.float64)
        found: npt.NDArray[np.float64] = STEPS[self.kind]().change(columns, self.fitted)
        return found.reshape(y.shape)

    def invert(self, values: Tensor) -> Tensor:
        """Return the targets (B, D) of transformed ones; NaN for a value that no target gives."""
        if self.kind == "log1p":
            return torch.expm1(values)
        exponents = torch.tensor([each["lambda"] for each in self.fitted], dtype=values.dtype, device=values.device)
        above = torch.expm1(_logarithm(values.clamp(min=0), exponents))
        below = -torch.expm1(_logarithm(-values.clamp(max=0), 2 - exponents))
        return torch.where(values < 0, below, above)

    def as_json(self) -> dict[str, Any]:
        """Return the transform as stored with the run."""
        columns = {name: dict(each) for name, each in zip(self.names, self.fitted, strict=True)}
        return {"kind": self.kind, "columns": columns}


def _logarithm(values: Tensor, exponents: Tensor) -> Tensor:
    """Return log(1 + y) of the powers ((1 + y)^e - 1) / e."""
    found = torch.log1p(values * exponents) / torch.where(exponents == 0, 1.0, exponents)
    return torch.where(exponents == 0, values, found)
