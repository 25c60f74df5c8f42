"""A run's curves over HTTP: exact while they fit, then buckets that hide nothing."""

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import numpy as np
import pyarrow.ipc
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.api import series_response
from service.db.metrics import range_query
from service.db.metrics.codec import pack
from service.db.runs import reaper
from service.db.session import transaction
from service.export import binary, tables
from service.process.response_cache import ResponseCache
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def trained(client: TestClient, submit: Submit, worker: Worker) -> str:
    """A run of 1,000 steps with a spike, a NaN and an infinity."""
    submit()
    held = worker.claim()
    steps = np.arange(1, 1001)
    loss = 1 / steps
    loss[[499, 599, 699]] = 1e6, math.nan, -math.inf
    every = np.arange(4, 1001, 4)
    worker.finish(held, {"loss": pack(steps, loss), "val/loss": pack(every, 2.0 / every)})
    return held.run_id


def test_a_series_that_fits_is_exact_with_nan_and_infinity_as_texts(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss").json()
    loss = answer["series"]["loss"]
    assert answer["reduction"] == {"method": "none", "bucket_steps": 1, "points": 1000}
    assert loss["step"] == list(range(1, 1001))
    assert loss["value"][:2] == [1.0, 0.5]
    assert (loss["value"][599], loss["value"][699]) == ("NaN", "-Infinity")
    assert set(loss) == {"step", "value"}


def test_a_reduced_series_keeps_its_spike_and_counts_what_is_not_finite(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss&points=20").json()
    loss = answer["series"]["loss"]
    assert answer["reduction"]["method"] == "buckets"
    assert answer["reduction"]["bucket_steps"] == 64
    assert answer["reduction"]["points"] == len(loss["mean"]) <= 20
    assert max(loss["max"]) == 1e6
    assert sum(loss["nonfinite"]) == 2
    assert sum(loss["count"]) == 1000
    assert loss["last_step"][-1] == 1000


def test_buckets_stay_where_they_are_while_points_are_added(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=5000)
    held = worker.claim()
    path = f"/v1/runs/{held.run_id}/series?names=loss&points=100"
    worker.flush(held, points(1, 4000))
    before = client.get(path).json()["series"]["loss"]
    worker.flush(held, points(4001, 4200))
    after = client.get(path).json()["series"]["loss"]
    complete = len(before["mean"]) - 1
    assert {name: column[:complete] for name, column in before.items()} == {
        name: column[:complete] for name, column in after.items()
    }


def test_all_gives_the_exact_series_whatever_its_length(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(steps=20_000)
    held = worker.claim()
    worker.flush(held, points(1, 20_000))
    answer = client.get(f"/v1/runs/{held.run_id}/series?names=loss&points=all").json()
    assert answer["series"]["loss"]["step"] == list(range(1, 20_001))


def test_a_window_beyond_every_step_goes_to_the_end() -> None:
    assert series_response.step_window(0, 1e308, 1000) == series_response.step_window(0, None, 1000)


def test_a_window_holds_both_its_ends(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss&from=10&to=12").json()
    assert answer["series"]["loss"]["step"] == [10, 11, 12]


def test_epochs_count_from_the_spec(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=val/loss&x=epoch&from=2&to=3").json()
    assert answer["series"]["val/loss"]["step"] == [8, 12]
    assert answer["series"]["val/loss"]["epoch"] == [2.0, 3.0]


def test_the_axes_of_runs_are_functions_of_the_step(client: TestClient, trained: str, submit: Submit) -> None:
    waiting = submit()["runs"][0]["id"]
    first, second = client.get(f"/v1/series/axes?runs={trained},{waiting}").json()["items"]
    assert (first["run_id"], second["run_id"]) == (trained, waiting)
    assert first["epoch"] == {"steps": [0, 4], "values": [0.0, 1.0]}
    assert first["samples"]["steps"] == [0, 4]
    assert first["samples"]["values"][1] == pytest.approx(4 * 32, abs=32)
    assert first["wall_s"]["steps"][0] == 0
    assert first["wall_s"]["values"] == sorted(first["wall_s"]["values"])
    assert second["wall_s"] is None
    assert client.get(f"/v1/series/axes?runs={trained},{trained}").status_code == 422
    assert client.get("/v1/series/axes?runs=run_00000000000000000000000000").status_code == 404


def test_without_names_every_series_is_sent(client: TestClient, trained: str) -> None:
    assert set(client.get(f"/v1/runs/{trained}/series").json()["series"]) == {"loss", "val/loss"}


def test_an_unknown_series_is_not_found_and_the_known_ones_are_named(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?names=loss,los")
    assert answer.status_code == 404
    assert "val/loss" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "pointer", "limit"),
    [
        ("points=10001", "/query/points", {"le": 10_000}),
        ("points=0", "/query/points", {"ge": 1}),
        ("points=few", "/query/points", None),
        ("from=3&to=2", "/query/from", None),
        ("from=-1", "/query/from", {"ge": 0.0}),
        ("to=nan", "/query/to", None),
        ("x=hour", "/query/x", None),
        ("points=5&points=6", "/query/points", None),
        ("pionts=5", "/query/pionts", None),
    ],
)
def test_a_wrong_parameter_is_named_with_its_range(
    client: TestClient, trained: str, query: str, pointer: str, limit: object
) -> None:
    answer = client.get(f"/v1/runs/{trained}/series?{query}")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["pointer"]) == (422, pointer)
    if limit:
        assert error["limit"] == limit


def test_several_runs_come_in_one_answer_with_one_bucket_width(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit(steps=3000, seeds=[0, 1])
    ids = [run["id"] for run in posted["runs"]]
    held = [worker.claim(), worker.claim()]
    worker.finish(held[0], points(1, 3000))
    worker.flush(held[1], points(1, 1500))
    path = f"/v1/series?runs={','.join(ids)}&points=100"
    answer = client.get(f"{path}&names=loss,lr").json()
    assert [run["run_id"] for run in answer["runs"]] == ids
    assert answer["reduction"] == {"method": "buckets", "bucket_steps": 32, "points": 94}
    for run in answer["runs"]:
        alone = client.get(
            f"/v1/runs/{run['run_id']}/series?points={'100' if run == answer['runs'][0] else '50'}"
        ).json()
        assert run["series"] == alone["series"]
    assert set(client.get(path).json()["runs"][0]["series"]) == {"loss"}
    only = client.get(f"{path}&columns=last_step,max").json()["runs"][0]["series"]["loss"]
    assert set(only) == {"last_step", "max"}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("runs=" + ",".join(["run_" + "0" * 26] * 201), "/query/runs"),
        ("runs=a,a", "/query/runs"),
        ("runs=a&columns=maximum", "/query/columns"),
        ("names=loss", "/query/runs"),
    ],
)
def test_a_wrong_question_about_several_runs_is_refused(client: TestClient, query: str, pointer: str) -> None:
    answer = client.get(f"/v1/series?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_another_projects_run_is_not_found_among_several(
    client: TestClient, trained: str, stranger: dict[str, str]
) -> None:
    assert client.get(f"/v1/series?runs={trained}", headers=stranger).status_code == 404


def test_more_than_an_answer_holds_is_refused_with_the_limit(
    client: TestClient, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_response, "MAX_ENTRIES", 1100)
    answer = client.get(f"/v1/runs/{trained}/series?points=1000")
    assert answer.json()["errors"][0]["limit"] == {"le": 550}
    assert client.get(f"/v1/runs/{trained}/series?points=all&names=loss").status_code == 200
    refused = client.get(f"/v1/runs/{trained}/series?points=all&names=loss,val/loss").json()["errors"][0]
    assert refused["limit"] == {"le": 1100}
    assert "text/csv" in refused["detail"]
    streamed = client.get(f"/v1/runs/{trained}/series?points=all", headers={"Accept": "text/csv"})
    assert len(streamed.text.splitlines()) == 1251


def numbers(column: list[Any]) -> list[float]:
    return [math.nan if value is None else float(value) for value in column]


@pytest.mark.parametrize("query", ["points=20", "points=1000", "points=all", "points=20&x=epoch", "from=2000"])
def test_raw_arrays_hold_what_the_json_holds(client: TestClient, trained: str, query: str) -> None:
    path = f"/v1/runs/{trained}/series?{query}"
    said = client.get(path).json()
    raw = client.get(path, headers={"Accept": binary.MEDIA_TYPE})
    assert raw.headers["Content-Type"] == binary.MEDIA_TYPE
    size = int.from_bytes(raw.content[:4], "little")
    assert (4 + size) % 8 == 0
    header = json.loads(raw.content[4 : 4 + size])
    assert (header["reduction"], header["x"]) == (said["reduction"], said["x"])
    assert {each["name"] for each in header["series"]} == set(said["series"])
    for each in header["series"]:
        columns = said["series"][each["name"]]
        assert {column["name"] for column in header["columns"]} == set(columns)
        for column in header["columns"]:
            assert column["at"] % 8 == 0
            array = np.frombuffer(raw.content, "<" + column["dtype"], column["length"], column["at"])
            mine = array[each["begin"] : each["begin"] + each["count"]].astype(float)
            assert np.array_equal(mine, numbers(columns[column["name"]]), equal_nan=True)


def rows_of(media: str, content: bytes) -> list[dict[str, Any]]:
    if media == tables.NDJSON:
        return [json.loads(line) for line in content.splitlines()]
    if media == tables.ARROW:
        return list(pyarrow.ipc.open_stream(content).read_all().to_pylist())
    if media == tables.PARQUET:
        return list(pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist())
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@pytest.mark.parametrize("media", [tables.ARROW, tables.PARQUET, tables.CSV, tables.NDJSON])
@pytest.mark.parametrize("query", ["points=all", "points=20", "points=all&from=500&to=700", "points=all&x=epoch"])
def test_each_table_holds_what_the_json_holds(
    client: TestClient, trained: str, media: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_response, "CHUNKS_PER_READ", 1)
    path = f"/v1/runs/{trained}/series?{query}"
    answer = client.get(path, headers={"Accept": media})
    assert answer.headers["Content-Type"].split(";")[0] == media
    rows = rows_of(media, answer.content)
    for name, columns in client.get(path).json()["series"].items():
        mine = [row for row in rows if row["series"] == name]
        assert {row["run_id"] for row in mine} == {trained}
        for column, values in columns.items():
            found = [math.nan if row[column] in ("", None) else float(row[column]) for row in mine]
            assert np.array_equal(found, numbers(values), equal_nan=True), column


def test_no_cell_of_a_csv_is_a_formula(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    worker.finish(held, {'=cmd("x")': pack([1, 2], [1.0, -2.0])})
    lines = client.get(f"/v1/runs/{held.run_id}/series?points=all", headers={"Accept": "text/csv"}).text.splitlines()
    assert lines[2] == f'"{held.run_id}","\'=cmd(""x"")",2,-2'


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "application/json"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
        ("application/*;q=0.1, application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("application/json;q=0, */*;q=0.1", binary.MEDIA_TYPE),
    ],
)
def test_the_form_follows_the_accept_header(client: TestClient, trained: str, accept: str, media: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series", headers={"Accept": accept})
    assert answer.headers["Content-Type"].split(";")[0] == media
    assert answer.headers["Vary"].split(", ")[0] == "Accept"


def test_a_form_that_there_is_not_is_refused_with_those_that_there_are(client: TestClient, trained: str) -> None:
    answer = client.get(f"/v1/runs/{trained}/series", headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert "text/csv" in answer.json()["detail"]


def test_what_a_client_has_already_is_not_sent_again(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    worker.flush(held, points(1, 500))
    path = f"/v1/runs/{held.run_id}/series?names=loss"
    first = client.get(path)
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = client.get(path, headers={"If-None-Match": f'"other", {first.headers["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"{path}&points=5", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200
    worker.flush(held, points(501, 600))
    changed = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    worker.finish(held)
    done = client.get(path)
    assert "immutable" in done.headers["Cache-Control"]
    assert client.get(path, headers={"If-None-Match": done.headers["ETag"]}).status_code == 304


def test_an_export_breaks_off_rather_than_mixing_attempts(
    live: str, key: str, submit: Submit, worker: Worker, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_response, "CHUNKS_PER_READ", 1)
    submit()
    held = worker.claim()
    worker.flush(held, points(1, 100))
    worker.flush(held, points(101, 200))
    reach, looks = range_query.page_end, []

    def reached(*given: Any) -> int | None:
        if len(looks) == 1:
            with transaction(engine) as connection:
                (beat,) = reaper.beats(connection)
                reaper.reap(connection, beat)
            worker.claim()
        looks.append(given)
        return reach(*given)

    monkeypatch.setattr(range_query, "page_end", reached)
    headers = {"Accept": tables.NDJSON, "Authorization": f"Bearer {key}"}
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{live}/v1/runs/{held.run_id}/series?points=all", headers=headers)
    assert len(looks) == 2  # both chunks of the first series; the second one's look found another attempt


def test_the_answer_of_ended_runs_is_made_once_and_anew_for_whoever_wants_it_fresh(
    client: TestClient, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = [], series_response._body
    monkeypatch.setattr(series_response, "_body", lambda *given: made.append(given) or real(*given))
    path = f"/v1/runs/{trained}/series?names=loss&points=50"
    first = client.get(path)
    assert client.get(path).content == first.content
    assert len(made) == 1
    assert client.get(f"{path}&to=100").content != first.content
    assert client.get(path, headers={"Accept": tables.CSV}).headers["Content-Type"].startswith(tables.CSV)
    assert client.get(path, headers={"Cache-Control": "no-cache"}).content == first.content
    assert len(made) == 4


def test_kept_answers_are_bounded_and_the_least_asked_goes_first() -> None:
    kept = ResponseCache(max_bytes=100)
    for name in "abcd":
        kept.put(name, bytes(25))
    assert kept.get("a") is not None
    kept.put("e", bytes(20))
    assert [name for name in "abcde" if kept.get(name) is None] == ["b"]
    kept.put("large", bytes(26))
    assert (kept.get("large"), kept.size) == (None, 95)


def test_the_names_of_a_projects_series_are_listed_for_its_members_alone(
    client: TestClient, submit: Any, worker: Worker, stranger: dict[str, str]
) -> None:
    submit(steps=3)
    held = worker.claim()
    worker.flush(held, points(1, 3))
    assert client.get("/v1/series/names").json() == {"names": ["loss", "lr"]}
    assert client.get("/v1/series/names", headers=stranger).json() == {"names": []}
