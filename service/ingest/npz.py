"""NPZ: numpy's arrays in a zip file, read in blocks of rows; what would need a pickle is refused.

Where each array is there twice, as x_train and x_test, the two are one column x, the rows to test on last.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from service.ingest.csv import Batch
from service.ingest.refusing import check_names, check_rows, refused
from service.ingest.values import Unread
from service.spec.datasets.report import RULES, Reading

UNPACKED_BYTES = 2**34
BLOCK_BYTES = 2**22
ROW_BYTES = 2**26
DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError, NotImplementedError)


FORTRAN_BYTES = 2**30  # of an array that is stored by columns: it is read whole
TRAIN, TEST = "_train", "_test"
PAIRS = "x_train, y_train, x_test, y_test"
DATES = "mM"  # numpy's kinds of dates and durations


class Member(NamedTuple):
    """One array: `shape` is a row's."""

    name: str
    file: IO[bytes]
    dtype: np.dtype[Any]
    rows: int
    shape: tuple[int, ...]
    by_columns: bool = False  # Fortran's order

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return max(self.dtype.itemsize * math.prod(self.shape), 1)


def batches(path: Path, columns: Sequence[str] | None, reading: Reading) -> Iterator[Batch]:
    """Blocks of rows: numpy arrays (N, *shape), texts as lists in pyarrow arrays."""
    try:
        with zipfile.ZipFile(path) as archive, ExitStack() as stack:
            for part in _parts([_member(archive, info, stack) for info in _infos(archive)], reading):
                yield from _blocks({name: part[name] for name in part if columns is None or name in columns})
    except DAMAGED:
        raise refused("unreadable", "the file cannot be read as NPZ: it is damaged, or holds Python objects.") from None


def test_rows(path: Path, reading: Reading) -> int:
    """How many of the last rows the file itself keeps for testing."""
    with zipfile.ZipFile(path) as archive, ExitStack() as stack:
        parts = _parts([_member(archive, info, stack) for info in _infos(archive)], reading)
        return next(iter(parts[1].values())).rows if len(parts) > 1 else 0


def _parts(members: list[Member], reading: Reading) -> list[dict[str, Member]]:
    """Column -> array, for all rows, or for those to train on and then those to test on."""
    by_name = {member.name: member for member in members}
    stems = [name.removesuffix(TRAIN) for name in by_name if name.endswith(TRAIN)]
    paired = bool(stems) and reading.rules >= RULES
    if paired and set(by_name) == {stem + part for stem in stems for part in (TRAIN, TEST)}:
        parts = [{stem: by_name[stem + part] for stem in stems} for part in (TRAIN, TEST)]
    else:
        parts = [by_name]
    for part in parts:
        if len({member.rows for member in part.values()}) > 1:
            sizes = ", ".join(f"{name} {member.rows}" for name, member in [*part.items()][:6])
            detail = f"the arrays must have as many rows each, or be {PAIRS}; there are {sizes}."
            raise refused("ragged_row", detail)
    if any(one.shape != parts[0][name].shape for part in parts for name, one in part.items()):
        raise refused("wrong_shape", "an array to test on has rows of another shape than the one to train on.")
    check_names(list(parts[0]))
    check_rows(sum(next(iter(part.values())).rows for part in parts))
    return parts


def _blocks(chosen: dict[str, Member]) -> Iterator[Batch]:
    rows = next(iter(chosen.values())).rows
    size = max(1, BLOCK_BYTES // max(member.row_bytes for member in chosen.values()))
    whole = {name: _by_columns(member) for name, member in chosen.items() if member.by_columns}
    for start in range(0, rows, size):
        count = min(size, rows - start)
        yield {
            name: whole[name][start : start + count] if name in whole else _block(member, count)
            for name, member in chosen.items()
        }


def _infos(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if not names or not all(name.endswith(".npy") and "/" not in name and "\\" not in name for name in names):
        raise refused("wrong_format", f"the file is {_kind(names)}.")
    if sum(info.file_size for info in infos) > UNPACKED_BYTES:
        raise refused("too_large", "the arrays take more than 16 GiB once they are unpacked.", UNPACKED_BYTES)
    check_names([name.removesuffix(".npy") for name in names])
    return infos


def _kind(names: list[str]) -> str:
    """What a zip file that is no NPZ is, and the way out."""
    if "[Content_Types].xml" in names or any(name.startswith("xl/") for name in names):
        return "an Excel workbook: save the sheet as CSV (UTF-8) and upload that"
    if "mimetype" in names or "content.xml" in names:
        return "a spreadsheet (OpenDocument): save the sheet as CSV (UTF-8) and upload that"
    if any(name.endswith(".npy") for name in names):
        return "a zip archive of arrays and of other things: write it with numpy.savez"
    return "a zip archive: unpack it and upload the table itself"


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, stack: ExitStack) -> Member:
    """An array's header, and the stream of its values behind it."""
    name = info.filename.removesuffix(".npy")
    file = stack.enter_context(archive.open(info))
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise refused("wrong_type", f"the array {name} has named fields: save plain arrays.")
    shape, fortran, dtype = read(file)
    if dtype.hasobject or dtype.kind not in "biufU" + DATES:
        raise refused(
            "wrong_type",
            f"the array {name} is of type {dtype}: only numbers, booleans and texts are read{_fix(dtype)}.",
        )
    if not 1 <= len(shape) <= 4 or 0 in shape or (dtype.kind == "U" and len(shape) > 1):
        raise refused(
            "wrong_shape", f"the array {name} has the shape {list(shape)}: give rows first, 1 to 4 dimensions."
        )
    by_columns, inner = fortran and len(shape) > 1, tuple(shape[1:])
    if by_columns and math.prod(shape) * dtype.itemsize > FORTRAN_BYTES:
        detail = f"the array {name} is larger than 1 GiB and stored by columns: save numpy.ascontiguousarray of it."
        raise refused("wrong_order", detail, FORTRAN_BYTES)
    member = Member(name, file, dtype, shape[0], inner if inner != (1,) else (), by_columns)
    if member.row_bytes > ROW_BYTES:
        raise refused("row_too_long", f"a row of the array {name} is larger than {ROW_BYTES} bytes.", ROW_BYTES)
    return member


def _fix(dtype: np.dtype[Any]) -> str:
    """The way out where there is one."""
    return ", so save it with .astype(str)" if dtype.hasobject or dtype.kind == "S" else ""


def _by_columns(member: Member) -> Any:
    """All of an array in Fortran's order."""
    raw = member.file.read(member.rows * member.row_bytes)
    shape = (member.rows, *member.shape)
    return np.ascontiguousarray(np.frombuffer(raw, member.dtype).reshape(shape, order="F"))


def _block(member: Member, rows: int) -> Any:
    if member.dtype.kind in DATES:
        return Unread(str(member.dtype), rows)
    raw = member.file.read(rows * member.row_bytes)
    if len(raw) != rows * member.row_bytes:
        raise ValueError("an array ends early")
    block = np.frombuffer(raw, member.dtype).reshape(rows, *member.shape)
    if member.dtype.kind != "U":
        return block
    import pyarrow as pa  # noqa: PLC0415  half a second, and only texts need it

    return pa.array(block.tolist(), pa.large_string())
