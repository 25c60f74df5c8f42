"""Image sets in torchvision's standard files: where they lie, what their headers say, and their bytes.

IDX (LeCun, MNIST's page): two zero bytes, the type (8: unsigned bytes), the number of dimensions, each dimension as a
big-endian 32-bit number, then the values. CIFAR's binary version (Krizhevsky 2009): per row one label byte (CIFAR-100:
a coarse and a fine one), then 3 x 32 x 32 bytes, planes red, green, blue.
"""

import gzip
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, Problem

Bytes = npt.NDArray[np.uint8]
IDX = (("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"))
DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PLANES = (3, 32, 32)
UNSIGNED_BYTE = 8
MAX_UNPACKED_BYTES = 2**34  # of one file


@dataclass(frozen=True)
class Images:
    """One part of a set: `count` rows of `shape`, in `files`."""

    files: tuple[Path, ...]
    count: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ImageSet:
    """A set: what its classes are called, and how its two parts are read."""

    name: str
    classes: tuple[str, ...]
    binary: str = ""  # CIFAR's folder; "": IDX files in the folder of this name
    files: tuple[tuple[str, ...], tuple[str, ...]] = IDX
    labels: int = 1  # label bytes a row, the last of which is the class

    @property
    def record_bytes(self) -> int:
        """Bytes of a row in CIFAR's binary version."""
        return self.labels + math.prod(PLANES)

    def part(self, root: Path, test: bool) -> Images:
        """Return what the headers say, or raise `Invalid` with the file that is expected where."""
        paths = tuple(self._path(root, name) for name in self.files[test])
        if not self.binary:
            return _idx(paths)
        sizes = [path.stat().st_size for path in paths]
        for path, size in zip(paths, sizes, strict=True):
            if size % self.record_bytes or not size:
                raise invalid_set(
                    f"{path.name} has {size} bytes, which are no rows of {self.record_bytes}: copy it again."
                )
        return Images(paths, sum(sizes) // self.record_bytes, PLANES)

    def rows(self, part: Images) -> Iterator[tuple[Bytes, Bytes]]:
        """Yield (n, *shape) values and (n,) classes, a file at a time."""
        if not self.binary:
            images, labels = (_unpack(path) for path in part.files)
            yield _values(images, part.files[0]), _values(labels, part.files[1])
            return
        for path in part.files:
            record = np.fromfile(path, np.uint8).reshape(-1, self.record_bytes)
            yield record[:, self.labels :].reshape(-1, *PLANES), record[:, self.labels - 1]

    def _path(self, root: Path, name: str) -> Path:
        """Return the file, in one of the places where torchvision or the archive puts it."""
        folders = [root / self.binary] if self.binary else [root / self.name / "raw", root / self.name]
        endings = ("",) if self.binary else ("", ".gz")
        for path in (folder / f"{name}{ending}" for folder in folders for ending in endings):
            if path.is_file() and path.resolve().is_relative_to(root.resolve()):
                return path
        place = folders[0].relative_to(root)
        note = " The Python version is a pickle, which is never read: take the binary one." if self.binary else ""
        raise invalid_set(f"{self.name} needs the file {place / name} in the mounted folder.{note}")


SETS = {
    each.name: each
    for each in (
        ImageSet("MNIST", DIGITS),
        ImageSet("FashionMNIST", FASHION),
        ImageSet("KMNIST", KUZUSHIJI),
        ImageSet(
            "CIFAR10",
            THINGS,
            "cifar-10-batches-bin",
            (tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)),
        ),
        ImageSet("CIFAR100", tuple(map(str, range(100))), "cifar-100-binary", (("train.bin",), ("test.bin",)), 2),
    )
}


def invalid_set(detail: str) -> Invalid:
    """Return the problem that the files are missing or damaged."""
    return Invalid.of([Problem("/dataset/name", "not_found", detail)])


def _idx(paths: tuple[Path, ...]) -> Images:
    """Read the headers of an image file and of its label file."""
    images, labels = (_header(path) for path in paths)
    if len(images) != 3 or len(labels) != 1 or images[0] != labels[0] or not images[0]:
        found = f"{paths[0].name} has the dimensions {list(images)} and {paths[1].name} {list(labels)}"
        raise invalid_set(f"{found}: there must be as many labels as images.")
    return Images(paths, images[0], (1, *images[1:]))


def _header(path: Path) -> tuple[int, ...]:
    """Return an IDX file's dimensions; an unpacked file must be exactly as long as they say."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != UNSIGNED_BYTE:
                raise invalid_set(f"{path.name} is no IDX file of bytes.")
            dimensions = file.read(4 * head[3])
    except (OSError, EOFError) as error:
        raise invalid_set(f"{path.name} cannot be read: {type(error).__name__}.") from error
    if len(dimensions) < 4 * head[3]:
        raise invalid_set(f"{path.name} ends in its header.")
    sizes = struct.unpack(f">{head[3]}I", dimensions)
    whole = int(np.prod(sizes, dtype=object)) + 4 + 4 * head[3]
    if whole > MAX_UNPACKED_BYTES or (path.suffix != ".gz" and path.stat().st_size != whole):
        raise invalid_set(f"{path.name} has {path.stat().st_size} bytes, and its header says {whole}: copy it again.")
    return sizes


def _unpack(path: Path) -> bytes:
    """Return the file's bytes, never more than the header says."""
    if path.suffix != ".gz":
        return path.read_bytes()
    sizes = _header(path)
    with gzip.open(path) as file:
        return file.read(int(np.prod(sizes)) + 4 + 4 * len(sizes))


def _values(content: bytes, path: Path) -> Bytes:
    rank = content[3]
    sizes = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if len(values) != int(np.prod(sizes)):
        raise invalid_set(f"{path.name} ends before its last row: copy it again.")
    return values.reshape(sizes[0], 1, *sizes[1:]) if rank == 3 else values
