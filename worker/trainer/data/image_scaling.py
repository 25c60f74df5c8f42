"""Scaling of images, channel by channel: exact sums over integers, so no order of rows changes a bit."""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.spec.datasets.images import ImagesBase
from worker.trainer.data.scaling import ReadBlock, Scale, pieces

WHITE = 255.0


def fit_channels(dataset: ImagesBase, take: ReadBlock, rows: int) -> Scale | None:
    """Return shift and divisor (C, 1, 1) for bytes (N, C, H, W); None where they stay unscaled."""
    if dataset.scaling == "none":
        return None
    channels = dataset.channels
    if dataset.scaling == "minmax":
        shift, divisor = np.zeros(channels), np.full(channels, WHITE)
    elif dataset.mean is not None and dataset.std is not None:
        shift, divisor = WHITE * np.array(dataset.mean), WHITE * np.array(dataset.std)
    else:
        shift, divisor = _mean_and_deviation(take, rows, channels)
    return Scale(shift.reshape(-1, 1, 1), divisor.reshape(-1, 1, 1))


def _mean_and_deviation(take: ReadBlock, rows: int, channels: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    counts = np.zeros((channels, 256), np.int64)
    for piece in pieces(take(slice(0, 1)).shape, 0, rows):  # counting makes eight bytes of each
        block = take(piece)
        for channel in range(channels):
            counts[channel] += np.bincount(block[:, channel].ravel(), minlength=256)
    values, total = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ values / total
    variance = (counts * np.square(values - mean[:, None])).sum(axis=1) / total
    return mean, np.where(variance == 0, 1.0, np.sqrt(variance))
