"""Zip archives of class folders, read in place: nothing is unpacked to the disk."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.ingest.images import MAX_ENCODED_BYTES, SUFFIXES
from service.ingest.images.class_folders import ClassFolders, group_names
from service.ingest.validation import SizeLimits, invalid_file

DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)
DOCUMENTS = {"[Content_Types].xml", "mimetype", "content.xml"}  # of office files, which hold pictures too
MAX_ENTRIES = 2 * 10**6


def is_image_archive(path: Path) -> bool:
    """Whether a zip file holds images, and is neither arrays nor an office document."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGED:
        return False
    arrays = any(name.endswith(".npy") for name in names)
    return not arrays and not DOCUMENTS & set(names) and any(name.lower().endswith(SUFFIXES) for name in names)


@contextmanager
def open_archive(path: Path, limits: SizeLimits | None = None) -> Iterator[tuple[ClassFolders, "Images"]]:
    """Yield the class folders of an archive, and its images; raise `Invalid` where it is damaged or too large."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if len(infos) > MAX_ENTRIES:
                raise invalid_file("too_many_rows", f"{len(infos)} files; at most {MAX_ENTRIES}.", MAX_ENTRIES)
            if len({info.filename for info in infos}) < len(infos):
                raise invalid_file("repeated_name", "two files of the archive have one name: rename one.")
            if limits is not None:
                limits.check(0, sum(info.file_size for info in infos))
            yield group_names(info.filename for info in infos), Images(archive)
    except DAMAGED:
        raise invalid_file("unreadable", "the zip archive is damaged, or protected by a password.") from None


class Images:
    """The encoded images of an archive, by name; one thread reads at a time."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def read(self, name: str) -> bytes:
        """Return an encoded image, of at most one byte more than is allowed."""
        with self._archive.open(name) as file:
            return file.read(MAX_ENCODED_BYTES + 1)
