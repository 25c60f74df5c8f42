"""Decoding: hostile and unusual images become the bytes that a person sees, or a reason why not."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from service.ingest.images.decode import BadImage, decode_image
from tests.ingest.images.image_files import encoded, picture

SIZE = (8, 8)


def decoded(content: bytes, channels: int = 3, size: tuple[int, int] = SIZE, resize: Any = "crop") -> Any:
    return decode_image(content, channels, size, resize)


def test_a_crop_is_torchvisions_resize_and_centre_crop() -> None:
    from worker.trainer.optional_imports import import_optional

    v2 = import_optional("torchvision.transforms.v2", "vision")
    textbook = v2.Compose([v2.Resize(16), v2.CenterCrop(16)])
    for seed, size in enumerate([(20, 31), (31, 20), (16, 16), (40, 17), (9, 7)]):
        image = picture(seed, size)
        expected = np.asarray(textbook(image)).transpose(2, 0, 1)
        assert (decoded(encoded(image), size=(16, 16)) == expected).all(), size


def test_stretch_and_pad_reach_the_size() -> None:
    image = Image.new("RGB", (20, 10), (200, 100, 50))
    assert (decoded(encoded(image), resize="stretch") == np.array([200, 100, 50])[:, None, None]).all()
    padded = decoded(encoded(image), resize="pad")
    assert (padded[:, 2:6].reshape(3, -1).T == [200, 100, 50]).all()
    assert not padded[:, :2].any()
    assert not padded[:, 6:].any()
    assert decoded(encoded(image), size=(6, 12), resize="crop").shape == (3, 6, 12)


def test_the_orientation_of_a_photograph_is_applied() -> None:
    image, exif = picture(1, (16, 16)), Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(image, exif=exif)))))
    found = decoded(encoded(image, exif=exif), size=(16, 16))
    assert (found == expected.transpose(2, 0, 1)).all()
    assert (found != np.asarray(image).transpose(2, 0, 1)).any()


def test_transparent_pixels_are_white_and_palettes_are_colours() -> None:
    clear = Image.new("RGBA", SIZE, (10, 20, 30, 0))
    assert (decoded(encoded(clear)) == 255).all()
    palette = Image.new("RGB", SIZE, (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert (decoded(encoded(palette)) == np.array([10, 20, 30])[:, None, None]).all()


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    found = decoded(encoded(Image.fromarray(values)), channels=1)
    assert (found[0] == values // 257).all()


def test_cmyk_and_grey_become_colours() -> None:
    red = Image.new("CMYK", SIZE, (0, 255, 255, 0))
    found = decoded(encoded(red, "JPEG"))
    assert found[0].min() > 240
    assert found[1].max() < 15
    assert (decoded(encoded(Image.new("L", SIZE, 77))) == 77).all()


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no image"),
        (b"GIF89a", "no image"),
        (b"<svg/>", "no image"),
        (encoded(picture(2))[:-300], "damaged or ends early"),
        (encoded(picture(2, (64, 64)), "JPEG")[:900], "damaged or ends early"),
        (bomb(60_000, 60_000), "at most"),
        (bomb(2_000_000, 1), "more than 100 times"),
    ],
)
def test_a_hostile_image_is_refused_with_a_reason(content: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        decoded(content)
