"""The report on an archive of images: every image is decoded once, so that a training meets no damaged one."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from service.ingest.images.archive import open_archive
from service.ingest.images.class_folders import PARTS, ClassFolders
from service.ingest.images.decode import FORMATS, BadImage, open_image
from service.ingest.validation import SizeLimits, invalid_file
from service.spec.datasets.report import RULES, Column, Reading, Report
from service.spec.validation_errors import sanitise

MAX_SHOWN = 5
MORE = ", ..."


def report_images(path: Path, limits: SizeLimits) -> Report:
    """Return classes, parts and sizes of the images; raise `Invalid` with the names of images that cannot be read."""
    with open_archive(path, limits) as (folders, images):
        sizes, bad = Sizes(), list[str]()
        for name in folders.names:
            try:
                sizes.add(open_image(images.read(name)).size)
            except BadImage as error:
                bad.append(f"{name} {error}")
    if bad:
        detail = f"{len(bad)} of {len(folders.names)} images cannot be read: {'; '.join(bad[:MAX_SHOWN])}."
        raise invalid_file("bad_image", detail)
    counts = Counter(folders.classes[label] for label in folders.labels)
    label = Column(
        name="label", type="text", missing=0, as_written=True, classes={k: counts[k] for k in folders.classes}
    )
    return Report(
        format="images",
        rows=len(folders.names),
        validation=folders.validation,
        test=folders.test,
        reading=Reading(rules=RULES),
        columns=(Column(name="image", type="other", holds="image", missing=0), label),
        notes=(sizes.note(), *_notes(folders)),
    )


def _notes(folders: ClassFolders) -> Iterator[str]:
    """Yield which files are left out, and which classes may have been meant as parts."""
    if folders.ignored:
        count, shown = len(folders.ignored), ", ".join(folders.ignored[:MAX_SHOWN])
        what = "file is ignored, which is" if count == 1 else "files are ignored, which are"
        yield sanitise(
            f"{count} {what} not in one of the formats {', '.join(FORMATS)}: {shown}{MORE * (count > MAX_SHOWN)}."
        )
    for name in folders.mistaken:
        others = ", ".join(each for each in folders.classes if each.lower() not in PARTS)
        yield sanitise(
            f"The folder {name} is a class, and its folders are none, because {others} beside it "
            "is no part (train, val, test): move it away if the parts were meant."
        )


class Sizes:
    """The range of the images' sizes."""

    def __init__(self) -> None:
        self._widths, self._heights = set[int](), set[int]()

    def add(self, size: tuple[int, int]) -> None:
        """Add an image of (width, height)."""
        self._widths.add(size[0])
        self._heights.add(size[1])

    def note(self) -> str:
        """Return a sentence."""
        widths, heights = (
            f"{min(each)}" if len(each) == 1 else f"{min(each)} to {max(each)}"
            for each in (self._widths, self._heights)
        )
        return f"The images are {widths} pixels wide and {heights} high."
