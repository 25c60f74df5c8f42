"""Curves as JSON text, joined from columns that are written at once for all series."""

import json
from collections.abc import Iterable, Sequence

from service.export.curves import Curves


def one_run(curves: Curves, run_id: str, axis: str) -> bytes:
    """Return {run_id, x, series: {name: columns}, reduction}."""
    series = _series([key.name for key in curves.keys], _columns(curves))
    head = f'{{"run_id":{json.dumps(run_id)},"x":{json.dumps(axis)},"series":{series},'
    return f'{head}"reduction":{json.dumps(curves.reduction)}}}'.encode()


def many_runs(curves: Curves, axis: str) -> bytes:
    """Return {x, runs: [{run_id, series: {name: columns}}], reduction}."""
    columns = _columns(curves)
    by_run: dict[str, list[int]] = {}
    for position, key in enumerate(curves.keys):
        by_run.setdefault(key.run_id, []).append(position)
    runs = ",".join(
        f'{{"run_id":{json.dumps(run_id)},"series":{_select(curves, columns, places)}}}'
        for run_id, places in by_run.items()
    )
    return f'{{"x":{json.dumps(axis)},"runs":[{runs}],"reduction":{json.dumps(curves.reduction)}}}'.encode()


def _columns(curves: Curves) -> list[str]:
    """Return the text of each series' object."""
    from service.export.number_texts import list_texts  # noqa: PLC0415  loads pyarrow

    written = {name: list_texts(name, column, curves.bounds) for name, column in curves.columns.items()}
    return [
        "{" + ",".join(f'"{name}":{texts[position]}' for name, texts in written.items()) + "}"
        for position in range(len(curves.keys))
    ]


def _select(curves: Curves, columns: Sequence[str], places: Iterable[int]) -> str:
    places = list(places)
    return _series([curves.keys[place].name for place in places], [columns[place] for place in places])


def _series(names: Sequence[str], columns: Sequence[str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in zip(names, columns, strict=True)) + "}"
