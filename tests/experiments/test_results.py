"""One definition of a result: every route tells the same figure of the same runs."""

import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.db.metrics import experiment_summary
from service.db.metrics.codec import Chunk, pack
from service.db.runs import run_data
from service.db.session import transaction
from service.lifecycle import State
from tests.fixtures.api import Worker

Submit = Callable[..., dict[str, Any]]
Ending = dict[str, Any]
STEPS = 40
FATES = ("succeeded", "diverged", "went on", "failed", "cancelled", "running")
SERIES = ("val/loss", "val/accuracy", "loss")
STATES = {"diverged": State.FAILED, "failed": State.FAILED, "cancelled": State.CANCELLED}
FAILURES = {"diverged": {"code": "diverged", "detail": "nan"}, "failed": {"code": "crash_loop", "detail": "x"}}


def written(rng: random.Random, fate: str, names: tuple[str, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """What a run of this fate records: noise, and a NaN where it diverges or goes on after one."""
    found = {name: np.array([rng.gauss(1, 0.5) for _ in range(STEPS)]) for name in names}
    if fate in ("diverged", "went on"):
        found["loss"][-1 if fate == "diverged" else rng.randrange(STEPS - 10)] = math.nan
    return found


def value_of(curves: dict[str, np.ndarray[Any, Any]], name: str, figure: str) -> float:
    """The slow, obvious figure: of 40 steps the final stretch are the last eight."""
    curve = curves[name]
    if figure == "last":
        return float(curve[-8:].mean()) if name == "loss" else float(curve[-1])
    greatest = figure == "max" or (figure == "best" and name == "val/accuracy")
    return float(curve.max() if greatest else curve.min())


class Shelf:
    """Experiments with runs of every fate, and what each run should come to."""

    def __init__(self, client: TestClient, submit: Submit, worker: Worker, seed: int) -> None:
        self.client, self.worker, self.rng = client, worker, random.Random(seed)
        self.replays: set[str] = set()
        self.spoken: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {}  # experiment -> run -> fate and curves
        for at in range(4):
            names = (SERIES, ("loss",), ("val/accuracy", "loss"))[at % 3]
            posted = submit(name=f"mix {at}", steps=STEPS, seeds=[0, 1, 2, 3])
            self.spoken[posted["id"]] = {}
            self.waiting = 4
            while self.waiting:
                self.train(posted["id"], names)

    def train(self, experiment: str, names: tuple[str, ...]) -> None:
        """Let the next run meet a fate; some that failed are trained again, some that are done are replayed."""
        fate, held = self.rng.choice(FATES), self.worker.claim()
        self.waiting -= 1
        if held.run_id in self.replays:
            self.worker.finish(held, {name: pack([1, 2], [-9.0, -9.0]) for name in names})
            return
        curves = written(self.rng, fate, names)
        self.spoken[experiment][held.run_id] = fate, curves
        if fate == "running":
            curves.update({name: values[-8:] for name, values in curves.items()})
            self.worker.flush(held, {name: pack(range(33, 41), values) for name, values in curves.items()})
            return
        chunks: dict[str, Chunk] = {name: pack(range(1, STEPS + 1), values) for name, values in curves.items()}
        self.worker.finish(held, chunks, STATES.get(fate, State.SUCCEEDED), FAILURES.get(fate))
        if fate in STATES and self.rng.random() < 0.5:
            self.again(held.run_id, "retry")
            del self.spoken[experiment][held.run_id]
        elif fate == "succeeded" and self.rng.random() < 0.5:
            self.replays.add(self.again(held.run_id, "replay"))

    def again(self, run: str, action: str) -> str:
        answer = self.client.post(f"/v1/runs/{run}/{action}")
        assert answer.status_code == 201, answer.text
        self.waiting += 1
        return str(answer.json()["id"])

    def expected(self, experiment: str, name: str, figure: str) -> dict[str, float]:
        """By run the value of each that has one."""
        told = self.spoken[experiment].items()
        values = {run: (fate, curves) for run, (fate, curves) in told if fate in ("succeeded", "running")}
        return {run: value_of(curves, name, figure) for run, (_, curves) in values.items() if name in curves}

    def count(self, experiment: str, *fates: str) -> int:
        return sum(fate in fates for fate, _ in self.spoken[experiment].values())


def close(one: float | None, other: float | None) -> bool:
    """Whether both are none, or the same but for the rounding of a sum."""
    return one == other or (one is not None and other is not None and math.isclose(one, other, rel_tol=1e-12))


def same(found: float | None, values: dict[str, float]) -> bool:
    return close(found, statistics.fmean(values.values()) if values else None)


@pytest.fixture(params=[0, 1])
def shelf(
    client: TestClient, submit: Submit, worker: Worker, request: pytest.FixtureRequest, monkeypatch: Any
) -> Shelf:
    if request.param == 1:  # nothing is written down: all is computed
        monkeypatch.setattr(experiment_summary, "settle", lambda _: 0)
    found = Shelf(client, submit, worker, request.param)
    with transaction(worker.engine) as connection:
        experiment_summary.settle(connection)
    return found


def test_every_route_tells_the_same_figure_for_the_same_runs(client: TestClient, shelf: Shelf) -> None:
    asked = [f"{figure}({name})" for name in SERIES for figure in ("best", "last")]
    items = client.get("/v1/experiments", params={"columns": ",".join(asked)}).json()["items"]
    assert {item["id"] for item in items} == set(shelf.spoken)
    for item in items:
        experiment = item["id"]
        for column in asked:
            figure, name = column.rstrip(")").split("(")
            assert same(item["values"][column], shelf.expected(experiment, name, figure)), (column, item)
        row_is_right(shelf, item)
        view = client.get(f"/v1/experiments/{experiment}").json()
        assert view["main"] == item["main"]
        restarts_are_right(shelf, view)
        diagnosis_is_right(shelf, experiment, item["main"]["series"])
        comparison_is_right(client, shelf, item)
    lists_are_right(client, shelf, items, asked)
    runs_are_right(client, shelf)


def row_is_right(shelf: Shelf, item: dict[str, Any]) -> None:
    experiment, main = item["id"], item["main"]
    measured = {name for _, curves in shelf.spoken[experiment].values() for name in curves}
    assert main["series"] == next(name for name in SERIES if name in measured)
    values = shelf.expected(experiment, main["series"], "last")
    assert same(main["last"], values)
    assert same(main["best"], shelf.expected(experiment, main["series"], "best"))
    counts = {key: main[key] for key in ("n", "diverged", "incomplete", "provisional")}
    assert counts == {
        "n": len(values),
        "diverged": shelf.count(experiment, "diverged", "went on"),
        "incomplete": shelf.count(experiment, "failed", "cancelled"),
        "provisional": shelf.count(experiment, "running"),
    }
    assert main["ranked_by"] == ("last" if main["series"] == "loss" else "best")
    assert main["stretch"] == ([33, 40] if main["series"] == "loss" and values else None)


def restarts_are_right(shelf: Shelf, view: dict[str, Any]) -> None:
    found, experiment = view["restarts"], view["id"]
    ended = {run: fate for run, (fate, _) in shelf.spoken[experiment].items() if fate != "running"}
    if len(ended) < 2:
        assert found is None
        return
    values = shelf.expected(experiment, view["main"]["series"], "last")
    assert found["series"] == view["main"]["series"]
    assert {each["run"] for each in found["values"]} == set(ended)
    assert all(close(each["value"], values.get(each["run"])) for each in found["values"])
    assert (found["diverged"], found["incomplete"]) == (view["main"]["diverged"], view["main"]["incomplete"])
    lost = {each["id"] for each in view["runs"] if each["diverged"] and each["id"] in shelf.spoken[experiment]}
    assert lost == {run for run, fate in ended.items() if fate in ("diverged", "went on")}


def diagnosis_is_right(shelf: Shelf, experiment: str, series: str) -> None:
    with transaction(shelf.worker.engine) as connection:
        found, name = run_data.siblings(connection, [experiment])[experiment]
    values = shelf.expected(experiment, series, "last")
    assert name == series
    for each in found:
        assert close(None if math.isnan(each.final) else each.final, values.get(each.run_id))


def comparison_is_right(client: TestClient, shelf: Shelf, item: dict[str, Any]) -> None:
    main = item["main"]
    view = client.post("/v1/comparisons", json={"experiments": [item["id"]], "points": None}).json()
    (group,) = view["groups"]
    assert (view["ranking"]["series"], view["ranking"]["figure"]) == (main["series"], main["ranked_by"])
    assert (group["diverged"], group["incomplete"]) == (main["diverged"], main["incomplete"])
    for figure in ("best", "last"):
        told = group["series"][main["series"]][figure]
        assert close(told["mean"], main[figure])
        assert (told["n"], told["diverged"]) == (main["n"], main["diverged"])
    assert close(view["ranking"]["items"][0]["best"]["mean"], main[main["ranked_by"]])
    assert view["ranking"]["stretch"] == (main["stretch"] if main["ranked_by"] == "last" else None)
    if main["diverged"]:
        assert (
            f"{main['diverged']} of the runs diverged: they are counted, but left out of every mean."
            in view["warnings"]
        )


def lists_are_right(client: TestClient, shelf: Shelf, items: list[dict[str, Any]], asked: list[str]) -> None:
    """Sorted and filtered by the value that is shown, with those that have none last either way."""
    for column in asked:
        values = {item["id"]: item["values"][column] for item in items}
        known = sorted(value for value in values.values() if value is not None)
        for sort, ordered in ((column, known), (f"-{column}", known[::-1])):
            found = client.get("/v1/experiments", params={"sort": sort}).json()["items"]
            assert [values[each["id"]] for each in found] == ordered + [None] * (len(items) - len(known))
        if known:
            middle = known[len(known) // 2]
            found = client.get("/v1/experiments", params={"filter": f"{column} < {middle!r}"}).json()["items"]
            kept = {each for each, value in values.items() if value is not None and value < middle}
            assert {each["id"] for each in found} == kept


def runs_are_right(client: TestClient, shelf: Shelf) -> None:
    """Runs are sorted by the same values; replays and runs that were trained again are listed, too."""
    for figure in ("last", "best"):
        found = client.get("/v1/runs", params={"sort": f"{figure}(loss)", "limit": 200}).json()["items"]
        values: dict[str, float] = {}
        for experiment in shelf.spoken:
            values |= shelf.expected(experiment, "loss", figure)
        told = [each["id"] for each in found if each["id"] in values]
        assert told == sorted(values, key=lambda run: values[run])
        valueless = {run for runs in shelf.spoken.values() for run in runs} - set(values)
        last = [each["id"] for each in found].index(told[-1])
        assert all(each["id"] not in valueless for each in found[:last])
