"""Doubles in an unnamed file, one group of columns after the other: written in rows, read in columns or in rows.

A scale is fitted on whole columns, in the order of the training rows, but on a few columns at a time. The file is gone
with the last reference to it, also after a crash.
"""

import math
import os
import shutil
import weakref
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import RunFailure
from worker.trainer.data.scaling import pieces

SPILLED_BYTES = 2**25  # smaller arrays stay in memory
GROUPS = 32  # of columns
ITEM_BYTES = 8
Doubles = npt.NDArray[np.float64]


class ColumnFile:
    """Doubles (N, *shape); a slice of rows is set and read as in an array."""

    dtype = np.dtype(np.float64)

    def __init__(self, folder: Path, shape: Sequence[int]) -> None:
        self.folder, self.shape = folder, tuple(shape)
        columns = math.prod(self.shape[1:])
        ends = [columns * at // min(GROUPS, columns) for at in range(min(GROUPS, columns) + 1)]
        self.groups = [range(first, end) for first, end in pairwise(ends)]
        self._file = TemporaryFile(dir=folder, prefix=".columns-", buffering=0)  # noqa: SIM115  closed with this object
        weakref.finalize(self, self._file.close)

    @classmethod
    def where_it_fits(cls, folder: Path | None, shape: Sequence[int]) -> "ColumnFile | None":
        """Return a file for an array of this shape; None where it is small, or the disk lacks room for two of them."""
        size = ITEM_BYTES * math.prod(shape)
        if folder is None or size < SPILLED_BYTES or 2 * size > shutil.disk_usage(folder).free:
            return None
        return cls(folder, shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, rows: slice, values: npt.NDArray[Any]) -> None:
        """Write rows; raise a permanent `RunFailure` where the disk is full."""
        flat = values.reshape(len(values), -1).astype(np.float64, copy=False)
        try:
            for group in self.groups:
                self._write(np.ascontiguousarray(flat[:, group.start : group.stop]), self._offset(group, rows.start))
        except OSError as error:
            raise RunFailure("out_of_disk", f"the upload could not be unpacked ({error.strerror})") from error

    def __getitem__(self, rows: slice) -> Doubles:
        """Read rows (n, *shape) in the file's order."""
        first, last, _ = rows.indices(len(self))
        found = np.empty((max(0, last - first), *self.shape[1:]))
        flat = found.reshape(len(found), self.groups[-1].stop)
        for group in self.groups:
            flat[:, group.start : group.stop] = self.read_group(group, first, len(found))
        return found

    def read_group(self, group: range, first: int = 0, count: int | None = None) -> Doubles:
        """Read `count` rows, by default all, of a group of columns: (n, width)."""
        found = np.empty((len(self) if count is None else count, len(group)))
        view, at = found.data.cast("B") if found.size else b"", self._offset(group, first)
        while view:
            if not (read := os.preadv(self._file.fileno(), [view], at)):
                raise OSError("the file of columns ends early")
            view, at = view[read:], at + read
        return found

    def columns(self, chosen: range) -> Doubles:
        """Read adjacent columns of all rows, (N, len(chosen))."""
        found = np.empty((len(self), len(chosen)))
        for group in self.groups:
            first, last = max(group.start, chosen.start), min(group.stop, chosen.stop)
            for rows in pieces((len(self), len(group)), 0, len(self)) if first < last else ():
                values = self.read_group(group, rows.start, rows.stop - rows.start)
                found[rows, first - chosen.start : last - chosen.start] = values[
                    :, first - group.start : last - group.start
                ]
        return found

    def _write(self, values: Doubles, at: int) -> None:
        view = values.data.cast("B") if values.size else b""
        while view:
            written = os.pwrite(self._file.fileno(), view, at)
            view, at = view[written:], at + written

    def _offset(self, group: range, row: int) -> int:
        return ITEM_BYTES * (len(self) * group.start + row * len(group))
