"""torchvision's adjustments of colours for many images at once, each by a factor of its own, equal to the last bit.

Images (B, C, H, W) are bytes with 1 or 3 channels. A mean over an image, and a blend, which multiplies and adds in one
rounding, take one image at a time, so that no value depends on the batch.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from worker.trainer.optional_imports import import_optional

Factors = Sequence[float]
Adjust = Callable[[Tensor, Factors], Tensor]
BYTE = 255  # the largest value


def brightness(images: Tensor, factors: Factors) -> Tensor:
    """Multiply by the factors."""
    return _bytes(images.mul(_column(factors, torch.get_default_dtype())))


def saturation(images: Tensor, factors: Factors) -> Tensor:
    """Blend with each pixel's grey."""
    return images if images.shape[1] == 1 else _blend(images, _grey(images), factors)


def contrast(images: Tensor, factors: Factors) -> Tensor:
    """Blend with the mean grey of the image."""
    grey = images.float() if images.shape[1] == 1 else _grey(images)
    return _blend(images, torch.stack([one.mean((-3, -2, -1), keepdim=True) for one in grey]), factors)


def hue(images: Tensor, factors: Factors) -> Tensor:
    """Turn the hue by these shares of a circle."""
    if images.shape[1] == 1:
        return images
    color = import_optional("torchvision.transforms.v2.functional._color", "vision")
    convert = import_optional("torchvision.transforms.v2.functional", "vision").to_dtype_image
    h, s, v = color._rgb_to_hsv(convert(images, torch.float32, scale=True)).unbind(-3)
    turned = h.add(_column(factors, torch.float32)[:, 0]).remainder_(1.0)
    found: Tensor = convert(color._hsv_to_rgb(torch.stack((turned, s, v), -3)), torch.uint8, scale=True)
    return found


def sharpness(images: Tensor, factors: Factors) -> Tensor:
    """Blend all but the edge with a smoothed copy."""
    channels, height, width = images.shape[1:]
    if min(height, width) <= 2:
        return images
    near, middle = 1.0 / 13.0, 5.0 / 13.0
    kernel = torch.tensor([[near, near, near], [near, middle, near], [near, near, near]], dtype=torch.float32)
    sharpened = images.float()
    smooth = functional.conv2d(sharpened, kernel.expand(channels, 1, 3, 3), groups=channels).round_()
    inner = sharpened[..., 1:-1, 1:-1]
    for image, other, factor in zip(inner, smooth.sub_(inner), factors, strict=True):
        image.add_(other, alpha=1.0 - factor)
    return _bytes(sharpened)


def posterize(images: Tensor, bits: Factors) -> Tensor:
    """Keep the upper bits of each byte."""
    return images & torch.tensor([BYTE - (BYTE >> int(kept)) for kept in bits], dtype=torch.uint8)[:, None, None, None]


def solarize(images: Tensor, thresholds: Factors) -> Tensor:
    """Invert the values from the threshold on."""
    above = images >= _column(thresholds, torch.get_default_dtype())
    return torch.where(above, images.bitwise_not(), images)


def _grey(images: Tensor) -> Tensor:
    r, g, b = images.unbind(-3)
    return r.mul(0.2989).add_(g, alpha=0.587).add_(b, alpha=0.114).unsqueeze(-3).floor_()


def _blend(images: Tensor, others: Tensor, factors: Factors) -> Tensor:
    blended = images.mul(_column(factors, torch.get_default_dtype()))
    for image, other, factor in zip(blended, others, factors, strict=True):
        image.add_(other, alpha=1.0 - factor)
    return _bytes(blended)


def _bytes(values: Tensor) -> Tensor:
    return values.clamp_(0, BYTE).to(torch.uint8)


def _column(factors: Factors, kind: torch.dtype) -> Tensor:
    return torch.tensor(factors, dtype=kind)[:, None, None, None]
