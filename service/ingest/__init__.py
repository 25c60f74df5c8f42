"""Reading uploaded files: which format one is, its rows in batches of bounded memory, and a report on its columns.

Both sides read through this package: the API to report, a worker to train. Nothing here executes what it reads. The
functions below load pyarrow (0.1 s, 40 MB) when they are called, so an API that reads no file does without it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.errors import Problem
from service.ingest.validation import SizeLimits
from service.spec.datasets.base import TableBase
from service.spec.datasets.images import Images
from service.spec.datasets.report import Format, Report
from service.spec.datasets.resolved import Resolved, ResolvedSplit
from service.spec.datasets.text import Text
from service.spec.datasets.uploaded import Upload


def inspect_file(
    path: Path,
    declared: Format | None = None,
    name: str = "",
    header: bool | None = None,
    limits: SizeLimits | None = None,
) -> Report:
    """Return what is in the file, or raise `Invalid`; `header` says whether a CSV has one, None: find out."""
    from service.ingest.report import build_report  # noqa: PLC0415

    return build_report(path, declared, name, header, limits or SizeLimits())


def without_incomplete_rows(contents: Sequence[Path], reports: Sequence[Report], wanted: Upload) -> list[Report]:
    """Return the reports on the files of a dataset as they would be without the rows that the spec drops."""
    joined, problems = wanted.join(reports)
    if problems or not wanted.drops(joined):
        return [*reports]
    from service.ingest.stored.incomplete_rows import drop_incomplete_rows  # noqa: PLC0415

    return drop_incomplete_rows(contents, reports, wanted)


def count_split(content: Path, wanted: Upload) -> tuple[ResolvedSplit, tuple[str, ...]]:
    """Return how many rows each part has, where a column decides, and untrained classes; raise `Invalid`."""
    from service.ingest.stored.incomplete_rows import count_parts  # noqa: PLC0415

    return count_parts(content, wanted)


def check_weights(content: Path, wanted: Upload) -> None:
    """Raise `Invalid` where the weights of a resolved dataset's rows are none, or are all 0 in a training part."""
    from service.ingest.stored import incomplete_rows  # noqa: PLC0415

    incomplete_rows.check_weights(content, wanted)


def resolve_tokens(
    contents: Sequence[Path],
    reports: Sequence[Report],
    hashes: Sequence[str],
    wanted: Text,
    tokenizer: Path | None = None,
) -> tuple[Resolved | None, list[Problem]]:
    """Return what the spec stores about a text in tokens, or why it cannot be trained on.

    The training file comes first. `tokenizer` is the file of a tokenizer that is given; its upload is resolved before.
    """
    from service.ingest.stored import token_counts  # noqa: PLC0415

    return token_counts.resolve_tokens(contents, reports, hashes, wanted, tokenizer)


def list_split(contents: Sequence[Path], dataset: Upload | Images, fold: int) -> dict[str, Any]:
    """Return the rows, from 0, of stored files that are in each part of a run, and `names` of images in folders."""
    from service.ingest.stored.incomplete_rows import list_parts  # noqa: PLC0415

    return list_parts(contents, dataset, fold)


def list_reported(parts: str) -> dict[str, Any]:
    """Return the rows of each part, from 0, as the worker reported them that split the data."""
    from service.ingest.splits.part_codes import decode_parts  # noqa: PLC0415

    return decode_parts(parts)


def list_unstratified(dataset: TableBase, fold: int) -> dict[str, Any]:
    """Return the rows of each part, from 0, of data whose split looks at no target and so at no file."""
    from service.ingest.splits import listing  # noqa: PLC0415

    return listing.list_unstratified(dataset, fold)
