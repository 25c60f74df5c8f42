"""Uploads of drawn data for the checks: images on CIFAR's shapes and a text, as the server stores and resolves them."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from service.ingest import inspect_file
from service.ingest.upload_files import IncomingUpload
from service.spec.datasets.text import Text
from service.spec.datasets.uploaded import Upload
from service.storage.uploads import FolderUploads

ID = "dat_" + "0" * 26
LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.,;:!?'-\n()"


def images(folder: Path, rows: int, shape: tuple[int, ...] = (3, 32, 32)) -> dict[str, Any]:
    """Return a dataset of `rows` images of bytes in 10 classes, all of them for training."""
    draw = np.random.RandomState(0)
    file = io.BytesIO()
    np.savez(file, x=draw.randint(256, size=(rows, *shape)).astype(np.uint8), y=draw.randint(10, size=rows))
    return _resolved(folder, file.getvalue(), {"kind": "upload", "predict": "y", "task": "classification"}, None)


def text(folder: Path, characters: int, context: int) -> dict[str, Any]:
    """Return a text of drawn letters as a language task."""
    drawn = np.random.RandomState(0).randint(len(LETTERS), size=characters)
    content = "".join(LETTERS[each] for each in drawn).encode()
    return _resolved(folder, content, {"kind": "text", "context": context}, "text")


def _resolved(folder: Path, content: bytes, dataset: dict[str, Any], declared: Any) -> dict[str, Any]:
    incoming = IncomingUpload(folder)
    incoming.write(content)
    incoming.close()
    report = inspect_file(incoming.path, declared)
    incoming.keep(FolderUploads(folder))
    kind = Text if dataset["kind"] == "text" else Upload
    made = kind.model_validate(dataset | {"upload": ID, "validation": 0.0})
    resolved, problems = made.resolve(report, incoming.sha256)
    assert not problems, problems
    return made.model_copy(update={"resolved": resolved}).model_dump(mode="json")
