"""The audit as a file: CSV for spreadsheets, or a JSON document in each line."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Literal

from service.nonfinite import dumps
from service.schemas.people.audit import AUDIT_COLUMNS, AuditView

AuditForm = Literal["csv", "ndjson"]
AUDIT_TYPES: dict[AuditForm, str] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


def write_audit(pages: Iterable[Iterable[AuditView]], form: AuditForm) -> Iterator[bytes]:
    """Yield the file a page at a time."""
    if form == "csv":
        yield (",".join(AUDIT_COLUMNS) + "\r\n").encode()
    for rows in pages:
        if form == "csv":
            lines = io.StringIO()
            csv.writer(lines).writerows([_cells(row) for row in rows])
            yield lines.getvalue().encode()
        else:
            yield b"".join(row.model_dump_json().encode() + b"\n" for row in rows)


def _cells(row: AuditView) -> list[str]:
    document = row.model_dump(mode="json")
    texts = [dumps(value) if isinstance(value, dict) else str(value or "") for value in document.values()]
    return [f"'{text}" if text.startswith(FORMULA) else text for text in texts]
