"""What all datasets from uploaded files have.

The server looks the upload up and writes its contents into the spec as `resolved`.
"""

from collections.abc import Iterator

from pydantic import Field

from service.errors import Invalid, Problem
from service.spec.component import Json
from service.spec.datasets.base import DatasetBase
from service.spec.datasets.report import Report
from service.spec.datasets.resolved import Resolved
from service.spec.datasets.splits import FileSplit
from service.spec.datasets.upload_references import UploadId

MAX_VOCABULARY = 4_096  # different characters of a text
READ_ONLY = "set by the server; omit it in requests, or repeat it unchanged"


class UploadedBase(DatasetBase):
    """A dataset whose rows are in an uploaded file."""

    stored = True

    upload: UploadId
    resolved: Resolved | None = Field(None, description=READ_ONLY, json_schema_extra={"readOnly": True})

    @property
    def found(self) -> Resolved:
        """The contents of the upload; raises `Invalid` if it was not looked up."""
        if self.resolved is None:
            detail = "the upload was not looked up: only a server that has it can say what is in it."
            raise Invalid.of([Problem("/dataset/upload", "not_resolved", detail)])
        return self.resolved

    def kwargs(self) -> Json:
        """Return the loader's arguments, without the id: it finds the file by its hash."""
        return {name: value for name, value in super().kwargs().items() if name != "upload"}

    @property
    def part_uploads(self) -> dict[str, str]:
        """The uploads of parts that have a file of their own."""
        split = getattr(self, "split", None)
        return split.uploads if isinstance(split, FileSplit) else {}

    @property
    def reserved_validation_rows(self) -> int:
        """The rows that come with a part of their own to validate on: its file, or a folder of an archive."""
        return self.found.validation

    @property
    def reserved_test_rows(self) -> int:
        """The rows that come with a part of their own to test on: its file, a folder of an archive, or arrays."""
        return self.found.test

    def resolve(self, report: Report, sha256: str) -> tuple[Resolved | None, list[Problem]]:
        """Return what the spec stores about a file with this report, or why it cannot be trained on."""
        raise NotImplementedError

    def _share_problems(self, why: str) -> Iterator[Problem]:
        """Yield shares of a split that names the rows of each part and takes no notice of them."""
        for name in ("validation", "test"):
            if getattr(self, name):
                yield Problem(f"/{name}", "contradiction", f"{why}: leave this at 0.", 0)
