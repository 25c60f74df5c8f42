"""Rows that are in two parts: what a model is told of them in training, it need not learn to answer right."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from worker.trainer.data.memory_mapped import MappedRows, PackedRows, RowTensor

MAX_BYTES = 2**28  # of all parts together; more is not counted
BLOCK_BYTES = 2**22
WORD = 8
Hashes = npt.NDArray[np.uint64]
Table = RowTensor | npt.NDArray[np.generic]
Rows = tuple[Table, Table]  # x (N, ...), y (N, ...)


def count_equal_rows(train: Rows, held_out: Rows) -> int | None:
    """Return how many held-out rows equal a training row, features and target; None: too many bytes to compare."""
    if sum(map(_bytes, (*train, *held_out))) > MAX_BYTES:
        return None
    known, asked = np.sort(_hash_rows(train)), _hash_rows(held_out)
    if not len(known):
        return 0
    at = np.searchsorted(known, asked)  # np.isin imports numpy.ma, which takes longer than the whole comparison
    return int((known[np.minimum(at, len(known) - 1)] == asked).sum())


def _bytes(table: Table) -> int:
    if isinstance(table, MappedRows):
        return len(table) * int(np.prod(table.source.shape[1:])) * table.source.itemsize
    if isinstance(table, PackedRows):
        return table.packed.nbytes
    return table.nbytes


def _hash_rows(rows: Rows) -> Hashes:
    """Return a hash of 64 bits for each row."""
    x, y = map(_hash_table, rows)
    return _mix(x[:, None]) + y


def _hash_table(table: Table) -> Hashes:
    """Hash the rows as they are stored, some at a time."""
    row_bytes = max(_bytes(table) // max(len(table), 1), 1)
    size = max(BLOCK_BYTES // row_bytes, 1)
    blocks = [_mix(_words(_values(table, slice(at, at + size)))) for at in range(0, len(table), size)]
    return np.concatenate(blocks) if blocks else np.empty(0, np.uint64)


def _values(table: Table, chosen: slice) -> npt.NDArray[np.generic]:
    if isinstance(table, MappedRows):
        return table.raw(chosen)
    stored = table.packed if isinstance(table, PackedRows) else table
    return stored[chosen].cpu().numpy() if isinstance(stored, torch.Tensor) else stored[chosen]


def _words(values: npt.NDArray[np.generic]) -> Hashes:
    """Return each row's bytes as words, (n, words); -0 and 0 are one number."""
    flat: npt.NDArray[Any] = values.reshape(len(values), -1)
    if flat.dtype.kind == "f":
        flat = flat + np.zeros((), flat.dtype)
    octets = np.ascontiguousarray(flat).view(np.uint8)
    if padding := -octets.shape[1] % WORD:
        octets = np.pad(octets, ((0, 0), (0, padding)))
    return octets.view(np.uint64)


def _mix(words: Hashes) -> Hashes:
    """Return the sum of a row's words, each scrambled with its place (splitmix64; Steele et al. 2014)."""
    place = np.arange(1, words.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = words + place
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Hashes = (mixed ^ (mixed >> np.uint64(31))).sum(axis=1)
    return found
