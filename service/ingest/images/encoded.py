"""Columns of encoded images, as Hugging Face writes them: {"bytes": the image's file, "path": its name}."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyarrow import types

from service.errors import Invalid, Problem
from service.ingest.class_labels import class_indices
from service.ingest.hugging_face import StoredSplit, open_files
from service.ingest.images.decode import BadImage, open_image
from service.ingest.images.report import MAX_SHOWN, Sizes
from service.ingest.parquet import decode
from service.ingest.table_notes import notes_on_unread
from service.ingest.validation import invalid_file
from service.spec.datasets.report import Report

ROWS = 64  # read at once


def is_encoded(kind: Any) -> bool:
    """Whether a column's type is that of encoded images."""
    if not types.is_struct(kind) or (at := kind.get_field_index("bytes")) < 0:
        return False
    return bool(types.is_binary(kind.field(at).type) or types.is_large_binary(kind.field(at).type))


def encoded_images(array: Any) -> list[bytes]:
    """Return the cells' images; b"" for one that is missing or has only a path."""
    return [cell or b"" for cell in array.field("bytes").to_pylist()]


def check_encoded(path: Path, report: Report) -> Report:
    """Decode every image of a Parquet file once; name the columns of images and the classes of labels in the report."""
    stored = open_files([path])
    columns = [name for name in stored.schema.names if is_encoded(stored.schema.field(name).type)]
    unread = [column for column in report.columns if column.name not in columns]
    notes = [
        *notes_on_unread(unread),
        *(each for each in report.notes if each not in [*notes_on_unread(report.columns)]),
    ]
    for name in columns:
        sizes, bad = Sizes(), list[str]()
        for row, image in enumerate(_images(stored, name), 1):
            try:
                sizes.add(open_image(image).size)
            except BadImage as error:
                bad.append(f"row {row} {error}" if image else f"row {row} has no bytes")
        if bad:
            detail = f"{len(bad)} images of the column {name} cannot be read: {'; '.join(bad[:MAX_SHOWN])}."
            raise invalid_file("bad_image", detail)
        notes.append(f"{name}: {sizes.note()}")
    described = tuple(
        column.model_copy(
            update={
                "holds": "image" if column.name in columns else column.holds,
                "class_names": stored.classes(column.name) or (),
            }
        )
        for column in report.columns
    )
    return report.model_copy(update={"columns": described, "notes": tuple(notes)})


def label_classes(stored: StoredSplit, column: str, pointer: str) -> tuple[str, ...]:
    """Return the names of a ClassLabel, else the different values in order; raise `Invalid` for unfit ones."""
    if (named := stored.classes(column)) is not None:
        return named
    seen: Counter[Any] = Counter()
    for batch in stored.batches([column]):
        seen.update(decode(batch.column(column)).to_pylist())
    if None in seen or not 2 <= len(seen) <= 1_000 or any(isinstance(value, float) for value in seen):
        detail = "has not between 2 and 1000 different classes, one in every row: choose another column."
        raise Invalid.of([Problem(pointer, "wrong_classes", detail)])
    return tuple(str(value) for value in sorted(seen))


def batch_labels(stored: StoredSplit, column: str, array: Any, classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Return the class numbers of some cells of a label column: a ClassLabel's own, else positions in `classes`."""
    cells = decode(array)
    if stored.classes(column) is not None:
        return np.asarray(cells.to_pylist(), np.int64)
    return class_indices(cells, classes)


def read_labels(stored: StoredSplit, column: str, classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Return the class number of every row, (N,)."""
    blocks = [batch_labels(stored, column, batch.column(column), classes) for batch in stored.batches([column])]
    return np.concatenate(blocks)


def _images(stored: StoredSplit, column: str) -> Iterator[bytes]:
    for batch in stored.batches([column], ROWS):
        yield from encoded_images(batch.column(column))
