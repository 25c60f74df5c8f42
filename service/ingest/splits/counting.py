"""Counting the rows of each part of a stored file: asked by the server, in the process that reads uploads."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from service.ingest.class_labels import class_indices
from service.ingest.report import read_batches
from service.ingest.rows import Selection
from service.ingest.splits.assignment import TRAIN, ColumnSplits, Mask, Parts, assign_parts
from service.spec.datasets.splits import Split
from service.spec.datasets.uploaded import Upload


class SplitRequest(NamedTuple):
    """What decides the parts of the rows of a file."""

    selection: Selection
    drop: bool  # rows that lack a value
    split: ColumnSplits
    shares: tuple[float, float]  # of the validation and of the test part
    seed: int
    folds: int | None

    @classmethod
    def of(cls, dataset: Upload) -> "SplitRequest":
        """Return what a resolved dataset asks for; its split is by a column."""
        found, split = dataset.found, dataset.split
        assert isinstance(split, ColumnSplits)
        selection = Selection.of(found, dataset.predicted, dataset.features, dataset.task)
        shares = 0.0 if dataset.folds else dataset.validation, dataset.test
        return cls(selection, found.dropped > 0, split, shares, dataset.split_seed, dataset.folds)

    def as_json(self) -> dict[str, Any]:
        """Return the request as `count_parts` takes it."""
        return {**self._asdict(), "selection": self.selection.as_json(), "split": self.split.model_dump()}

    def assign(self, content: Path) -> Parts:
        """Return the part of each row that is trained on, in the file's order."""
        complete = _complete(content, self.selection) if self.drop else None
        chosen = self.selection.format, self.selection.reading, self.split, self.shares, self.seed
        return assign_parts(content, *chosen, complete, self.folds)


def digest(parts: Parts) -> str:
    """Return the sha256 of the parts, a byte for each row."""
    return hashlib.sha256(parts.tobytes()).hexdigest()


def count_parts(content: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a `ResolvedSplit`, and `untrained` classes; `request` is a `SplitRequest` as JSON."""
    selection = Selection.of_json(request["selection"])
    split: Any = TypeAdapter(Split).validate_python(request["split"])
    validation, test = request["shares"]
    asked = SplitRequest(selection, request["drop"], split, (validation, test), request["seed"], request["folds"])
    parts = asked.assign(content)
    train, validation, test, *folds = np.bincount(parts, minlength=3).tolist()
    if folds:
        validation, train = max(folds), sum(folds) - max(folds)
    found = {"train": train, "validation": validation, "test": test, "folds": folds, "sha256": digest(parts)}
    return found | {"untrained": [] if folds else _untrained(content, asked, parts)}


def _untrained(content: Path, asked: SplitRequest, parts: Parts) -> list[str]:
    """Return the classes that no training row has."""
    selection = asked.selection
    if selection.task != "classification":
        return []
    target = selection.predict[0]
    batches = read_batches(content, selection.format, [target], selection.reading)
    labels = np.concatenate([class_indices(batch[target], selection.classes) for batch in batches])
    if asked.drop:
        labels = labels[_complete(content, selection)]
    trained = {*np.unique(labels[parts == TRAIN]).tolist()}
    return [name for number, name in enumerate(selection.classes) if number not in trained]


def _complete(content: Path, selection: Selection) -> Mask:
    return np.concatenate([complete for _, _, complete in selection.masked_blocks(content)])
