"""Tables of Hugging Face in the mounted folder: which columns a spec trains on, and their shape and classes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from service.errors import Invalid, Problem
from service.ingest.column_statistics import ColumnStatistics
from service.ingest.fingerprint import fingerprint
from service.ingest.hugging_face import StoredSplit, open_split
from service.ingest.parquet import decode, index_columns
from service.spec.datasets.columns import class_names
from service.spec.datasets.mounted import FolderContents, HuggingFace
from service.spec.validation_errors import closest


def describe_table(root: Path, wanted: HuggingFace) -> FolderContents:
    """Return what the schema says, or raise `Invalid` with what is wrong with the choice of columns."""
    parts = open_splits(root, wanted)
    train = parts[0]
    if problems := [*_problems(train, wanted)]:
        raise Invalid.of([problem.under("/dataset") for problem in problems])
    if any(not part.schema.equals(train.schema) for part in parts):
        raise Invalid.of([Problem("/dataset/test_split", "wrong_shape", "has other columns than /split.")])
    aside = _columns_aside(train, wanted)
    features = feature_columns(train, wanted, aside)
    test = sum(part.rows for part in parts[1:])
    return FolderContents(
        fingerprint=fingerprint(root, [path for part in parts for path in part.files]),
        rows=train.rows + test,
        test=test,
        shape=train.shape(features[0]) or (len(features),),
        classes=_classes(parts, wanted.predict) if wanted.task == "classification" else (),
        aside=aside,
        columns=tuple(features) if wanted.prepare and not train.shape(features[0]) else (),
    )


def open_splits(root: Path, wanted: HuggingFace) -> list[StoredSplit]:
    """Return the split to train on, then the one to test on if there is one."""
    train = open_split(root, wanted.path, wanted.split)
    if wanted.test_split is None:
        return [train]
    return [train, open_split(root, wanted.path, wanted.test_split, "/dataset/test_split")]


def feature_columns(table: StoredSplit, wanted: HuggingFace, aside: Sequence[str]) -> list[str]:
    """Return the columns to predict from; those in `aside` only where they are asked for."""
    return list(wanted.features or (name for name in table.schema.names if name not in (wanted.predict, *aside)))


def _columns_aside(table: StoredSplit, wanted: HuggingFace) -> tuple[str, ...]:
    """Return the index columns of a pandas table, where nobody asked for them."""
    return () if wanted.features else tuple(name for name in index_columns(table.schema) if name != wanted.predict)


def _problems(table: StoredSplit, wanted: HuggingFace) -> Iterator[Problem]:
    """Yield names of no column, and columns that do not hold numbers."""
    names, features = table.schema.names, feature_columns(table, wanted, _columns_aside(table, wanted))
    given = [("/predict", wanted.predict)]
    given += [(f"/features/{at}" if wanted.features else "/features", name) for at, name in enumerate(features)]
    absent = [(pointer, name) for pointer, name in given if name not in names]
    for pointer, name in absent:
        yield Problem(pointer, "no_such_column", "the dataset has no such column.", None, closest(name, names))
    if absent:
        return
    if not features or wanted.predict in features or len(set(features)) < len(features):
        yield Problem("/features", "contradiction", "give columns other than /predict, each once.")
    shapes = {name: table.shape(name) for name in features}
    for pointer, name in given[1:]:
        if shapes[name] is None:
            kind = table.features.get(name, {}).get("_type") or table.schema.field(name).type
            detail = f"the column {name} is {kind}: only numbers, and arrays of a fixed shape, are read."
            yield Problem(pointer, "not_a_number", detail)
        elif shapes[name] and len(features) > 1:
            detail = f"{name} has several values a row: choose it alone, or only columns of single values."
            yield Problem(pointer, "wrong_shape", detail)
    if wanted.task == "regression" and table.shape(wanted.predict) != ():
        detail = "is no number a row: set /task to classification, or choose another column."
        yield Problem("/predict", "not_a_number", detail)


def _classes(parts: list[StoredSplit], column: str) -> tuple[str, ...]:
    """Return the names of a ClassLabel; of another column its different values, for which that column alone is read."""
    if (named := parts[0].classes(column)) is not None:
        return named
    statistics = ColumnStatistics(column)
    for part in parts:
        for batch in part.batches([column]):
            statistics.add(decode(batch.column(column)))
    found = statistics.as_column()
    if found.classes is None or len(found.classes) < 2 or found.missing or found.infinite:
        detail = "has not between 2 and 1000 different values, one in every row: choose another column."
        raise Invalid.of([Problem("/dataset/predict", "wrong_classes", detail)])
    return class_names([found])
