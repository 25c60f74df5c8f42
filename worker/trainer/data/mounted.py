"""Image sets of the mounted folder; a set that does not fit in memory is unpacked once, beside the uploads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, RunFailure
from service.ingest.fingerprint import fingerprint
from service.ingest.image_sets import SETS
from service.spec.datasets.mounted import FolderContents
from service.spec.datasets.resolved import Resolved
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import Arrays
from worker.trainer.data.uploads import collect_blocks


def images(files: DatasetFolders, name: str, resolved: FolderContents | None = None) -> Arrays:
    """x (N, C, H, W) bytes and y (N,) classes: first the training files, then the test files."""
    root, known = mounted_root(files), SETS[name]
    assert resolved is not None, "the server resolves a mounted dataset before it is queued"
    try:
        parts = [known.part(root, test) for test in (False, True)]
        check_fingerprint(root, [path for part in parts for path in part.files], resolved)
        blocks = ((x, in_range(y, resolved).astype(np.int64)) for part in parts for x, y in known.rows(part))
        return gather(files, resolved, name, blocks)
    except Invalid as error:
        raise RunFailure("dataset_missing", error.problems[0].detail) from error


def mounted_root(files: DatasetFolders) -> Path:
    """Return the mounted folder, or raise `RunFailure` if there is none."""
    if files.mounted is None:
        raise RunFailure("dataset_missing", "this worker mounts no folder of datasets: set SADDLE_DATASET_FOLDER")
    return files.mounted


def check_fingerprint(root: Path, paths: list[Path], resolved: FolderContents) -> None:
    """Raise `RunFailure` unless the files are the ones that the spec was resolved with."""
    if fingerprint(root, paths) != resolved.fingerprint:
        raise RunFailure(
            "dataset_changed", f"{paths[0].name} or a file that belongs to it has changed since the submission"
        )


def gather(files: DatasetFolders, resolved: FolderContents, key: str, blocks: Iterator[Arrays]) -> Arrays:
    """Read all blocks into memory, or unpack them in a folder beside the uploads."""
    place = (files.folder or Path()) / f"mounted-{resolved.fingerprint}" / "content"
    shapes = (resolved.rows, *resolved.shape), (resolved.rows,)
    return collect_blocks(files, place, key, blocks, shapes)


def in_range(y: npt.NDArray[Any], resolved: FolderContents | Resolved) -> npt.NDArray[Any]:
    """Return the labels; raise `ValueError` if one is not a class of the set."""
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(resolved.classes):
        raise ValueError(f"a label is {y.max()}, and there are {len(resolved.classes)} classes")
    return y
