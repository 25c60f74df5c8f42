"""Uploaded datasets."""

from pydantic import Field

from service.schemas.common import Utc, View
from service.spec.datasets.report import Format, Report


class DatasetItem(View):
    """An uploaded file."""

    id: str
    name: str
    owner: str
    format: Format
    size_bytes: int
    sha256: str
    rows: int = Field(description="of a text: characters")
    created_at: Utc


class DatasetView(DatasetItem):
    """An uploaded file with the report on its columns."""

    report: Report
