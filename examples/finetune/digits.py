"""Two files of handwritten digits: six of them to pretrain on, and the four others, of which few rows are known.

python examples/finetune/digits.py    writes pretrain.npz and few.npz
"""

from io import BytesIO
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

KNOWN = 6  # the digits 0 to 5 are pretrained on
FEW = 5  # training rows of each of the other digits


class Files(NamedTuple):
    """The contents of both files."""

    pretrain: bytes
    few: bytes


def files() -> Files:
    """Images (N, 1, 8, 8) from 0 to 1, their digits, and the part of each row; the same every time."""
    data, digits = load_digits(return_X_y=True)
    images = (data.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    known = digits < KNOWN
    order = np.random.default_rng(0).permutation(int(known.sum()))
    part = np.where(order < 0.8 * len(order), "train", "validation")
    others = digits[~known]
    rank = np.array([np.sum(others[:at] == digit) for at, digit in enumerate(others)])  # among rows of its digit
    return Files(
        _npz(images[known], digits[known], part),
        _npz(images[~known], others, np.where(rank < FEW, "train", "validation")),
    )


def _npz(image: np.ndarray, digit: np.ndarray, part: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, image=image, digit=digit, part=part)
    return buffer.getvalue()


if __name__ == "__main__":
    from pathlib import Path

    for name, content in files()._asdict().items():
        Path(f"{name}.npz").write_bytes(content)
