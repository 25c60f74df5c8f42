"""The rows of an uploaded table as a model is given them: one reader for the server, which counts, and for a worker."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import RunFailure
from service.ingest.cells import Batch, rows_with_nan, to_floats
from service.ingest.class_labels import class_indices
from service.ingest.csv import read_plain_batches
from service.ingest.report import read_batches
from service.spec.datasets.report import Format, Reading, Report
from service.spec.datasets.resolved import PartFile, Resolved
from service.spec.datasets.targets import TableTask

Block = tuple[npt.NDArray[Any], npt.NDArray[Any]]  # x (n, *shape), y (n, ...)
Mask = npt.NDArray[np.bool_]  # (n,): whether a row has every value
SUM_TOLERANCE = 1e-3  # of a row's sum of probabilities, which may have been rounded when they were written


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
    categories: tuple[tuple[str, ...] | None, ...] = ()  # by feature: of a column that is read as categories
    filled: tuple[bool, ...] = ()  # by feature: whether a row without its value is complete, for a step to fill

    @classmethod
    def of(
        cls, found: Resolved, predict: tuple[str, ...], features: tuple[str, ...] | None, task: TableTask
    ) -> "Selection":
        """Return what a spec with these fields trains on, once the server has resolved the upload."""
        sources = found.columns
        features = tuple(each.name for each in sources) or features
        plain = cls(found.format, found.reading, predict, features, found.aside, task, found.classes)
        categories = tuple(each.categories for each in sources)
        return replace(plain, categories=categories, filled=tuple(each.blanks for each in sources))

    def for_file(self, file: Resolved | PartFile | Report) -> "Selection":
        """Return the same columns of another file of the dataset."""
        return replace(self, format=file.format, reading=file.reading)

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> "Selection":
        """Return the selection that `as_json` described."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in document.items()}
        return cls(**{**fields, "reading": Reading(**fields["reading"])})

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return {**asdict(self), "reading": self.reading.model_dump()}

    def blocks(self, content: Path, drop: bool, plain: bool = False) -> Iterator[Block]:
        """Yield all rows in the file's order; with `drop` only the complete ones.

        With `plain`, a CSV is read in small blocks; raises `NotPlainError`, after some of the rows, where it cannot be.
        """
        for x, y, complete in self.masked_blocks(content, plain):
            if not drop and not complete.all():
                raise ValueError("the file lacks values that its report does not tell of")
            yield (x, y) if complete.all() else (x[complete], y[complete])

    def masked_blocks(
        self, content: Path, plain: bool = False
    ) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], Mask]]:
        """Yield all rows, and which of them are complete."""
        for batch in self._batches(content, plain):
            features = self.features or [name for name in batch if name not in (*self.predict, *self.aside)]
            x = self._features([batch[name] for name in features])
            y = self._targets([batch[name] for name in self.predict])
            missing = y < 0 if self.task == "classification" else rows_with_nan(y)
            needed = x[:, ~np.resize(self.filled, x.shape[1])] if any(self.filled) else x
            yield x, y, ~(missing | rows_with_nan(needed))

    def _batches(self, content: Path, plain: bool) -> Iterator[Batch]:
        columns = [*self.features, *self.predict] if self.features else None
        if not plain or self.format != "csv":
            return read_batches(content, self.format, columns, self.reading)
        pairs = zip(self.features or (), self.categories, strict=False)
        texts = {*self.aside, *(name for name, known in pairs if known is not None)}
        return read_plain_batches(
            content, columns, self.reading, texts | ({*self.predict} if self.task == "classification" else set())
        )

    def _features(self, arrays: Sequence[Any]) -> npt.NDArray[Any]:
        """Return the features; of a column of categories their positions, NaN where a value is missing."""
        if not any(each is not None for each in self.categories):
            return _stack(arrays)
        pairs = zip(arrays, self.categories, strict=True)
        return _stack([array if known is None else _positions(array, known) for array, known in pairs])

    def _targets(self, arrays: Sequence[Any]) -> npt.NDArray[Any]:
        if self.task == "classification":
            return class_indices(arrays[0], self.classes)
        if self.task == "distribution":
            return _distributions(arrays)
        return to_floats(arrays[0]) if len(arrays) == 1 else _stack(arrays)


def _stack(arrays: Sequence[Any]) -> npt.NDArray[Any]:
    """Put columns of single values side by side, or return the one array of several values a row; bytes stay bytes."""
    if len(arrays) == 1 and getattr(arrays[0], "dtype", None) == np.uint8 and arrays[0].ndim > 1:
        return arrays[0]  # type: ignore[no-any-return]
    found = [to_floats(array) for array in arrays]
    return found[0] if len(found) == 1 and found[0].ndim > 1 else np.stack(found, axis=1)


def _positions(array: Any, categories: tuple[str, ...]) -> npt.NDArray[np.float32]:
    found = class_indices(array, categories)
    return np.where(found < 0, np.nan, found).astype(np.float32)


def _distributions(arrays: Sequence[Any]) -> npt.NDArray[Any]:
    """Return probabilities that sum to 1, or their logarithms, (n, K); each loss takes one of the two."""
    found = to_floats(_stack(arrays))
    sums = (np.exp(found) if (found < 0).any() else found).sum(axis=1)
    if (wrong := np.abs(sums - 1) > SUM_TOLERANCE).any():  # False for a missing value
        detail = f"the columns to predict are no distribution: the probabilities of a row sum to {sums[wrong][0]:.6g}"
        raise RunFailure("spec_cannot_build", detail)
    return found
