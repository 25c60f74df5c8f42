"""NPZ: numpy's arrays in a zip file, read in blocks of rows; what would need a pickle is invalid_file.

Where every array comes in two parts, x_train and x_test, they are one column x, test rows last.
"""

import lzma
import math
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa

from service.ingest.cells import Batch, UnreadValues
from service.ingest.validation import check_names, check_rows, invalid_file
from service.spec.datasets.report import RULES, Reading

MAX_ROW_BYTES = 2**26  # of all arrays together
MAX_ROW_VALUES = 2**23
MAX_FORTRAN_BYTES = 2**30  # of an array that is stored by columns: it is read whole
BLOCK_BYTES = 2**22
DAMAGED = (  # RuntimeError: a password, or a header that nests too deeply
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, OSError, EOFError, RuntimeError),
    *(NotImplementedError, TypeError, OverflowError),
)
TRAIN, TEST = "_train", "_test"
PAIRS = "x_train, y_train, x_test, y_test"
UNREADABLE = "the file cannot be read as NPZ: it is damaged, or holds Python objects."
DATES = "mM"  # numpy's kinds of dates and durations


class Member(NamedTuple):
    """One array: `rows` rows of `shape`."""

    name: str
    file: IO[bytes]
    dtype: np.dtype[Any]
    rows: int
    shape: tuple[int, ...]
    is_fortran: bool = False  # stored by columns

    @property
    def row_values(self) -> int:
        """Values of a row."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize * self.row_values


def read_batches(path: Path, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """Yield blocks of rows: numpy arrays (N, *shape), texts as pyarrow arrays."""
    try:
        with zipfile.ZipFile(path) as archive, ExitStack() as stack:
            for part in _open_parts(archive, stack, reading):
                yield from _blocks({name: part[name] for name in part if columns is None or name in columns})
    except DAMAGED:
        raise invalid_file("unreadable", UNREADABLE) from None


def declared_size(path: Path) -> tuple[int, int]:
    """Return the values and the bytes that the headers declare, without unpacking the arrays."""
    try:
        with zipfile.ZipFile(path) as archive, ExitStack() as stack:
            infos = _infos(archive)
            members = [_open_member(archive, info, stack) for info in infos]
            values = sum(member.rows * member.row_values for member in members)
            return values, sum(info.file_size for info in infos)
    except DAMAGED:
        raise invalid_file("unreadable", UNREADABLE) from None


def count_test_rows(path: Path, reading: Reading) -> int:
    """Return how many of the last rows the file keeps for testing."""
    with zipfile.ZipFile(path) as archive, ExitStack() as stack:
        parts = _open_parts(archive, stack, reading)
        return next(iter(parts[1].values())).rows if len(parts) > 1 else 0


def _open_parts(archive: zipfile.ZipFile, stack: ExitStack, reading: Reading) -> list[dict[str, Member]]:
    """Return column -> array for all rows, or for the training rows and then for the test rows."""
    members = [_open_member(archive, info, stack) for info in _infos(archive)]
    by_name = {member.name: member for member in members}
    stems = [name.removesuffix(TRAIN) for name in by_name if name.endswith(TRAIN)]
    paired = bool(stems) and reading.rules >= RULES
    if paired and set(by_name) == {stem + part for stem in stems for part in (TRAIN, TEST)}:
        parts = [{stem: by_name[stem + part] for stem in stems} for part in (TRAIN, TEST)]
    else:
        parts = [by_name]
    for part in parts:
        _check_row(part.values())
        if len({member.rows for member in part.values()}) > 1:
            sizes = ", ".join(f"{name} {member.rows}" for name, member in [*part.items()][:6])
            detail = f"the arrays must have as many rows each, or be {PAIRS}; there are {sizes}."
            raise invalid_file("ragged_row", detail)
    if any(one.shape != parts[0][name].shape for part in parts for name, one in part.items()):
        raise invalid_file("wrong_shape", "an array to test on has rows of another shape than the one to train on.")
    check_names(list(parts[0]))
    check_rows(sum(next(iter(part.values())).rows for part in parts))
    return parts


def _check_row(members: Collection[Member]) -> None:
    """Raise `Invalid` where a row of all arrays together is too large to be read."""
    if sum(member.row_bytes for member in members) > MAX_ROW_BYTES:
        detail = f"a row of the arrays takes more than {MAX_ROW_BYTES} bytes: give rows first, and smaller ones."
        raise invalid_file("row_too_long", detail, MAX_ROW_BYTES)
    if sum(member.row_values for member in members) > MAX_ROW_VALUES:
        detail = f"a row of the arrays has more than {MAX_ROW_VALUES} values: give rows first, and smaller ones."
        raise invalid_file("row_too_long", detail, MAX_ROW_VALUES)


def _blocks(chosen: dict[str, Member]) -> Iterator[Batch]:
    rows = next(iter(chosen.values())).rows
    size = max(1, BLOCK_BYTES // sum(member.row_bytes for member in chosen.values()))
    whole = {name: _read_fortran(member) for name, member in chosen.items() if member.is_fortran}
    for start in range(0, rows, size):
        count = min(size, rows - start)
        yield {
            name: whole[name][start : start + count] if name in whole else _read_block(member, count)
            for name, member in chosen.items()
        }


def _infos(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if not names or not all(name.endswith(".npy") and "/" not in name and "\\" not in name for name in names):
        raise invalid_file("wrong_format", f"the file is {_kind(names)}.")
    check_names([name.removesuffix(".npy") for name in names])
    return infos


def _kind(names: list[str]) -> str:
    """Return what a zip file that is no NPZ is, and what to do."""
    if "[Content_Types].xml" in names or any(name.startswith("xl/") for name in names):
        return "an Excel workbook: save the sheet as CSV (UTF-8) and upload that"
    if "mimetype" in names or "content.xml" in names:
        return "a spreadsheet (OpenDocument): save the sheet as CSV (UTF-8) and upload that"
    if any(name.endswith(".npy") for name in names):
        return "a zip archive of arrays and of other things: write it with numpy.savez"
    return "a zip archive: unpack it and upload the table itself"


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, stack: ExitStack) -> Member:
    """Read an array's header; the stream then stands at its values."""
    name = info.filename.removesuffix(".npy")
    file = stack.enter_context(archive.open(info))
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise invalid_file("wrong_type", f"the array {name} has named fields: save plain arrays.")
    try:
        shape, fortran, dtype = read(file)
    except MemoryError:  # Python's parser raises it for what nests too deeply
        raise ValueError("the header of an array cannot be read") from None
    if dtype.hasobject or dtype.kind not in "biufU" + DATES:
        advice = ", so save it with .astype(str)" if dtype.hasobject or dtype.kind == "S" else ""
        detail = f"the array {name} is of type {dtype}: only numbers, booleans and texts are read{advice}."
        raise invalid_file("wrong_type", detail)
    if not 1 <= len(shape) <= 4 or min(shape) < 1 or not dtype.itemsize or (dtype.kind == "U" and len(shape) > 1):
        detail = f"the array {name} has the shape {list(shape)}: give rows first, 1 to 4 dimensions."
        raise invalid_file("wrong_shape", detail)
    is_fortran, inner = fortran and len(shape) > 1, tuple(shape[1:])
    if is_fortran and math.prod(shape) * dtype.itemsize > MAX_FORTRAN_BYTES:
        detail = f"the array {name} is larger than 1 GiB and stored by columns: save numpy.ascontiguousarray of it."
        raise invalid_file("wrong_order", detail, MAX_FORTRAN_BYTES)
    member = Member(name, file, dtype, shape[0], inner if inner != (1,) else (), is_fortran)
    return member


def _read_fortran(member: Member) -> Any:
    """Read all of an array that is stored by columns."""
    raw = member.file.read(member.rows * member.row_bytes)
    shape = (member.rows, *member.shape)
    return np.ascontiguousarray(np.frombuffer(raw, member.dtype).reshape(shape, order="F"))


def _read_block(member: Member, rows: int) -> Any:
    if member.dtype.kind in DATES:
        return UnreadValues(str(member.dtype), rows)
    raw = member.file.read(rows * member.row_bytes)
    if len(raw) != rows * member.row_bytes:
        raise ValueError("an array ends early")
    block = np.frombuffer(raw, member.dtype).reshape(rows, *member.shape)
    if member.dtype.kind != "U":
        return block
    return pa.array(block.tolist(), pa.large_string())
