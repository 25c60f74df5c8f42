"""Datasets of image files, uploaded or mounted: decoded and resized once, and kept as bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Json
from service.spec.datasets.base import Facts, TableBase
from service.spec.datasets.columns import class_names
from service.spec.datasets.mounted import FolderPath, MountedBase
from service.spec.datasets.named_columns import ColumnName, file_problems
from service.spec.datasets.part_files import unknown_classes
from service.spec.datasets.report import Column, Report
from service.spec.datasets.resolved import PartFile, Resolved
from service.spec.datasets.splits import FileSplit, RandomSplit
from service.spec.datasets.upload_base import UploadedBase
from service.spec.validation_errors import closest

Side = Annotated[int, Field(ge=4, le=1024)]
Channel = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]
MAX_BYTES = 2**38  # of all decoded images
MIN_ROWS = 10


class ImagesBase(TableBase):
    """Images of one size. `scaling` is per channel: standardise by mean and deviation; minmax divides by 255."""

    of_bytes = True

    size: Side | Annotated[tuple[Side, Side], Field(description="height, width")] = Field(
        32, description="pixels of a side, or [height, width], after resizing"
    )
    channels: Literal[1, 3] = Field(3, description="3: red, green, blue; 1: grey")
    resize: Literal["crop", "stretch", "pad"] = Field(
        "crop", description="keep the proportions and cut from the middle, stretch, or add a black margin"
    )
    image: ColumnName = Field("image", description="of a table: the column of encoded images")
    label: ColumnName = Field("label", description="of a table: the column of classes")
    mean: Annotated[tuple[Channel, ...], Field(min_length=1, max_length=3)] | None = Field(
        None, description="for standardise: means per channel, of values 0 to 1; null: of the training part"
    )
    std: Annotated[tuple[Spread, ...], Field(min_length=1, max_length=3)] | None = Field(
        None, description="for standardise: standard deviations per channel, likewise"
    )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image: channels, height, width."""
        height, width = (self.size, self.size) if isinstance(self.size, int) else self.size
        return self.channels, height, width

    def kwargs(self) -> Json:
        """Return the loader's arguments: without the scaling's."""
        return {name: value for name, value in super().kwargs().items() if name not in ("mean", "std")}

    def problems(self) -> Iterator[Problem]:
        """Yield contradictions between the parts, and of means and deviations."""
        yield from super().problems()
        for name, own in (("validation", self.reserved_validation_rows), ("test", self.reserved_test_rows)):
            if own and getattr(self, name):
                yield Problem(f"/{name}", "contradiction", f"the dataset has its own {name} set: leave this at 0.", 0)
        if (self.mean is None) != (self.std is None):
            given = "/std" if self.mean is None else "/mean"
            yield Problem(given, "contradiction", "give both /mean and /std, or neither.")
        if self.mean is not None and self.scaling != "standardise":
            yield Problem("/mean", "contradiction", "/mean and /std are for the scaling standardise.")
        for name in ("mean", "std"):
            if (given := getattr(self, name)) is not None and len(given) != self.channels:
                yield Problem(f"/{name}", "wrong_length", f"give {self.channels} numbers, one for each channel.")

    def _facts(self, rows: int, classes: int) -> Facts:
        return Facts(rows, self.shape, "classification", classes, "grey value or colour, 0 to 255")


class Images(ImagesBase, UploadedBase):
    """An uploaded zip archive of class folders, or a Parquet file of encoded images (Hugging Face's layout)."""

    target = "worker.trainer.data.images:uploaded"

    kind: Literal["images"] = "images"
    split: Annotated[RandomSplit | FileSplit, Field(discriminator="kind")] = Field(
        RandomSplit(),
        description="what decides the part of an image: chance and the folders of the archive, or its file",
    )

    def kwargs(self) -> Json:
        """Return the loader's arguments: without the split, which comes after it."""
        return {name: value for name, value in super().kwargs().items() if name != "split"}

    def problems(self) -> Iterator[Problem]:
        """Yield also what contradicts files of their own for the parts."""
        yield from super().problems()
        if not self.part_uploads:
            return
        yield from file_problems(self.upload, self.part_uploads, self.folds)
        if self.test and not self.reserved_test_rows:
            yield Problem("/test", "contradiction", "the files of /split are the parts: leave this at 0.", 0)
        if self.split_seed:
            yield Problem("/split_seed", "contradiction", "/split draws nothing: leave this at 0.", 0)

    @property
    def facts(self) -> Facts:
        """Read from the upload's report."""
        return self._facts(self.found.rows, len(self.found.classes))

    def resolve(self, report: Report, sha256: str) -> tuple[Resolved | None, list[Problem]]:
        """Return the number of images and their classes, or why they cannot be trained on."""
        if report.format not in ("images", "parquet"):
            detail = f"is {report.format}, no archive of images and no Parquet file of encoded images."
            return None, [Problem("/upload", "wrong_format", detail)]
        names = ("image", "label") if report.format == "images" else (self.image, self.label)
        if problems := [*self._columns(report, *names)]:
            return None, problems
        label = report.column(names[1])
        assert label is not None
        found: dict[str, Any] = {"rows": report.rows, "validation": report.validation, "test": report.test}
        classes = label.class_names or class_names([label])  # a stored report has them in the database's order
        return Resolved(sha256=sha256, format=report.format, shape=self.shape, classes=classes, **found), []

    def resolve_files(self, reports: Sequence[Report], hashes: Sequence[str]) -> tuple[Resolved | None, list[Problem]]:
        """Return what the spec stores about its files, the training file first, or why they cannot be trained on."""
        found, problems = self.resolve(reports[0], hashes[0])
        if found is None or len(reports) == 1:
            return found, problems
        pairs = zip(self.part_uploads, reports[1:], strict=True)
        problems = [problem for part, report in pairs for problem in self._part_problems(found, part, report)]
        if found.validation or found.test:
            detail = "the training file has its own parts, so it cannot be split by files: leave this out."
            problems.append(Problem("/split", "contradiction", detail))
        if problems:
            return None, problems
        rows = [report.rows for report in reports]
        named = zip(reports[1:], hashes[1:], strict=True)
        files = tuple(PartFile(sha256=sha256, format=each.format, rows=each.rows) for each, sha256 in named)
        counts = {"rows": sum(rows), "validation": rows[1], "test": sum(rows[2:])}
        return found.model_copy(update={**counts, "files": files}), []

    def _part_problems(self, training: Resolved, part: str, report: Report) -> Iterator[Problem]:
        """Yield why the file of this part does not fit the training file; pointers start at the dataset."""
        pointer = f"/split/{part}"
        if report.format not in ("images", "parquet"):
            yield Problem(pointer, "wrong_format", f"is {report.format}, and the training file has images.")
            return
        image, label = ("image", "label") if report.format == "images" else (self.image, self.label)
        if lacking := [*self._lacking(report, image, label)]:
            yield from (replace(problem, pointer=pointer) for problem in lacking)
            return
        column = report.column(label)
        assert column is not None
        if report.validation or report.test:
            yield Problem(
                pointer, "contradiction", "the file has parts of its own: upload the images of one part alone."
            )
        elif report.format == "parquet" and column.class_names:  # its cells are numbers of them
            if column.class_names != training.classes:
                detail = f"the column {label} names other classes, or in another order, than the training file."
                yield Problem(pointer, "unknown_class", detail)
        elif detail := unknown_classes(label, column.classes, training.classes):
            yield Problem(pointer, "unknown_class", detail)

    def _columns(self, report: Report, image: str, label: str) -> Iterator[Problem]:
        yield from self._lacking(report, image, label)
        if (second := report.column(label)) is not None:
            yield from _label_problems(second)
        if report.rows < MIN_ROWS:
            yield Problem("/upload", "too_small", f"has {report.rows} images; at least {MIN_ROWS}.", MIN_ROWS)
        if report.rows * self.shape[0] * self.shape[1] * self.shape[2] > MAX_BYTES:
            yield Problem("/size", "too_large", f"{report.rows} images of this size take more than {MAX_BYTES} bytes.")

    @staticmethod
    def _lacking(report: Report, image: str, label: str) -> Iterator[Problem]:
        """Yield the columns that a file lacks, or that hold no images."""
        for pointer, name in (("/image", image), ("/label", label)):
            if report.column(name) is None:
                meant = closest(name, report.names)
                yield Problem(pointer, "no_such_column", f"the upload has no column {name}.", None, meant)
        first = report.column(image)
        if first is not None and first.holds != "image":
            yield Problem("/image", "wrong_type", f"the column {image} holds no encoded images.")


class ImageFolder(ImagesBase, MountedBase):
    """Class folders, or a Hugging Face dataset of encoded images, in the mounted folder.

    Folders or splits called train, val (valid, validation) and test are the parts.
    """

    target = "worker.trainer.data.images:mounted"

    kind: Literal["image_folder"] = "image_folder"
    path: FolderPath = Field(description="path of the dataset within the mounted folder")

    @property
    def facts(self) -> Facts:
        """Read from the folder."""
        return self._facts(self.found.rows, len(self.found.classes))

    @property
    def reserved_validation_rows(self) -> int:
        """The rows of the folder or split for validation."""
        return self.found.validation


def _label_problems(column: Column) -> Iterator[Problem]:
    """Yield why a column cannot be the class."""
    if column.missing or column.classes is None or len(column.classes) < 2:
        detail = f"the column {column.name} has not between 2 and 1000 different classes, one in every row."
        yield Problem("/label", "wrong_classes", detail)
    elif rare := sorted(name for name, count in column.classes.items() if count < 3):
        detail = f"classes with fewer than 3 images ({', '.join(rare[:3])}): each part needs one of each."
        yield Problem("/label", "class_too_small", detail, 3)
