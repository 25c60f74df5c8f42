"""NPZ: numpy's arrays in a zip file, read in blocks of rows; what would need a pickle is refused."""

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

UNPACKED_BYTES = 2**34
BLOCK_BYTES = 2**22
ROW_BYTES = 2**26
DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError, NotImplementedError)


class Member(NamedTuple):
    """One array: `shape` is a row's."""

    name: str
    file: IO[bytes]
    dtype: np.dtype[Any]
    rows: int
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return max(self.dtype.itemsize * math.prod(self.shape), 1)


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Batch]:
    """Blocks of rows: numpy arrays (N, *shape), texts as lists in pyarrow arrays."""
    try:
        with zipfile.ZipFile(path) as archive, ExitStack() as stack:
            members = [_member(archive, info, stack) for info in _infos(archive)]
            check_names([member.name for member in members])
            rows = members[0].rows
            check_rows(rows)
            if any(member.rows != rows for member in members):
                raise refused("ragged_row", "the arrays have different numbers of rows (their first dimension).")
            chosen = [member for member in members if columns is None or member.name in columns]
            size = max(1, BLOCK_BYTES // max(member.row_bytes for member in chosen))
            for start in range(0, rows, size):
                count = min(size, rows - start)
                yield {member.name: _block(member, count) for member in chosen}
    except DAMAGED:
        raise refused("unreadable", "the file cannot be read as NPZ: it is damaged, or holds Python objects.") from None


def _infos(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if not names or not all(name.endswith(".npy") and "/" not in name and "\\" not in name for name in names):
        raise refused("wrong_format", "the archive holds something else than arrays: write it with numpy.savez.")
    if sum(info.file_size for info in infos) > UNPACKED_BYTES:
        raise refused("too_large", "the arrays take more than 16 GiB once they are unpacked.", UNPACKED_BYTES)
    check_names([name.removesuffix(".npy") for name in names])
    return infos


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, stack: ExitStack) -> Member:
    """An array's header, and the stream of its values behind it."""
    name = info.filename.removesuffix(".npy")
    file = stack.enter_context(archive.open(info))
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise refused("wrong_type", f"the array {name} has named fields: save plain arrays.")
    shape, fortran, dtype = read(file)
    if dtype.hasobject or dtype.kind not in "biufU":
        raise refused("wrong_type", f"the array {name} is of type {dtype}: only numbers, booleans and texts are read.")
    if not 1 <= len(shape) <= 4 or 0 in shape or (dtype.kind == "U" and len(shape) > 1):
        raise refused(
            "wrong_shape", f"the array {name} has the shape {list(shape)}: give rows first, 1 to 4 dimensions."
        )
    if fortran and len(shape) > 1:
        raise refused("wrong_order", f"the array {name} is stored by columns: save numpy.ascontiguousarray of it.")
    member = Member(name, file, dtype, shape[0], tuple(shape[1:]))
    if member.row_bytes > ROW_BYTES:
        raise refused("row_too_long", f"a row of the array {name} is larger than {ROW_BYTES} bytes.", ROW_BYTES)
    return member


def _block(member: Member, rows: int) -> Any:
    raw = member.file.read(rows * member.row_bytes)
    if len(raw) != rows * member.row_bytes:
        raise ValueError("an array ends early")
    block = np.frombuffer(raw, member.dtype).reshape(rows, *member.shape)
    if member.dtype.kind != "U":
        return block
    import pyarrow as pa  # noqa: PLC0415  half a second, and only texts need it

    return pa.array(block.tolist(), pa.string())
