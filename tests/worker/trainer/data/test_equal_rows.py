"""Rows of the training part that are held out too: counted as a comparison of every pair counts them."""

from typing import Any

import numpy as np
import pytest
import torch

from worker.trainer.data import equal_rows
from worker.trainer.data.equal_rows import count_equal_rows
from worker.trainer.data.memory_mapped import MappedRows

DRAW = np.random.RandomState(0)
X = {
    "numbers": DRAW.randint(0, 2, (300, 7)).astype(np.float32),
    "pixels": DRAW.randint(0, 2, (300, 1, 3, 3)).astype(np.uint8),
    "one": DRAW.randint(0, 90, (300, 1)).astype(np.float32),
}
Y = {"classes": DRAW.randint(0, 3, 300), "values": DRAW.randint(0, 3, (300, 1)).astype(np.float32)}


def every_pair(x: Any, y: Any, train: int) -> int:
    same = [
        (x[:train] == row).reshape(train, -1).all(1) & (y[:train] == t).reshape(train, -1).all(1)
        for row, t in zip(x[train:], y[train:], strict=True)
    ]
    return sum(bool(each.any()) for each in same)


@pytest.mark.parametrize("x", X.values(), ids=X)
@pytest.mark.parametrize("y", Y.values(), ids=Y)
def test_rows_are_counted_as_every_pair_says(x: Any, y: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal_rows, "BLOCK_BYTES", 1000)
    expected = every_pair(x, y, 200)
    assert 0 < expected < 100
    tables: Any = [(x[:200], x[200:]), (torch.from_numpy(x[:200]), torch.from_numpy(x[200:]))]
    tables.append((MappedRows(x, np.arange(200)), MappedRows(x, np.arange(200, 300))))
    for train, held_out in tables:
        assert count_equal_rows((train, y[:200]), (held_out, y[200:])) == expected


def test_the_order_of_a_row_counts_and_the_sign_of_zero_does_not() -> None:
    y = np.zeros(1, np.int64)
    row, turned, minus = (np.array([each], np.float32) for each in ((1, 0, 2), (2, 0, 1), (1, -0.0, 2)))
    assert count_equal_rows((row, y), (turned, y)) == 0
    assert count_equal_rows((row, y), (minus, y)) == 1
    assert count_equal_rows((row, y), (row, y + 1)) == 0


def test_more_bytes_than_the_limit_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equal_rows, "MAX_BYTES", 100)
    assert count_equal_rows((np.zeros((9, 2)), np.zeros(9)), (np.zeros((9, 2)), np.zeros(9))) is None
