"""What lies in the mounted folder, as a spec holds it: read from headers, without torch."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from service.errors import Invalid, Problem
from service.ingest import arrow, images
from service.ingest.arrow import Table
from service.ingest.parquet import index_columns, plain
from service.ingest.tally import Tally
from service.spec.datasets import DatasetBase, HuggingFace, TorchvisionSet
from service.spec.datasets.columns import class_names
from service.spec.datasets.mounted import FolderContents, MountedBase
from service.spec.experiment import Experiment
from service.spec.validation_errors import closest

EDGE = 2**16  # bytes of a file's beginning and end
NOT_MOUNTED = (
    "this server mounts no folder of datasets: its operator sets SADDLE_DATASET_FOLDER, or /dataset/resolved says what "
    "a worker has (`python -m service.ingest` prints it there)."
)


def resolve(root: Path | None, spec: Experiment) -> Experiment:
    """The spec with what the folder holds written into it; every other spec as it is.

    Without a folder what the spec says is believed: a worker compares it with its own.
    """
    wanted = spec.dataset
    if not isinstance(wanted, MountedBase):
        return spec
    if root is None:
        if wanted.resolved is None:
            raise Invalid.of([Problem("/dataset/kind", "not_mounted", NOT_MOUNTED)])
        return spec
    found = look(root, wanted)
    if wanted.resolved not in (None, found):
        detail = "is not what lies in the folder: leave it out, the server writes it."
        raise Invalid.of([Problem("/dataset/resolved", "read_only", detail)])
    return spec.model_copy(update={"dataset": wanted.model_copy(update={"resolved": found})})


def look(root: Path, wanted: DatasetBase) -> FolderContents:
    """What the headers say; `Invalid` says which file or column is expected where."""
    if isinstance(wanted, TorchvisionSet):
        return _images(root, wanted)
    assert isinstance(wanted, HuggingFace)
    return _table(root, wanted)


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """Of names, sizes, first and last bytes: quick for any size, and a changed file changes one of them."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(EDGE))
            file.seek(max(size - EDGE, 0))
            digest.update(file.read(EDGE))
    return digest.hexdigest()


def _images(root: Path, wanted: TorchvisionSet) -> FolderContents:
    known = images.SETS[wanted.name]
    train, test = known.part(root, False), known.part(root, True)
    if train.shape != test.shape:
        raise images.wrong(f"images of {list(train.shape)} to train on and of {list(test.shape)} to test on.")
    prints = fingerprint(root, train.files + test.files)
    rows = train.count + test.count
    return FolderContents(fingerprint=prints, rows=rows, test=test.count, shape=train.shape, classes=known.classes)


def _table(root: Path, wanted: HuggingFace) -> FolderContents:
    parts = splits(root, wanted)
    train = parts[0]
    if found := [*_columns(train, wanted)]:
        raise Invalid.of([problem.under("/dataset") for problem in found])
    if any(not part.schema.equals(train.schema) for part in parts):
        raise Invalid.of([Problem("/dataset/test_split", "wrong_shape", "has other columns than /split.")])
    chosen = features(train, wanted, aside := _aside(train, wanted))
    shape = train.shape(chosen[0]) or (len(chosen),)
    classes = _classes(parts, wanted.predict) if wanted.task == "classification" else ()
    prints = fingerprint(root, [path for part in parts for path in part.files])
    test = sum(part.rows for part in parts[1:])
    rows = train.rows + test
    return FolderContents(fingerprint=prints, rows=rows, test=test, shape=shape, classes=classes, aside=aside)


def splits(root: Path, wanted: HuggingFace) -> list[Table]:
    """The split to train on, then the one to test on if there is one."""
    train = arrow.split_of(root, wanted.path, wanted.split)
    if wanted.test_split is None:
        return [train]
    return [train, arrow.split_of(root, wanted.path, wanted.test_split, "/dataset/test_split")]


def features(table: Table, wanted: HuggingFace, aside: Sequence[str]) -> list[str]:
    """The columns to predict from; those in `aside` only where they are asked for."""
    return list(wanted.features or (name for name in table.schema.names if name not in (wanted.predict, *aside)))


def _aside(table: Table, wanted: HuggingFace) -> tuple[str, ...]:
    """The index of a pandas table, where nobody asked for it."""
    return () if wanted.features else tuple(name for name in index_columns(table.schema) if name != wanted.predict)


def _columns(table: Table, wanted: HuggingFace) -> Iterator[Problem]:
    """Names that are not there, and columns of something else than numbers."""
    names, chosen = table.schema.names, features(table, wanted, _aside(table, wanted))
    given = [("/predict", wanted.predict)]
    given += [(f"/features/{at}" if wanted.features else "/features", name) for at, name in enumerate(chosen)]
    absent = [(pointer, name) for pointer, name in given if name not in names]
    for pointer, name in absent:
        yield Problem(pointer, "no_such_column", "the dataset has no such column.", None, closest(name, names))
    if absent:
        return
    if not chosen or wanted.predict in chosen or len(set(chosen)) < len(chosen):
        yield Problem("/features", "contradiction", "give columns other than /predict, each once.")
    shapes = {name: table.shape(name) for name in chosen}
    for pointer, name in given[1:]:
        if shapes[name] is None:
            kind = table.features.get(name, {}).get("_type") or table.schema.field(name).type
            detail = f"the column {name} is {kind}: only numbers, and arrays of a fixed shape, are read."
            yield Problem(pointer, "not_a_number", detail)
        elif shapes[name] and len(chosen) > 1:
            detail = f"{name} has several values a row: choose it alone, or only columns of single values."
            yield Problem(pointer, "wrong_shape", detail)
    if wanted.task == "regression" and table.shape(wanted.predict) != ():
        detail = "is no number a row: set /task to classification, or choose another column."
        yield Problem("/predict", "not_a_number", detail)


def _classes(parts: list[Table], column: str) -> tuple[str, ...]:
    """The names of a ClassLabel; of another column its different values, for which that column alone is read."""
    if (named := parts[0].classes(column)) is not None:
        return named
    tally = Tally(column, 1)
    for part in parts:
        for batch in part.batches([column]):
            tally.add(plain(batch.column(column)))
    found = tally.column()
    if found.classes is None or len(found.classes) < 2 or found.missing or found.infinite:
        detail = "has not between 2 and 1000 different values, one in every row: choose another column."
        raise Invalid.of([Problem("/dataset/predict", "wrong_classes", detail)])
    return class_names([found])
