"""Images in the mounted folder: class folders, or Hugging Face splits with a column of encoded images."""

from dataclasses import dataclass
from pathlib import Path

from service.errors import Invalid, Problem
from service.ingest.fingerprint import fingerprint
from service.ingest.hugging_face import StoredSplit, missing_data, open_split, split_names
from service.ingest.images.class_folders import PARTS, ClassFolders, find_images, group_names
from service.ingest.images.encoded import is_encoded, label_classes
from service.spec.datasets.images import ImageFolder
from service.spec.datasets.mounted import FolderContents
from service.spec.validation_errors import closest


@dataclass(frozen=True)
class MountedSplits:
    """The parts of a Hugging Face dataset, in order: train, then validation and test where it has them."""

    parts: dict[str, StoredSplit]

    @property
    def files(self) -> list[Path]:
        """All files, in order."""
        return [path for part in self.parts.values() for path in part.files]

    def rows(self, part: str) -> int:
        """Return the number of rows of a part; 0 where there is no such part."""
        return self.parts[part].rows if part in self.parts else 0


def open_folder(root: Path, path: str) -> MountedSplits | ClassFolders:
    """Return the splits or the class folders below `path`, or raise `Invalid` with what is missing."""
    names = split_names(root, path)
    if not names:
        try:
            return group_names(find_images(root / path))
        except Invalid as error:
            raise missing_data(f"{path}: {error.problems[0].detail}") from None
    if names == [""]:
        return MountedSplits({"train": open_split(root, path, "")})
    by_part = {PARTS[name.lower()]: name for name in names if name.lower() in PARTS}
    if "train" not in by_part:
        raise missing_data(f"{path} has the splits {', '.join(names[:10])}, and none is called train.")
    chosen = [part for part in ("train", "validation", "test") if part in by_part]
    return MountedSplits({part: open_split(root, path, by_part[part]) for part in chosen})


def describe_folder(root: Path, wanted: ImageFolder) -> FolderContents:
    """Return what the folder holds, without decoding an image."""
    found = open_folder(root, wanted.path)
    if isinstance(found, ClassFolders):
        return FolderContents(
            fingerprint=fingerprint(root, [root / wanted.path / name for name in found.names]),
            rows=len(found.names),
            validation=found.validation,
            test=found.test,
            shape=wanted.shape,
            classes=found.classes,
        )
    train = found.parts["train"]
    for pointer, name in (("/dataset/image", wanted.image), ("/dataset/label", wanted.label)):
        if name not in train.schema.names:
            meant = closest(name, train.schema.names)
            raise Invalid.of([Problem(pointer, "no_such_column", "the dataset has no such column.", None, meant)])
    if not is_encoded(train.schema.field(wanted.image).type):
        detail = f"the column {wanted.image} holds no encoded images ({{bytes, path}})."
        raise Invalid.of([Problem("/dataset/image", "wrong_type", detail)])
    if any(not part.schema.equals(train.schema) for part in found.parts.values()):
        raise missing_data(f"{wanted.path} has splits of different columns.")
    return FolderContents(
        fingerprint=fingerprint(root, found.files),
        rows=sum(part.rows for part in found.parts.values()),
        validation=found.rows("validation"),
        test=found.rows("test"),
        shape=wanted.shape,
        classes=label_classes(train, wanted.label, "/dataset/label"),
    )
