"""How data are split into parts: by chance, by a column, at the end of a text, or by files of their own."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Part
from service.spec.datasets.report import Column
from service.spec.datasets.upload_references import UploadId

SplitColumn = Annotated[str, Field(min_length=1, max_length=200)]
DATES = ("date", "timestamp")  # the types of Parquet that tell a time begin with these
PARTS = ("train", "validation", "test")
PART_NAMES = {  # what a column may call the parts, in any case
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class SplitBase(Part):
    """A split; the shares `validation` and `test` are the dataset's."""

    column: SplitColumn

    def column_problems(self, column: Column) -> Iterator[Problem]:
        """Yield why the rows cannot be split by this column; pointers start at the dataset."""
        if column.shape:
            detail = f"has {list(column.shape)} values a row: it must be one value."
            yield Problem("/split/column", "wrong_shape", detail)
        elif column.missing:
            what = "1 row" if column.missing == 1 else f"{column.missing} rows"
            first = f" (first: {', '.join(map(str, column.missing_rows))})" if column.missing_rows else ""
            detail = f"the column {column.name} has no value in {what}{first}: fill them and upload again."
            yield Problem("/split/column", "missing_values", detail)
        elif column.infinite:
            detail = f"the column {column.name} has infinite values: replace them, and upload again."
            yield Problem("/split/column", "missing_values", detail)
        elif column.type == "other" and not self._reads(column):
            detail = f"the column {column.name} is {column.holds}, which is not read: upload it as numbers or texts."
            yield Problem("/split/column", "wrong_type", detail)

    def _reads(self, column: Column) -> bool:
        """Whether a column that is neither numbers nor texts can be read for this split."""
        return False


class RandomSplit(Part):
    """Rows drawn at random, stratified by class."""

    kind: Literal["random"] = "random"


class ShareSplit(Part):
    """The end of a text: the share `test` of its characters, and before it the share `validation`."""

    kind: Literal["shares"] = "shares"


class ColumnSplit(SplitBase):
    """A column names each row's part: train, validation (val, valid, dev) or test."""

    kind: Literal["column"] = "column"
    column: SplitColumn = Field(description="column with train, validation (val, valid, dev) or test in each row")


class TimeSplit(SplitBase):
    """The last rows by time are the test, those before them the validation part; equal times keep the file's order."""

    kind: Literal["time"] = "time"
    column: SplitColumn = Field(description="column of numbers, or of dates and times as ISO 8601 (2026-01-31 12:00)")

    def _reads(self, column: Column) -> bool:
        return (column.holds or "").startswith(DATES)


class GroupSplit(SplitBase):
    """Groups of rows drawn at random, so that no group is in two parts, as GroupShuffleSplit of scikit-learn.

    The shares are of the groups, rounded up.
    """

    kind: Literal["group"] = "group"
    column: SplitColumn = Field(description="column whose equal values are one group, such as a patient")


class FileSplit(Part):
    """Files of their own for validation and test, of the same kind as the training file, which is the dataset's."""

    kind: Literal["files"] = "files"
    validation: UploadId = Field(description="id of the upload to validate on")
    test: UploadId | None = Field(None, description="id of the upload to test on; null: there is no test part")

    @property
    def uploads(self) -> dict[str, str]:
        """The uploads by part."""
        return {"validation": self.validation} | ({"test": self.test} if self.test is not None else {})


Split = Annotated[RandomSplit | ColumnSplit | TimeSplit | GroupSplit | FileSplit, Field(discriminator="kind")]
