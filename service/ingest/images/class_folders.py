"""Class folders: one folder per class, optionally below folders for training, validation and test.

`cats/1.png` is of the class cats; so is `train/cats/indoors/1.png`. A single folder around everything is ignored.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from service.ingest.images import SUFFIXES
from service.ingest.validation import MAX_NAME, invalid_file

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MAX_IMAGES = 10**6
MAX_CLASSES = 1_000
EXAMPLE = "give each class a folder of images, such as cats/1.png and dogs/1.png"


@dataclass(frozen=True)
class ClassFolders:
    """Names of images, in order: of the training part by class and name, then validation, then test."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]  # in alphabetical order, as torchvision's ImageFolder numbers them
    validation: int  # number of rows before the test rows that are the set's own validation part
    test: int  # number of last rows that are the set's own test part
    ignored: tuple[str, ...]  # other files
    mistaken: tuple[str, ...] = ()  # classes with folders in them that are called like parts


def group_names(names: Iterable[str]) -> ClassFolders:
    """Group the paths of files by part and class; raise `Invalid` where an image has no class."""
    paths = [PurePosixPath(name) for name in names]
    seen = [path for path in paths if not any(part.startswith((".", "__MACOSX")) for part in path.parts)]
    images = sorted(path for path in seen if path.suffix.lower() in SUFFIXES)
    if not images:
        raise invalid_file("no_images", f"there is no image ({', '.join(SUFFIXES)}): {EXAMPLE}.")
    if len(images) > MAX_IMAGES:
        raise invalid_file("too_many_rows", f"{len(images)} images; at most {MAX_IMAGES}.", MAX_IMAGES)
    depth = _wrapping_folders(images)
    found: dict[str, dict[str, list[str]]] = {"train": {}, "validation": {}, "test": {}}
    has_parts = _has_parts(images, depth)
    for path in images:
        inner = path.parts[depth:]
        part = PARTS[inner[0].lower()] if has_parts else "train"
        inner = inner[1:] if has_parts else inner
        if len(inner) < 2:
            raise invalid_file("no_class", f"the image {path} lies in no class folder: {EXAMPLE}.")
        found[part].setdefault(inner[0], []).append(str(path))
    classes = tuple(sorted(found["train"]))
    _check_classes(classes, found)
    ordered = [(name, classes.index(each)) for part in found.values() for each in sorted(part) for name in part[each]]
    validation, test = (len([*chain(*found[part].values())]) for part in ("validation", "test"))
    names_in_order, labels = zip(*ordered, strict=True)
    ignored = tuple(str(path) for path in seen if path.suffix.lower() not in SUFFIXES)
    nested = {path.parts[depth] for path in images if len(path.parts) > depth + 2}
    mistaken = () if has_parts else tuple(name for name in classes if name.lower() in PARTS and name in nested)
    return ClassFolders(names_in_order, labels, classes, validation, test, ignored, mistaken)


def find_images(folder: Path) -> list[str]:
    """Return the paths of all files below a folder; links are not followed."""
    return [
        (Path(place) / name).relative_to(folder).as_posix()
        for place, _, names in os.walk(folder, followlinks=False)
        for name in names
        if not (Path(place) / name).is_symlink()
    ]


def _wrapping_folders(images: list[PurePosixPath]) -> int:
    """Return how many folders lie around everything."""
    depth = 0
    while all(len(path.parts) > depth + 2 for path in images) and len({path.parts[depth] for path in images}) == 1:
        if images[0].parts[depth].lower() in PARTS:
            break
        depth += 1
    return depth


def _has_parts(images: list[PurePosixPath], depth: int) -> bool:
    tops = {path.parts[depth].lower() if len(path.parts) > depth + 1 else "" for path in images}
    return tops <= set(PARTS) and any(PARTS[top] == "train" for top in tops)


def _check_classes(classes: tuple[str, ...], found: dict[str, dict[str, list[str]]]) -> None:
    if not 2 <= len(classes) <= MAX_CLASSES:
        detail = f"{len(classes)} class folders; from 2 to {MAX_CLASSES}: {EXAMPLE}."
        raise invalid_file("wrong_classes", detail, MAX_CLASSES)
    if bad := next((name for name in classes if len(name) > MAX_NAME or not name.isprintable()), None):
        raise invalid_file("bad_class_name", f"the class folder {bad} has a name that is too long or not printable.")
    for part in ("validation", "test"):
        if unknown := sorted(set(found[part]) - set(classes)):
            raise invalid_file("unknown_class", f"the class {unknown[0]} of the {part} part has no training image.")
