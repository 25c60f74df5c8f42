"""Routes of curves: exact if they are short enough, else in buckets that keep the extremes."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, RunId, RuntimeDep, read_in_thread
from service.api.one_thread import OneThread
from service.api.series_response import (
    MEDIA_TYPES,
    SelectedSeries,
    SeriesQuery,
    curve_columns,
    series_response,
    step_window,
)
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.metrics.series_index import SeriesEntry, read_entries, read_names
from service.db.session import Connection
from service.errors import Invalid, NotFound, Problem
from service.experiments.parsed_spec import parsed_spec
from service.experiments.run_axes import read_axes
from service.schemas.series import Axis, ManySeries, RunSeries, SeriesAxes, SeriesNames
from service.streaming.updates import latest_position

router = APIRouter(prefix="/v1", tags=["runs"], route_class=OneThread)
MAX_RUNS = 200
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": dict.fromkeys(MEDIA_TYPES[1:], BINARY)},
    304: {"description": "Not modified."},
}
POSITION = {
    "description": "last_event_id to follow the run's stream after these points",
    "schema": {"type": "string"},
}
RESPONSES_ONE_RUN: dict[int | str, dict[str, Any]] = {
    status: {**each, "headers": {"Saddle-Position": POSITION}} for status, each in RESPONSES.items()
}


async def _series_query(
    x: Annotated[Axis, Query(description="the unit of from and to; epoch also adds a column of epochs")] = "step",
    first: Annotated[float | None, Query(alias="from", ge=0, allow_inf_nan=False)] = None,
    last: Annotated[float | None, Query(alias="to", ge=0, allow_inf_nan=False)] = None,
    points: Annotated[
        Annotated[int, Query(ge=1, le=10_000)] | Literal["all"],
        Query(description="maximum number of points per series; all returns the exact series"),
    ] = 1000,
    columns: Annotated[
        str | None, Query(max_length=200, description="comma-separated: the columns to return of reduced curves")
    ] = None,
    accept: Annotated[str | None, Header(max_length=1000, include_in_schema=False)] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match", max_length=4000)] = None,
    cache_control: Annotated[str | None, Header(max_length=1000, include_in_schema=False)] = None,
) -> SeriesQuery:
    step_window(first, last, 1)
    fresh = "no-cache" in (cache_control or "")
    return SeriesQuery(x, first, last, points, curve_columns(columns), accept, if_none_match, fresh)


QueryDep = Annotated[SeriesQuery, Depends(_series_query)]


@router.get(
    "/runs/{run_id}/series",
    operation_id="get_series",
    response_model=RunSeries,
    response_model_exclude_none=True,
    responses=RESPONSES_ONE_RUN,
)
async def get_series(
    run_id: RunId,
    principal: PrincipalDep,
    runtime: RuntimeDep,
    query: QueryDep,
    names: Annotated[str | None, Query(max_length=4096, description="comma-separated; default: all series")] = None,
) -> Response:
    """Return the points of a run from `from` to `to` inclusive, as JSON, arrays or a table according to `Accept`.

    To miss no later point, follow the run's stream from the header `Saddle-Position`.
    """

    def work(connection: Connection) -> Response:
        position = latest_position(connection, principal, run_id)  # before the points: later ones are sent again
        known = read_entries(connection, principal, [run_id])
        series = _with_axis(connection, principal, select_by_name(known, names), query.x)
        response = series_response(runtime, connection, principal, series, query, run_id)
        response.headers["Saddle-Position"] = str(position)
        return response

    return await read_in_thread(runtime, principal, work)


@router.get("/series/names", operation_id="list_series_names")
def list_series_names(principal: PrincipalDep, connection: ConnectionDep) -> SeriesNames:
    """The names of all series that a run of the project has recorded."""
    return SeriesNames(names=read_names(connection, principal))


@router.get("/series/axes", operation_id="list_series_axes")
def list_series_axes(
    principal: PrincipalDep,
    connection: ConnectionDep,
    ids: Annotated[str, Query(alias="runs", max_length=32 * MAX_RUNS, description="comma-separated, no id twice")],
) -> SeriesAxes:
    """Return epochs, samples and seconds of several runs as functions of the step, to draw their curves over these."""
    return read_axes(connection, principal, _run_ids(ids))


@router.get(
    "/series",
    operation_id="get_many_series",
    response_model=ManySeries,
    response_model_exclude_none=True,
    responses=RESPONSES,
)
async def get_many_series(
    principal: PrincipalDep,
    runtime: RuntimeDep,
    query: QueryDep,
    ids: Annotated[str, Query(alias="runs", max_length=32 * MAX_RUNS, description="comma-separated, no id twice")],
    names: Annotated[
        str, Query(max_length=4096, description="comma-separated; runs without such a series are omitted")
    ] = "loss",
) -> Response:
    """Return curves of several runs, all with the same bucket width; otherwise as for one run."""
    given = _run_ids(ids)
    asked = [name.strip() for name in names.split(",")]

    def work(connection: Connection) -> Response:
        series = _with_axis(connection, principal, read_entries(connection, principal, given, asked), query.x)
        return series_response(runtime, connection, principal, series, query, None)

    return await read_in_thread(runtime, principal, work)


def _run_ids(ids: str) -> list[str]:
    given = [each.strip() for each in ids.split(",")]
    if len(given) > MAX_RUNS:
        raise Invalid.of([Problem("/query/runs", "too_many_runs", f"there are {len(given)} runs.", {"le": MAX_RUNS})])
    if len(set(given)) < len(given):
        raise Invalid.of([Problem("/query/runs", "repeated", "give each id once.")])
    return given


def _with_axis(
    connection: Connection, principal: Principal, found: Sequence[SeriesEntry], x: Axis
) -> list[SelectedSeries]:
    """Return the series with the number of steps per unit of the axis."""
    if x == "step":
        return [SelectedSeries(entry) for entry in found]
    owners = list(dict.fromkeys(entry.experiment_id for entry in found))
    units = {each.id: parsed_spec(each).steps_per_epoch for each in experiments.get_many(connection, principal, owners)}
    return [SelectedSeries(entry, units[entry.experiment_id]) for entry in found]


def select_by_name(known: Sequence[SeriesEntry], names: str | None) -> list[SeriesEntry]:
    """Return the named series, or all; raise `NotFound` with the existing names if one is unknown."""
    available = {entry.name: entry for entry in known}
    if names is None:
        return list(known)
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",")))
    if any(name not in available for name in wanted):
        listed = ", ".join(list(available)[:50]) or "none yet"
        raise NotFound(f"The run has no such series; it has: {listed}.")
    return [available[name] for name in wanted]
