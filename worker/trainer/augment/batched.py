"""torchvision's cheap transforms for a whole batch at once, one draw for each image.

torchvision draws once per call, so a batch would be flipped as a whole. The distributions are torchvision's; images
keep their bytes.
"""

import torch
from torch import Tensor
from torch.nn import functional

from worker.trainer.data.batches import copy_to_device


def horizontal_flip(x: Tensor, p: float = 0.5) -> Tensor:
    """Mirror left and right each image with probability `p`."""
    return _flip(x, p, -1)


def vertical_flip(x: Tensor, p: float = 0.5) -> Tensor:
    """Mirror top and bottom of each image with probability `p`."""
    return _flip(x, p, -2)


def _flip(x: Tensor, p: float, dim: int) -> Tensor:
    chosen = copy_to_device(torch.rand(len(x)) < p, x.device)
    return torch.where(chosen[:, None, None, None], x.flip(dim), x)


def crop(x: Tensor, padding: int) -> Tensor:
    """Shift each image by up to `padding` pixels in both directions; what comes in is black."""
    n, _, height, width = x.shape
    padded = functional.pad(x, (padding,) * 4)
    tops, lefts = (torch.randint(2 * padding + 1, (n, 1)) for _ in range(2))
    if x.device.type == "cpu":  # copies of windows are many times faster than an index per pixel
        places = zip(padded, tops.flatten().tolist(), lefts.flatten().tolist(), strict=True)
        return torch.stack([image[:, top : top + height, left : left + width] for image, top, left in places])
    tops, lefts = copy_to_device(tops, x.device), copy_to_device(lefts, x.device)
    rows = tops + torch.arange(height, device=x.device)
    columns = lefts + torch.arange(width, device=x.device)
    at = torch.arange(n, device=x.device)
    return padded[at[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
