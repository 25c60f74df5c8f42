"""Lists over HTTP: filtered, sorted with nothing and NaN last, cut exactly, and no larger than asked for."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.metrics import experiment_summary
from service.db.metrics.codec import pack
from service.lifecycle import State
from tests.fixtures.api import Worker
from tests.harness.waiting import until

Submit = Callable[..., dict[str, Any]]
FAILED = {"code": "diverged", "detail": "the loss is nan"}


@pytest.fixture(params=["going", "settled"])
def shelf(
    submit: Submit, worker: Worker, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Five experiments: two seeds trained, one seed trained, diverged, empty, waiting; figures written down or not."""
    settled = request.param == "settled"
    if not settled:
        monkeypatch.setattr(experiment_summary, "settle", lambda _: 0)

    def trained(values: list[float], state: State = State.SUCCEEDED, **changes: Any) -> str:
        posted = submit(seeds=list(range(len(values))), steps=2, **changes)
        for _ in values:
            held = worker.claim()
            chunks = {"val/loss": pack([1, 2], [values[held.seed] + 1, values[held.seed]])}
            worker.finish(held, chunks, state, FAILED if state is State.FAILED else None)
        return str(posted["id"])

    found = {
        "pair": trained([0.1, 0.3], name="pair", tags=["old", "two words"]),
        "single": trained([0.15], name="single 50%", optimizer={"kind": "adam", "lr": 0.01}, batch_size="full"),
        "diverged": trained([float("nan")], State.FAILED, name="diverged", optimizer={"kind": "sgd", "lr": 2.0}),
        "same": trained([0.2], name="same", optimizer={"kind": "sgd", "lr": 0.5, "momentum": 0.9}),
        "waiting": submit(name="waiting", notes="for Ada")["id"],
    }
    until(lambda: settled_ones(worker) == (4 if settled else 0))
    return found


def settled_ones(worker: Worker) -> int:
    with worker.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM experiment WHERE settled")).scalar_one())


def names(client: TestClient, shelf: dict[str, str], noun: str = "experiments", **asked: Any) -> list[str]:
    """What a list holds, page by page of one item, as one of everything."""
    known = {row_id: name for name, row_id in shelf.items()}
    key = "id" if noun == "experiments" else "experiment_id"
    whole = client.get(f"/v1/{noun}", params=asked)
    assert whole.status_code == 200, whole.text
    pages, cursor = [], None
    while True:
        page = client.get(f"/v1/{noun}", params=asked | {"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [item["id"] for item in pages] == [item["id"] for item in whole.json()["items"]]
    return [known[item[key]] for item in whole.json()["items"]]


def test_a_filter_keeps_what_it_describes(client: TestClient, shelf: dict[str, str]) -> None:
    for source, expected in {
        "status = failed OR best(val/loss) < 0.18": ["diverged", "single"],
        "best(val/loss) <= 0.2 AND best(val/loss) >= 0.2": ["same", "pair"],
        "pai": ["pair"],
        "WORDS": ["pair"],
        "ada": ["waiting", "same", "diverged", "single", "pair"],
        "ada notes ~ ada": ["waiting"],
        "'50%'": ["single"],
        "last(val/loss) IS NULL": ["waiting", "diverged"],
        "NOT best(val/loss) < 1": ["waiting", "diverged"],
        "optimizer.momentum = 0.9": ["same"],
        "optimizer.momentum != 0.9 AND state != queued": ["diverged", "single", "pair"],
        "optimizer.kind IN (adam, adamw)": ["single"],
        "batch_size = full OR batch_size > 100": ["single"],
        "optimizer.lr >= 0.5": ["same", "diverged"],
        "tag = 'two words' OR tag IN (new)": ["pair"],
        "tag ~ TWO": ["pair"],
        "tag IS NULL AND name ~ 'a'": ["waiting", "same"],
        "name ~ '50%' OR name ~ '_a'": ["single"],
        "notes ~ ada": ["waiting"],
        "created > 2020-01-01 AND created < 2020-01-02": [],
        "owner = ada AND clip IS NULL AND clip.norm IS NULL": ["waiting", "same", "diverged", "single", "pair"],
        "name = 'a'' OR true'": [],  # a doubled quotation mark is one within the text
        "name = 'a' OR true'": None,
    }.items():
        if expected is None:
            assert client.get("/v1/experiments", params={"filter": source}).status_code == 422
        else:
            assert names(client, shelf, filter=source) == expected, source


def test_a_list_is_sorted_by_any_figure_with_nothing_last(client: TestClient, shelf: dict[str, str]) -> None:
    """pair and same have the same mean: the newer first where the greatest are first."""
    assert names(client, shelf, sort="best(val/loss)") == ["single", "pair", "same", "diverged", "waiting"]
    assert names(client, shelf, sort="-last(val/loss)") == ["same", "pair", "single", "waiting", "diverged"]
    assert names(client, shelf, sort="last(val/loss)") == ["single", "pair", "same", "diverged", "waiting"]
    assert names(client, shelf, sort="-optimizer.lr")[:3] == ["diverged", "same", "waiting"]
    assert names(client, shelf, sort="name")[:2] == ["diverged", "pair"]
    assert names(client, shelf, sort="created") == ["pair", "single", "diverged", "same", "waiting"]


def test_runs_are_filtered_and_sorted_alike(client: TestClient, shelf: dict[str, str]) -> None:
    assert names(client, shelf, "runs", filter="failure = diverged") == ["diverged"]
    assert names(client, shelf, "runs", filter="seed = 1 AND step >= 2") == ["pair"]
    assert names(client, shelf, "runs", filter="name ~ wait", state="queued") == ["waiting"]
    order = names(client, shelf, "runs", sort="-last(val/loss)")
    assert order == ["pair", "same", "single", "pair", "waiting", "diverged"]
    assert names(client, shelf, "runs", sort="finished")[-1] == "waiting"


def test_only_the_fields_asked_for_are_sent(client: TestClient, shelf: dict[str, str]) -> None:
    answer = client.get("/v1/experiments", params={"fields": "name,tags", "limit": 1, "sort": "name"})
    assert answer.json()["items"] == [{"id": shelf["diverged"], "name": "diverged", "tags": []}]
    assert 'rel="next"' in answer.headers["Link"]
    wrong = client.get("/v1/runs", params={"fields": "sed"})
    assert (wrong.status_code, wrong.json()["errors"][0]["did_you_mean"]) == (422, "seed")


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"filter": "state = "}, "/query/filter"),
        ({"filter": "state = fialed"}, "/query/filter"),
        ({"sort": "tag"}, "/query/sort"),
        ({"sort": "nothing"}, "/query/sort"),
        ({"cursor": "nonsense"}, "/query/cursor"),
        ({"cursor": "bm9uc2Vuc2U=", "sort": "name"}, "/query/cursor"),
        ({"cursor": "WyJ4Il0=", "sort": "best(loss)"}, "/query/cursor"),
        ({"cursor": "WyJ4IiwieCJd", "sort": "best(loss)"}, "/query/cursor"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(shared: TestClient, asked: dict[str, str], pointer: str) -> None:
    answer = shared.get("/v1/experiments", params=asked)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    if "filter" in asked:
        assert answer.json()["errors"][0]["column"] == 9


def test_an_item_has_the_fields_asked_for_its_progress_and_intervals_over_seeds(
    client: TestClient, shelf: dict[str, str]
) -> None:
    columns = "optimizer.kind,optimizer.lr,optimizer.momentum,best(val/loss)"
    found = client.get("/v1/experiments", params={"columns": columns}).json()["items"]
    items = {item["name"]: item for item in found}
    assert items["same"]["values"] == {
        "optimizer.kind": "sgd",
        "optimizer.lr": 0.5,
        "optimizer.momentum": 0.9,
        "best(val/loss)": 0.2,
    }
    assert items["single 50%"]["values"]["optimizer.momentum"] is None
    low, high = items["pair"]["main"]["last_interval"]
    assert (low, high) == pytest.approx((0.2 - 12.7062 * 0.1, 0.2 + 12.7062 * 0.1), rel=1e-4)
    assert items["same"]["main"]["best_interval"] is None
    assert items["diverged"]["main"]["last_interval"] is None
    assert (items["pair"]["progress"], items["waiting"]["progress"]) == (1.0, 0.0)
    assert client.get("/v1/experiments").json()["items"][0]["values"] == {}
    for wrong in ("name", "optimizer.learning_rte", ",".join(f"model.hidden.{at}" for at in range(13))):
        answer = client.get("/v1/experiments", params={"columns": wrong})
        assert answer.status_code == 422, wrong
        assert answer.json()["errors"][0]["pointer"] == "/query/columns"


def test_a_retry_takes_the_settling_back(client: TestClient, submit: Submit, worker: Worker) -> None:
    """The figures are those of the newest run again, and of a series that only the run before had there is none."""
    submit(steps=2, seeds=[0, 1])
    good, failed = worker.claim(), worker.claim()
    worker.finish(good, {"loss": pack([1], [0.5])})
    worker.finish(failed, {"loss": pack([1], [0.5]), "val/loss": pack([1], [0.4])}, State.FAILED, FAILED)
    until(lambda: settled_ones(worker) == 1)

    def shown() -> dict[str, Any]:
        asked = {"columns": "last(loss),last(val/loss)"}
        values: dict[str, Any] = client.get("/v1/experiments", params=asked).json()["items"][0]["values"]
        return values

    assert shown() == {"last(loss)": 0.5, "last(val/loss)": None}, "what a failed run had reached is no result"
    assert client.post(f"/v1/runs/{failed.run_id}/retry").status_code == 201
    assert settled_ones(worker) == 0
    assert shown() == {"last(loss)": 0.5, "last(val/loss)": None}
    held = worker.claim()
    worker.flush(held, {"loss": pack([1], [0.3])})
    assert shown() == {"last(loss)": 0.4, "last(val/loss)": None}
    worker.finish(held, {"loss": pack([2], [0.2])})
    until(lambda: settled_ones(worker) == 1)
    assert shown() == {"last(loss)": 0.35, "last(val/loss)": None}
    assert client.post(f"/v1/runs/{held.run_id}/replay").status_code == 201
    assert settled_ones(worker) == 1, "a replay counts in no figure"


def test_a_mistyped_series_is_refused_with_a_guess(client: TestClient, submit: Submit, worker: Worker) -> None:
    """Known are the series of any run, going or ended, and those that every training measures."""
    submit(steps=2)
    held = worker.claim()
    worker.flush(held, {"val/loss": pack([1], [0.5]), "grad_norm/head": pack([1], [0.5])})
    asked = [
        ("experiments", "sort", "-last(val/los)", None),
        ("experiments", "filter", "state = failed OR NOT best(val/los) < 1", 28),
        ("experiments", "columns", "optimizer.lr, best(val/los)", None),
        ("runs", "sort", "last(val/los)", None),
        ("runs", "filter", "best(val/los) < 1", 6),
    ]
    for noun, parameter, source, column in asked:
        answer = client.get(f"/v1/{noun}", params={parameter: source})
        assert answer.status_code == 422, source
        problem = answer.json()["errors"][0]
        assert (problem["pointer"], problem["did_you_mean"]) == (f"/query/{parameter}", "val/loss")
        assert problem.get("column") == column
    refused = client.post("/v1/comparisons", json={"filter": "best(val/los) < 1"}).json()["errors"][0]
    assert (refused["pointer"], refused["did_you_mean"]) == ("/filter", "val/loss")
    for series in ("grad_norm/head", "val/accuracy", "test/loss"):
        assert client.get("/v1/experiments", params={"sort": f"best({series})"}).status_code == 200, series
    worker.finish(held)
    until(lambda: settled_ones(worker) == 1)
    assert client.get("/v1/experiments", params={"columns": "best(grad_norm/head)"}).status_code == 200
    assert client.get("/v1/experiments", params={"columns": "best(grad_norm/haed)"}).status_code == 422
