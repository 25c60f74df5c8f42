"""Write a zip archive of class folders: scikit-learn's digits in colour, 32 x 32, few of them to train on.

python examples/images/pictures.py > digits.zip
"""

import io
import sys
import zipfile

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE, TRAIN = 32, 500


def picture(digit: np.ndarray, draw: np.random.RandomState) -> bytes:
    """Return a PNG: the digit (8, 8), 0 to 16, enlarged, in a light colour on a dark one."""
    large = Image.fromarray((digit * 15).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    ink = np.asarray(large) / 255
    light, dark = draw.uniform(150, 255, 3), draw.uniform(0, 100, 3)
    values = dark + ink[..., None] * (light - dark) + draw.normal(0, 12, (SIDE, SIDE, 3))
    buffer = io.BytesIO()
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def archive(seed: int = 0) -> bytes:
    """Return the archive: train/CLASS/NUMBER.png and val/CLASS/NUMBER.png."""
    digits, draw = load_digits(), np.random.RandomState(seed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for number, row in enumerate(draw.permutation(len(digits.images))):
            part = "train" if number < TRAIN else "val"
            path = zipfile.ZipInfo(f"{part}/{digits.target[row]}/{number:04}.png")  # without the time of writing
            made.writestr(path, picture(digits.images[row], draw))
    return buffer.getvalue()


if __name__ == "__main__":
    sys.stdout.buffer.write(archive())
