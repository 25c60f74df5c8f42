"""Pictures of augmented images, for a person to look at: a reading at the start of a run, or of a preview before it."""

import base64
import io
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from service.spec.probe_jobs import AUGMENTED
from worker.trainer.augment.augment import Augment
from worker.trainer.data.batches import Batches

KIND = AUGMENTED
DRAWS = 3  # rows of augmented images, below the row of the originals
MOST = 8  # images
PIXELS = 60_000  # of the picture, so that it fits in a reading


def augmented_samples(batches: Batches, augment: Augment) -> dict[str, Any]:
    """Return a picture of the first rows: as they are, and as the first updates would see them."""
    height, width = batches.x.shape[2:]
    stride = 1
    while (1 + DRAWS) * (height // stride) * (width // stride) > PIXELS:
        stride += 1
    columns = max(1, min(MOST, len(batches.x), PIXELS // ((1 + DRAWS) * (height // stride) * (width // stride))))
    chosen = batches.row_numbers(1)[:columns]
    images, y = batches.stored(chosen)
    drawn = [images, *(augment.bytes_of(step, images, y)[0] for step in range(1, 1 + DRAWS))]
    png = base64.b64encode(_png([each[..., ::stride, ::stride] for each in drawn])).decode()
    return {"images": len(images), "draws": DRAWS, "height": height, "width": width, "png": png}


def _png(rows: list[Tensor]) -> bytes:
    """Return a picture with a row for each (N, C, H, W)."""
    grid = torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2).cpu()
    values = grid.permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
