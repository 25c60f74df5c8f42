"""Datasets and start weights in the mounted folder: what a spec says of their content, read from file headers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from service.errors import Invalid, Problem
from service.ingest import image_sets
from service.ingest.fingerprint import fingerprint
from service.ingest.text.token_files import describe_tokens
from service.ingest.weights.mounted import describe_weights
from service.spec.component import Part
from service.spec.datasets import DatasetBase
from service.spec.datasets.images import ImageFolder
from service.spec.datasets.mounted import FolderContents, HuggingFace, MountedBase, TorchvisionSet
from service.spec.datasets.text import TokenFiles
from service.spec.experiment import Experiment
from service.spec.parse.defaults import filled_layout

P = TypeVar("P", bound=Part)

NOT_MOUNTED = (
    "this server mounts no folder of datasets: its operator sets SADDLE_DATASET_FOLDER, or {part}/resolved says what "
    "a worker has (`python -m service.ingest` prints it there)."
)


def resolve(root: Path | None, spec: Experiment) -> Experiment:
    """Return the spec with what the folder holds written into it; every other spec as it is.

    Without a folder the spec is believed: a worker compares it with its own folder.
    """
    if isinstance(spec.dataset, MountedBase):
        dataset = _resolved(root, spec.dataset, describe, "/dataset", "/dataset/kind")
        spec = spec.model_copy(update={"dataset": dataset})
    if spec.start is not None and spec.start.mounted is not None and spec.start.upload is None:  # else refused later
        layout = filled_layout(spec)
        start = _resolved(root, spec.start, partial(describe_weights, layout=layout), "/start", "/start/mounted")
        spec = spec.model_copy(update={"start": start})
    return spec


def _resolved(root: Path | None, wanted: P, describe: Callable[[Path, P], object], part: str, pointer: str) -> P:
    """Return a part of a spec with what `describe` finds in the folder; raise `Invalid` if it claims otherwise."""
    claimed = getattr(wanted, "resolved", None)
    if root is None:
        if claimed is None:
            raise Invalid.of([Problem(pointer, "not_mounted", NOT_MOUNTED.format(part=part))])
        return wanted
    found = describe(root, wanted)
    if claimed not in (None, found):
        detail = "is not what lies in the folder: leave it out, the server writes it."
        raise Invalid.of([Problem(f"{part}/resolved", "read_only", detail)])
    return wanted.model_copy(update={"resolved": found})


def describe(root: Path, wanted: DatasetBase) -> FolderContents:
    """Return what the headers say, or raise `Invalid` with the file or column that is expected where."""
    if isinstance(wanted, TorchvisionSet):
        return _describe_images(root, wanted)
    if isinstance(wanted, ImageFolder):
        from service.ingest.images.mounted import describe_folder  # noqa: PLC0415  loads pyarrow

        return describe_folder(root, wanted)
    if isinstance(wanted, TokenFiles):
        return describe_tokens(root, wanted)
    assert isinstance(wanted, HuggingFace)
    from service.ingest.mounted_tables import describe_table  # noqa: PLC0415  loads pyarrow

    return describe_table(root, wanted)


def _describe_images(root: Path, wanted: TorchvisionSet) -> FolderContents:
    known = image_sets.SETS[wanted.name]
    train, test = known.part(root, False), known.part(root, True)
    if train.shape != test.shape:
        detail = f"images of {list(train.shape)} to train on and of {list(test.shape)} to test on."
        raise image_sets.invalid_set(detail)
    return FolderContents(
        fingerprint=fingerprint(root, train.files + test.files),
        rows=train.count + test.count,
        test=test.count,
        shape=train.shape,
        classes=known.classes,
    )
