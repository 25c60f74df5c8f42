"""Rows of uploaded files, verified by hash; what does not fit in memory is unpacked once, beside the file.

<sha256>/content          as it was uploaded
<sha256>/rows-<key>/      x.npy, y.npy for one choice of columns; the folder appears once both are on the disk
"""

import contextlib
import ctypes
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from service.errors import Invalid, RunFailure
from service.spec.datasets.resolved import Resolved
from service.spec.datasets.targets import TableTask
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.doubles.column_file import ColumnFile
from worker.trainer.data.scaling import releasable
from worker.trainer.data.split import Arrays
from worker.trainer.numerics import float_type

FLOAT32_BYTES = 4


def table(
    files: DatasetFolders,
    predict: str | Sequence[str],
    task: TableTask,
    features: Sequence[str] | None = None,
    missing: Literal["refuse", "drop"] = "refuse",
    resolved: Resolved | None = None,
) -> Arrays:
    """x (N, *shape); labels as positions in `resolved.classes`, values, or distributions (N, K)."""
    from service.ingest.csv import NotPlainError  # noqa: PLC0415  loads pyarrow, which text does without
    from service.ingest.rows import Selection  # noqa: PLC0415

    assert resolved is not None, "the server resolves an upload before it is queued"
    contents = [verify_upload(files, file.sha256) for file in resolved.every_file]
    predicted = (predict,) if isinstance(predict, str) else tuple(predict)
    several = (len(predicted),) if len(predicted) > 1 else ()
    answer = (len(resolved.classes),) if task == "distribution" else several
    shapes = (resolved.rows, *resolved.shape), (resolved.rows, *answer)
    key = json.dumps([features, predict, task, missing, resolved.model_dump(mode="json", exclude={"split"})])
    selection = Selection.of(resolved, predicted, tuple(features) if features else None, task)

    def collect(plain: bool) -> Arrays:
        pairs = zip(resolved.every_file, contents, strict=True)
        blocks = [selection.for_file(file).blocks(content, missing == "drop", plain) for file, content in pairs]
        return collect_blocks(files, contents[0], key, _expect_readable(_chain(blocks)), shapes)

    with contextlib.suppress(NotPlainError), _unused_given_back():
        return collect(plain=True)
    with _unused_given_back():
        return collect(plain=False)  # once what was read is gone


@contextlib.contextmanager
def _unused_given_back() -> Iterator[None]:
    """Give back at the end what Arrow and the C library keep for later: some 20 MB, whatever the size of the file."""
    import pyarrow as pa  # noqa: PLC0415  likewise

    yield
    pa.default_memory_pool().release_unused()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc
        trim(0)


def _chain(files: Sequence[Iterator[Arrays]]) -> Iterator[Arrays]:
    """Yield the blocks of one file after the other; the first block has types that hold the values of all."""
    first = [next(blocks) for blocks in files]
    types = [np.result_type(*each) for each in zip(*first, strict=True)]
    x, y = first[0]
    first[0] = x.astype(types[0], copy=False), y.astype(types[1], copy=False)
    for block, blocks in zip(first, files, strict=True):
        yield block
        yield from blocks


def _expect_readable(blocks: Iterator[Arrays]) -> Iterator[Arrays]:
    """Pass blocks through; a file that contradicts its report is a server error."""
    try:
        yield from blocks
    except Invalid as error:
        raise ValueError(f"the file cannot be read as its report says: {error.problems[0].detail}") from error


def verify_upload(files: DatasetFolders, sha256: str) -> Path:
    """Return the file of this hash; raise a permanent `RunFailure` if it is missing or changed."""
    if files.folder is None or not (content := files.folder / sha256 / "content").is_file():
        raise RunFailure("dataset_missing", f"the uploaded file {sha256[:12]} is not in this worker's data folder")
    check_sha256(content, sha256, f"the uploaded file {sha256[:12]}")
    return content


def check_sha256(path: Path, sha256: str, named: str) -> None:
    """Raise a permanent `RunFailure` unless the file has this hash."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise RunFailure("dataset_changed", f"{named} is not what it was: its sha256 differs")


def collect_blocks(
    files: DatasetFolders,
    content: Path,
    key: str,
    blocks: Iterator[Arrays],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    keep: bool = False,
) -> Arrays:
    """Collect blocks in two arrays: in memory if x fits, else on disk beside `content`.

    `keep` writes them to the disk in any case, so that the next training need not collect them.

    The first block sets the types: doubles, unless float32 loses no digit of the file, and bytes for images. Doubles
    that become float32 wait in a `ColumnFile` for it. The limit counts bytes as the float32 that the CPU makes of them.
    """
    if keep and (kept := _folder(content, np.dtype(np.uint8), key)).exists():
        return _load(kept, files, shapes)
    first = next(blocks)
    types = first[0].dtype, first[1].dtype
    blocks = chain((first,), blocks)
    narrowed = types[0].kind == "f" and types[0] != float_type()
    column_file = ColumnFile.where_it_fits(files.folder, shapes[0]) if narrowed else None
    item_bytes = FLOAT32_BYTES if column_file else max(types[0].itemsize, FLOAT32_BYTES)
    if not keep and math.prod(shapes[0]) * item_bytes <= files.resident_bytes:
        x = column_file or (releasable if types[0].kind == "f" else np.empty)(shapes[0], types[0])
        arrays: Arrays = x, np.empty(shapes[1], types[1])
        _fill(arrays, blocks)
        return arrays
    folder = _folder(content, types[0], key)
    if not folder.exists():
        _unpack(folder, blocks, shapes, types)
    return _load(folder, files, shapes)


def _folder(content: Path, kind: np.dtype[Any], key: str) -> Path:
    return content.parent / f"rows-{hashlib.sha256(f'{kind} {key}'.encode()).hexdigest()[:16]}"


def _load(folder: Path, files: DatasetFolders, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> Arrays:
    """Return the arrays: x in memory if it fits there, else mapped."""
    fits = math.prod(shapes[0]) * FLOAT32_BYTES <= files.resident_bytes
    x = np.load(folder / "x.npy", mmap_mode=None if fits else "r", allow_pickle=False)
    return x, np.load(folder / "y.npy", allow_pickle=False)


def _unpack(
    folder: Path,
    blocks: Iterator[Arrays],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    types: tuple[np.dtype[Any], np.dtype[Any]],
) -> None:
    """Write x.npy and y.npy; if another worker does so at the same time, one of the two stays."""
    partial = folder.with_name(f".{folder.name}.{uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        x = np.lib.format.open_memmap(partial / "x.npy", "w+", types[0], shapes[0])
        y = np.empty(shapes[1], types[1])
        _fill((x, y), blocks)
        x.flush()
        np.save(partial / "y.npy", y, allow_pickle=False)
        if not folder.exists():
            partial.rename(folder)
    except OSError as error:
        if not folder.exists():  # else another worker was first
            raise RunFailure("out_of_disk", f"the upload could not be unpacked ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(arrays: Arrays, blocks: Iterator[Arrays]) -> None:
    filled = [0, 0]
    for block in blocks:
        for place, (array, piece) in enumerate(zip(arrays, block, strict=True)):
            array[filled[place] : filled[place] + len(piece)] = piece
            filled[place] += len(piece)
    if filled != [len(array) for array in arrays]:
        raise ValueError(f"the file has {filled} rows, not {[len(array) for array in arrays]} as its report says")
