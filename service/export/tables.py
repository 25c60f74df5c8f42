"""Curves as one long table (run_id, series, step, ...), written a piece at a time: Arrow, Parquet, CSV, NDJSON."""

from collections.abc import Iterable, Iterator

from service.export.curves import Curves, Piece

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
CSV, NDJSON = "text/csv", "application/x-ndjson"


def pieces(curves: Curves) -> Iterator[Piece]:
    """Yield each series by itself."""
    for key, begin, end in zip(curves.keys, curves.bounds, curves.bounds[1:], strict=False):
        yield key, {name: column[begin:end] for name, column in curves.columns.items()}


def write(media: str, columns: list[str], found: Iterable[Piece]) -> Iterator[bytes]:
    """Write the table in the format of this media type, holding no more than one piece at a time."""
    from service.export import table_writers  # noqa: PLC0415  pyarrow: 0.1 s and 40 MB that an idle API does without

    if media in (ARROW, PARQUET):
        return table_writers.write_batches(columns, found, as_parquet=media == PARQUET)
    return table_writers.write_csv(columns, found) if media == CSV else table_writers.write_ndjson(found)
