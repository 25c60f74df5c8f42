"""The rows of an uploaded table as a model is given them: one reader for the server, which counts, and for a worker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import RunFailure
from service.ingest.inspect import batches
from service.ingest.values import labels, lacking, real_numbers
from service.spec.datasets.report import Format, Reading
from service.spec.datasets.uploaded import Resolved, TableTask

Block = tuple[npt.NDArray[Any], npt.NDArray[Any]]  # x (n, *shape), y (n, ...)
Kept = npt.NDArray[np.bool_]  # (n,): whether a row has every value
TOLERANCE = 1e-3  # of a row's sum of probabilities, which may have been rounded when they were written


@dataclass(frozen=True)
class Selection:
    """Which columns of a table are trained on, and how."""

    format: Format
    reading: Reading
    predict: tuple[str, ...]
    features: tuple[str, ...] | None  # None: all but the ones to predict and those in `aside`
    aside: tuple[str, ...]
    task: TableTask
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, found: Resolved, predict: tuple[str, ...], features: tuple[str, ...] | None, task: TableTask
    ) -> "Selection":
        """What a spec with these fields trains on, once the server has found what the upload holds."""
        return cls(found.format, found.reading, predict, features, found.aside, task, found.classes)

    def blocks(self, content: Path, drop: bool) -> Iterator[Block]:
        """All rows in the file's order; with `drop` without those that lack a value."""
        for x, y, kept in self.looked_at(content):
            if not drop and not kept.all():
                raise ValueError("the file lacks values that its report does not tell of")
            yield (x, y) if kept.all() else (x[kept], y[kept])

    def looked_at(self, content: Path) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], Kept]]:
        """All rows, and which of them have every value."""
        columns = [*self.features, *self.predict] if self.features else None
        for batch in batches(content, self.format, columns, self.reading):
            left = self.features or [name for name in batch if name not in (*self.predict, *self.aside)]
            x = _beside([batch[name] for name in left])
            y = self._answers([batch[name] for name in self.predict])
            missing = y < 0 if self.task == "classification" else lacking(y)
            yield x, y, ~(missing | lacking(x))

    def _answers(self, arrays: Sequence[Any]) -> npt.NDArray[Any]:
        if self.task == "classification":
            return labels(arrays[0], self.classes)
        return _distributions(arrays) if self.task == "distribution" else real_numbers(arrays[0])


def _beside(arrays: Sequence[Any]) -> npt.NDArray[Any]:
    """Columns of single values side by side, or one array of several."""
    found = [real_numbers(array) for array in arrays]
    return found[0] if len(found) == 1 and found[0].ndim > 1 else np.stack(found, axis=1)


def _distributions(arrays: Sequence[Any]) -> npt.NDArray[Any]:
    """Probabilities that sum to 1, or logarithms of such, (n, K); each loss takes one of the two."""
    found = _beside(arrays)
    sums = (np.exp(found) if (found < 0).any() else found).sum(axis=1)
    if (wrong := np.abs(sums - 1) > TOLERANCE).any():  # a missing value is not compared
        detail = f"the columns to predict are no distribution: the probabilities of a row sum to {sums[wrong][0]:.6g}"
        raise RunFailure("spec_cannot_build", detail)
    return found
