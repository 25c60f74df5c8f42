"""Images of class folders, zip archives and tables: decoded and resized once, and kept as bytes beside the upload.

Decoding runs on a thread per core (Pillow releases the interpreter's lock), a bounded number of images ahead.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import Invalid, RunFailure
from service.ingest.hugging_face import StoredSplit, open_files
from service.ingest.images.archive import open_archive
from service.ingest.images.class_folders import ClassFolders
from service.ingest.images.decode import BadImage, Resize, decode_image
from service.ingest.images.encoded import ROWS, batch_labels, encoded_images
from service.ingest.images.mounted import open_folder
from service.spec.datasets.mounted import FolderContents
from service.spec.datasets.resolved import Resolved
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.mounted import check_fingerprint, in_range, mounted_root
from worker.trainer.data.split import Arrays
from worker.trainer.data.uploads import collect_blocks, verify_upload

Encoded = tuple[str, bytes, int]  # what an image is called in a message, its file, its class
Size = int | tuple[int, int]


def uploaded(
    files: DatasetFolders,
    size: Size = 32,
    channels: int = 3,
    resize: Resize = "crop",
    image: str = "image",
    label: str = "label",
    resolved: Resolved | None = None,
) -> Arrays:
    """x (N, C, H, W) bytes and y (N,) classes: for training, then the file's own validation and test part."""
    assert resolved is not None, "the server resolves an upload before it is queued"
    contents = [verify_upload(files, file.sha256) for file in resolved.every_file]
    others = [file.sha256 for file in resolved.files]
    key = json.dumps(["images", size, channels, resize, image, label, *([others] if others else [])])

    def images() -> Iterator[Encoded]:
        for file, content in zip(resolved.every_file, contents, strict=True):
            if file.format == "images":
                with open_archive(content) as (folders, archive):
                    yield from _of_folders(folders, archive.read, resolved.classes)
            else:
                yield from _of_table(open_files([content]), image, label, resolved.classes)

    return _decode_once(files, contents[0], key, images, resolved, resize)


def mounted(
    files: DatasetFolders,
    path: str,
    size: Size = 32,
    channels: int = 3,
    resize: Resize = "crop",
    image: str = "image",
    label: str = "label",
    resolved: FolderContents | None = None,
) -> Arrays:
    """x (N, C, H, W) bytes and y (N,) classes: for training, then the folder's own validation and test part."""
    root = mounted_root(files)
    assert resolved is not None, "the server resolves a mounted dataset before it is queued"
    try:
        found = open_folder(root, path)
        names = found.names if isinstance(found, ClassFolders) else ()
        paths = [root / path / name for name in names] or getattr(found, "files", [])
        check_fingerprint(root, paths, resolved)
    except Invalid as error:
        raise RunFailure("dataset_missing", error.problems[0].detail) from error
    key = json.dumps(["images", path, size, channels, resize, image, label])
    content = (files.folder or Path()) / f"mounted-{resolved.fingerprint}" / "content"

    def images() -> Iterator[Encoded]:
        if isinstance(found, ClassFolders):
            yield from _of_folders(found, lambda name: (root / path / name).read_bytes(), resolved.classes)
        else:
            for part in found.parts.values():
                yield from _of_table(part, image, label, resolved.classes)

    return _decode_once(files, content, key, images, resolved, resize)


def _of_folders(folders: ClassFolders, read: Callable[[str], bytes], classes: Sequence[str]) -> Iterator[Encoded]:
    """Yield the images with the numbers of their `classes`, of which a part's own file may lack some."""
    numbers = [classes.index(name) for name in folders.classes]
    for name, label in zip(folders.names, folders.labels, strict=True):
        yield name, read(name), numbers[label]


def _of_table(stored: StoredSplit, image: str, label: str, classes: tuple[str, ...]) -> Iterator[Encoded]:
    row = 0
    for batch in stored.batches([image, label], ROWS):
        labels = batch_labels(stored, label, batch.column(label), classes)
        for encoded, each in zip(encoded_images(batch.column(image)), labels, strict=True):
            row += 1
            yield f"row {row}", encoded, int(each)


def _decode_once(
    files: DatasetFolders,
    content: Path,
    key: str,
    images: Callable[[], Iterator[Encoded]],
    resolved: Resolved | FolderContents,
    resize: Resize,
) -> Arrays:
    """Return the decoded images, from an earlier training where there was one."""
    channels, height, width = resolved.shape

    def decoded(each: Encoded) -> tuple[Any, int]:
        try:
            return decode_image(each[1], channels, (height, width), resize), each[2]
        except BadImage as error:
            raise RunFailure("dataset_changed", f"the image {each[0]} {error}") from error

    def blocks() -> Iterator[Arrays]:
        for block in _batched(_map_ahead(decoded, images()), ROWS):
            x, y = zip(*block, strict=True)
            yield np.stack(x), in_range(np.array(y, np.int64), resolved)

    shapes = (resolved.rows, *resolved.shape), (resolved.rows,)
    return collect_blocks(files, content, key, blocks(), shapes, keep=files.folder is not None)


def _map_ahead(function: Callable[[Encoded], Any], items: Iterable[Encoded]) -> Iterator[Any]:
    """Yield `function` of each item in order, computed on all cores, a few items ahead of the reader."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads, "decode") as pool:
        source = iter(items)
        waiting = [pool.submit(partial(function, item)) for item in islice(source, 4 * threads)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(partial(function, item)) for item in islice(source, 1)]


def _batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(items, size)):
        yield batch
