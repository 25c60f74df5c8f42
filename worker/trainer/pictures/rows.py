"""Rows that are images, as small pictures for a person to look at."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from service.spec.datasets import DatasetBase

SIDE = 48  # pixels of a picture, at most: twenty fit in a reading
Scale = dict[str, Any]


def are_pictures(dataset: DatasetBase) -> bool:
    """Whether a row is an image (C, H, W) of grey values or colours."""
    shape = dataset.stored_shape
    return len(shape) == 3 and shape[0] in (1, 3) and shape == dataset.facts.shape


def pictures(rows: Tensor, dataset: DatasetBase, scale: Scale | None) -> list[str]:
    """Return each row (N, C, H, W), as the model sees it, as a PNG in base64.

    `scale` is what scaled the features. Values of images are bytes; those of other data are stretched from the least of
    these rows to the largest.
    """
    values = rows.double().cpu().numpy()
    if scale is not None:
        values = values * np.array(scale["divisor"]) + np.array(scale["shift"])
    if not dataset.of_bytes:
        least, most = values.min(), values.max()
        values = (values - least) * (255 / (most - least)) if most > least else np.zeros_like(values)
    octets = np.rint(np.clip(np.nan_to_num(values), 0, 255)).astype(np.uint8)
    return [_png(each) for each in octets]


def _png(octets: npt.NDArray[np.uint8]) -> str:
    image = Image.fromarray(octets[0] if len(octets) == 1 else np.ascontiguousarray(octets.transpose(1, 2, 0)))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
