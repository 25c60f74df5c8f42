"""Responses with curves: which series, which bucket width, which media type."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fastapi import Response
from fastapi.responses import StreamingResponse

from service.analysis.reduce import level_for
from service.api.content_negotiation import IMMUTABLE, REVALIDATE, matches_etag, negotiate_media_type, weak_etag
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.metrics import range_query
from service.db.metrics.range_query import SeriesKey
from service.db.metrics.series_index import SeriesEntry
from service.db.runs import runs
from service.db.session import Connection, snapshot
from service.errors import Invalid, Problem, Unavailable
from service.export import binary, json, tables
from service.export.curves import (
    REDUCED,
    Curves,
    Key,
    Piece,
    columns_to_read,
    concatenate,
    exact_curves,
    reduced_curves,
)
from service.lifecycle import State
from service.process.concurrency import iterate_in_threads
from service.process.runtime import Runtime
from service.schemas.series import Axis

MAX_STEP = 2**62
MAX_ENTRIES = 2_000_000  # of a response that is not streamed
CHUNKS_PER_READ = 64  # stored chunks read at once for a streamed response
JSON = "application/json"
TABLES = (tables.ARROW, tables.PARQUET, tables.CSV, tables.NDJSON)
MEDIA_TYPES = (JSON, binary.MEDIA_TYPE, *TABLES)


class Window(NamedTuple):
    """A range of steps, both ends included."""

    first: int
    last: int

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class SeriesQuery:
    """The parameters of a request for curves; `first` and `last` are in units of `x`."""

    x: Axis
    first: float | None
    last: float | None
    points: int | Literal["all"]
    columns: tuple[str, ...] | None
    accept: str | None
    if_none_match: str | None
    fresh: bool = False  # bypass the response cache


@dataclass(frozen=True)
class SelectedSeries:
    """A series of a run that was requested."""

    entry: SeriesEntry
    per_epoch: int = 1  # steps per unit of the axis

    @property
    def stored_key(self) -> SeriesKey:
        """The key under which the series is stored."""
        return SeriesKey(self.entry.run_id, self.entry.id)

    def export_key(self, x: Axis) -> Key:
        """Return the key under which the series is exported."""
        return Key(self.entry.run_id, self.entry.name, self.per_epoch if x == "epoch" else None)


def series_response(
    runtime: Runtime,
    connection: Connection,
    principal: Principal,
    series: Sequence[SelectedSeries],
    query: SeriesQuery,
    run_id: str | None,
) -> Response:
    """Return the curves of one run or, if `run_id` is None, of several; 304 if the client has them already."""
    media = negotiate_media_type(query.accept, MEDIA_TYPES)
    units = dict.fromkeys(each.per_epoch for each in series)
    windows = {unit: step_window(query.first, query.last, unit) for unit in units}
    headers = _headers(series, query, media)
    if matches_etag(query.if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if media in TABLES or query.points == "all":
        exported = {"runs": len({each.entry.run_id for each in series}), "series": len(series), "form": media}
        audit.record(connection, principal, "series.export", run_id, **exported)
    if media in TABLES and query.points == "all":
        pieces = _pieces(runtime, principal, series, windows, query.x)
        exact = ["epoch", "step", "value"] if query.x == "epoch" else ["step", "value"]
        parts = iterate_in_threads(tables.write(media, exact, pieces), runtime.stream_threads)
        return StreamingResponse(parts, media_type=media, headers=headers)
    body = None if query.fresh else runtime.response_cache.get(headers["ETag"])
    if body is None:
        _check_size(series, windows, query.points)
        body = _body(_curves(connection, series, windows, query), query, media, run_id)
        if headers["Cache-Control"] == IMMUTABLE:
            runtime.response_cache.put(headers["ETag"], body)
    return Response(body, media_type=media, headers=headers)


def _body(curves: Curves, query: SeriesQuery, media: str, run_id: str | None) -> bytes:
    if media in TABLES:
        return b"".join(tables.write(media, list(curves.columns), tables.pieces(curves)))
    if media == binary.MEDIA_TYPE:
        return binary.write(curves, query.x)
    return json.one_run(curves, run_id, query.x) if run_id else json.many_runs(curves, query.x)


def _headers(series: Sequence[SelectedSeries], query: SeriesQuery, media: str) -> dict[str, str]:
    state = [tuple(each.entry) for each in series]
    asked = (query.x, query.first, query.last, query.points, query.columns)
    ended = all(each.entry.state == State.SUCCEEDED for each in series)  # other runs may continue
    caching = IMMUTABLE if ended else REVALIDATE
    return {"ETag": weak_etag(media, asked, state), "Cache-Control": caching, "Vary": "Accept"}


def step_window(first: float | None, last: float | None, per_epoch: int) -> Window:
    """Return the steps from `first` to `last`, which are in units of `per_epoch` steps."""
    if first is not None and last is not None and first > last:
        raise Invalid.of([Problem("/query/from", "empty_window", "from is greater than to: swap them.")])
    low = 0 if first is None else math.ceil(min(first * per_epoch, MAX_STEP))  # the product may be infinite
    return Window(low, MAX_STEP if last is None else math.floor(min(last * per_epoch, MAX_STEP)))


def curve_columns(text: str | None) -> tuple[str, ...] | None:
    """Return the requested columns of reduced curves; raise `Invalid` for unknown ones."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if unknown := [name for name in names if name not in REDUCED]:
        detail = f"there is no column {unknown[0][:40]!r}."
        raise Invalid.of([Problem("/query/columns", "unknown_column", detail, list(REDUCED))])
    return names


def _check_size(series: Sequence[SelectedSeries], windows: dict[int, Window], points: int | Literal["all"]) -> None:
    if points != "all":
        if points * len(series) > MAX_ENTRIES:
            detail = f"{len(series)} series with so many points exceed {MAX_ENTRIES} entries."
            raise Invalid.of([Problem("/query/points", "too_many_points", detail, {"le": MAX_ENTRIES // len(series)})])
        return
    values = sum(min(s.entry.n, windows[s.per_epoch].steps) for s in series)
    if values > MAX_ENTRIES:
        detail = f"this is up to {values} values: narrow the window, or accept one of {', '.join(TABLES)}."
        raise Invalid.of([Problem("/query/points", "too_many_points", detail, {"le": MAX_ENTRIES})])


def _curves(
    connection: Connection, series: Sequence[SelectedSeries], windows: dict[int, Window], query: SeriesQuery
) -> Curves:
    """Return all curves with one bucket width, or with every point."""
    groups = {unit: [s for s in series if s.per_epoch == unit] for unit in windows}
    level = 0
    if query.points != "all":
        level = max((_level(groups[unit], windows[unit], query.points) for unit in groups), default=0)
    parts = [_group(connection, groups[unit], windows[unit], level, query, keep=False) for unit in groups]
    if level and len({part.method for part in parts}) > 1:  # some have one point per bucket, others more
        parts = [_group(connection, groups[unit], windows[unit], level, query, keep=True) for unit in groups]
    return concatenate(parts) if parts else exact_curves([], range_query.points(connection, [], 0, 0))


def _level(series: Sequence[SelectedSeries], window: Window, points: int) -> int:
    """Return the lowest level at which no series has more than `points` buckets; 0 means every point."""
    ends = [
        (max(window.first, s.entry.first_step or 0), min(window.last, s.entry.last_step or 0))
        for s in series
        if s.entry.n > points
    ]
    ends = [(low, high) for low, high in ends if low <= high]
    return max((level_for(low, high, points) for low, high in ends), default=0)


def _group(
    connection: Connection, series: Sequence[SelectedSeries], window: Window, level: int, query: SeriesQuery, keep: bool
) -> Curves:
    keys = [each.export_key(query.x) for each in series]
    ids = [s.stored_key for s in series]
    if level == 0:
        return exact_curves(keys, range_query.points(connection, ids, window.first, window.last), query.columns)
    last = min(window.last, max((s.entry.last_step or 0 for s in series), default=0))
    found = range_query.buckets(connection, ids, level, min(window.first, last), last, columns_to_read(query.columns))
    return reduced_curves(keys, found, query.columns, keep)


def _pieces(
    runtime: Runtime, principal: Principal, series: Sequence[SelectedSeries], windows: dict[int, Window], x: Axis
) -> Iterator[Piece]:
    """Yield every point, some chunks at a time; raise `Unavailable` if a new attempt starts meanwhile."""
    for each in series:
        first, last = windows[each.per_epoch]
        last = min(last, each.entry.last_step or 0)
        while first <= last:
            with snapshot(runtime.engine, principal.project_id) as connection:
                if runs.get(connection, principal, each.entry.run_id).attempt != each.entry.attempt:
                    raise Unavailable("A new attempt of the run started while it was read: send the request again.")
                upto = range_query.page_end(connection, each.stored_key, first, last, CHUNKS_PER_READ)
                if upto is None:
                    break
                found = range_query.points(connection, [each.stored_key], first, upto)
            yield from tables.pieces(exact_curves([each.export_key(x)], found))
            first = upto + 1
