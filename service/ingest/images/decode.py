"""Decoding an image to bytes of one size, within limits that hold before a pixel is decoded.

Resizing is torchvision's for PIL images: bilinear with antialiasing, so that a textbook loader gets the same bytes.
"""

import io
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from service.ingest.images import MAX_ENCODED_BYTES

Bytes = npt.NDArray[np.uint8]
Resize = Literal["crop", "stretch", "pad"]
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 2**26
MAX_RATIO = 100  # of the longer side to the shorter one
FULL_16_BIT = 257  # 65535 / 255
Image.MAX_IMAGE_PIXELS = None  # a warning only; the limit above refuses


class BadImage(ValueError):
    """An image that cannot be decoded; the message says why."""


def open_image(encoded: bytes) -> Any:
    """Decode an image, the first frame of several, upright as its EXIF data say; raise `BadImage`."""
    if len(encoded) > MAX_ENCODED_BYTES:
        raise BadImage(f"has {len(encoded)} bytes; at most {MAX_ENCODED_BYTES}")
    try:
        image: Any = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except Exception:  # decoders of damaged files raise anything
        raise BadImage(f"is no image in one of the formats {', '.join(FORMATS)}") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"has {width} x {height} pixels; at most {MAX_PIXELS} in all")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadImage(f"has {width} x {height} pixels: one side is more than {MAX_RATIO} times the other")
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # as above
        raise BadImage("is damaged or ends early") from None


def to_array(image: Any, channels: int, size: tuple[int, int], resize: Resize) -> Bytes:
    """Return (channels, *size) bytes: grey values or red, green, blue. Transparent pixels become white."""
    image = _resize(_to_mode(image, "L" if channels == 1 else "RGB"), size, resize)
    array = np.asarray(image, np.uint8)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def decode_image(encoded: bytes, channels: int, size: tuple[int, int], resize: Resize) -> Bytes:
    """Return (channels, height, width) bytes; raise `BadImage`."""
    return to_array(open_image(encoded), channels, size, resize)


def _to_mode(image: Any, mode: str) -> Any:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        values = np.asarray(image, np.int64)
        image = Image.fromarray((values.clip(0, 65535) // FULL_16_BIT).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _resize(image: Any, size: tuple[int, int], resize: Resize) -> Any:
    """Resize to (height, width): cut from the middle, stretched, or with a black margin."""
    (width, height), (rows, columns) = image.size, size
    if resize == "stretch":
        return image.resize((columns, rows), Image.Resampling.BILINEAR)
    by_width = columns * height >= rows * width  # the width decides the scale of a crop
    if by_width == (resize == "crop"):
        fitted = columns, max(1, columns * height // width)
    else:
        fitted = max(1, rows * width // height), rows
    image = image.resize(fitted, Image.Resampling.BILINEAR)
    left, top = round((fitted[0] - columns) / 2), round((fitted[1] - rows) / 2)
    return image if fitted == (columns, rows) else image.crop((left, top, left + columns, top + rows))
