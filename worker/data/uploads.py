"""Rows of uploaded files, found and checked by hash; what does not fit in memory is unpacked once, beside the file.

<sha256>/content          as it was uploaded
<sha256>/rows-<key>/      x.npy, y.npy for one choice of columns; the folder appears once both are on the disk
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, RunFailure
from service.ingest.inspect import batches, characters
from service.ingest.tally import canonical
from service.ingest.values import is_text, label, real_numbers
from service.spec.datasets import Resolved
from worker.data.files import Files
from worker.data.split import Arrays

Doubles = npt.NDArray[np.float64]
Block = tuple[npt.NDArray[Any], npt.NDArray[Any]]  # x (n, *shape), y (n, ...)
Answers = Callable[[Sequence[Any], tuple[str, ...]], npt.NDArray[Any]]  # columns to predict, classes -> y (n, ...)
TOLERANCE = 1e-3  # of a row's sum of probabilities, which may have been rounded when they were written


def table(
    files: Files,
    predict: str | Sequence[str],
    task: Literal["classification", "distribution", "regression"],
    features: Sequence[str] | None = None,
    resolved: Resolved | None = None,
) -> Arrays:
    """x (N, *shape); labels as the places in `resolved.classes`, values, or distributions (N, K)."""
    assert resolved is not None, "the server resolves an upload before it is queued"
    content = checked(files, resolved.sha256)
    answer = (len(resolved.classes),) if task == "distribution" else ()
    shapes = (resolved.rows, *resolved.shape), (resolved.rows, *answer)
    key = json.dumps([features, predict, task, resolved.model_dump(mode="json")])
    predicted = [predict] if isinstance(predict, str) else list(predict)
    read = labels if task == "classification" else _distributions if task == "distribution" else _values
    blocks = _rows(content, resolved, predicted, features, read)
    return gathered(files, content, key, blocks, shapes)


def text(files: Files, context: int = 64, resolved: Resolved | None = None) -> Arrays:
    """x (N, context) token numbers, and y the tokens that follow each; both are views of one array."""
    assert resolved is not None, "the server resolves an upload before it is queued"
    content = checked(files, resolved.sha256)
    used = resolved.rows * context + 1
    key = json.dumps(["text", used, resolved.characters])
    blocks = _tokens(content, resolved.characters, used)
    tokens, _ = gathered(files, content, key, blocks, ((used,), (0,)))
    return tokens[:-1].reshape(-1, context), tokens[1:].reshape(-1, context)


def checked(files: Files, sha256: str) -> Path:
    """The file of this hash, or the permanent failure that it is gone or another."""
    if files.folder is None or not (content := files.folder / sha256 / "content").is_file():
        raise RunFailure("dataset_missing", f"the uploaded file {sha256[:12]} is not in this worker's data folder")
    with content.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise RunFailure("dataset_changed", f"the uploaded file {sha256[:12]} is not what it was: its sha256 differs")
    return content


def gathered(
    files: Files,
    content: Path,
    key: str,
    blocks: Iterator[Block],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> Arrays:
    """All blocks in two arrays: in memory where x fits, else on disk, beside `content`.

    The first block says of which types: doubles, unless the file has no digits that float32 would lose.
    """
    first = next(blocks)
    types = first[0].dtype, first[1].dtype
    blocks = chain((first,), blocks)
    if math.prod(shapes[0]) * types[0].itemsize <= files.resident_bytes:
        arrays = np.empty(shapes[0], types[0]), np.empty(shapes[1], types[1])
        _fill(arrays, blocks)
        return arrays
    folder = content.parent / f"rows-{hashlib.sha256(f'{types[0]} {key}'.encode()).hexdigest()[:16]}"
    if not folder.exists():
        _unpack(folder, blocks, shapes, types)
    x = np.load(folder / "x.npy", mmap_mode="r", allow_pickle=False)
    return x, np.load(folder / "y.npy", allow_pickle=False)


def _unpack(
    folder: Path,
    blocks: Iterator[Block],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    types: tuple[np.dtype[Any], np.dtype[Any]],
) -> None:
    """Write x.npy and y.npy; another worker may do the same at the same time, and one of the two stays."""
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
        if not folder.exists():  # else the other one was first
            raise RunFailure("out_of_disk", f"the upload could not be unpacked ({error.strerror})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(arrays: Block, blocks: Iterator[Block]) -> None:
    filled = [0, 0]
    for block in blocks:
        for place, (array, piece) in enumerate(zip(arrays, block, strict=True)):
            array[filled[place] : filled[place] + len(piece)] = piece
            filled[place] += len(piece)
    if filled != [len(array) for array in arrays]:
        raise ValueError(f"the file has {filled} rows, not {[len(array) for array in arrays]} as its report says")


def _rows(
    content: Path, resolved: Resolved, predict: list[str], features: Sequence[str] | None, answers: Answers
) -> Iterator[Block]:
    """Blocks of a table; the report has shown that every cell can be read."""
    columns = [*features, *predict] if features else None
    try:
        for batch in batches(content, resolved.format, columns):
            y = [batch.pop(name) for name in predict]
            x = _beside([batch[name] for name in features or batch])
            yield x, answers(y, resolved.classes)
    except Invalid as error:
        raise ValueError(f"the file cannot be read as its report says: {error.problems[0].detail}") from error


def _beside(arrays: Sequence[Any]) -> npt.NDArray[Any]:
    """Columns of single values side by side, or one array of several."""
    found = [_numbers(array) for array in arrays]
    return found[0] if len(found) == 1 and found[0].ndim > 1 else np.stack(found, axis=1)


def _values(arrays: Sequence[Any], classes: tuple[str, ...]) -> npt.NDArray[Any]:
    (array,) = arrays
    return _numbers(array)


def _distributions(arrays: Sequence[Any], classes: tuple[str, ...]) -> npt.NDArray[Any]:
    """Probabilities that sum to 1, or logarithms of such, (n, K); each loss takes one of the two."""
    found = _beside(arrays)
    sums = (np.exp(found) if (found < 0).any() else found).sum(axis=1)
    if (wrong := np.abs(sums - 1) > TOLERANCE).any():
        detail = f"the columns to predict are no distribution: the probabilities of a row sum to {sums[wrong][0]:.6g}"
        raise RunFailure("spec_cannot_build", detail)
    return found


def _numbers(array: Any) -> npt.NDArray[Any]:
    return real_numbers(array)


def labels(arrays: Sequence[Any], classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Class numbers: a cell is a class as it stands, or as the number it spells."""
    (array,) = arrays
    places = {name: place for place, name in enumerate(classes)}
    if is_text(array):
        cells: list[str] = array.to_pylist()
        spelt = {cell: places[cell] if cell in places else places[canonical(cell)] for cell in set(cells)}
        return np.array([spelt[cell] for cell in cells], np.int64)
    values, inverse = np.unique(_numbers(array), return_inverse=True)
    boolean = set(classes) <= {"true", "false"}
    names = ["true" if value else "false" for value in values] if boolean else [label(v) for v in values.tolist()]
    found: npt.NDArray[np.int64] = np.array([places[name] for name in names], np.int64)[inverse]
    return found


def _tokens(content: Path, vocabulary: str, used: int) -> Iterator[Block]:
    """Token numbers of the first `used` characters."""
    known = np.array([ord(character) for character in vocabulary], np.uint32)  # in order, as the report lists them
    left = used
    for piece in characters(content):
        points = np.frombuffer(piece[:left].encode("utf-32-le"), "<u4")
        left -= len(points)
        yield np.searchsorted(known, points), np.empty(0, np.int64)
        if not left:
            return
