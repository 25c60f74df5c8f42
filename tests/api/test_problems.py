"""Bad requests: each is refused with a small problem document that says where, and never repeats what came in."""

import base64
import json
import logging
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.body import MAX_BYTES
from service.db.experiments import lists
from service.errors import Invalid, Malformed
from service.process.request_log import RequestFormatter
from service.spec.experiment import Experiment
from service.spec.parse.document import read_json, validate
from tests.fixtures.api import SPEC

FIELDS = {"type", "title", "status", "detail", "instance", "code", "errors"}


def spec(**changes: Any) -> bytes:
    return json.dumps(SPEC | changes).encode()


def with_raw(field: str, raw: bytes) -> bytes:
    return spec(**{field: "@"}).replace(b'"@"', raw)


BODIES: dict[str, tuple[bytes, int, str]] = {  # body, status, pointer or code
    "NaN": (with_raw("steps", b"NaN"), 400, "not_finite"),
    "Infinity": (with_raw("steps", b"Infinity"), 400, "not_finite"),
    "minus Infinity": (with_raw("steps", b"-Infinity"), 400, "not_finite"),
    "1e400": (with_raw("steps", b"1e400"), 400, "not_finite"),
    "lone surrogate": (with_raw("name", rb'"\ud800"'), 422, "/name"),
    "deep objects": (b'{"a":' * 900 + b"1" + b"}" * 900, 400, "too_deep"),
    "deep lists": (b"[" * 100_000, 400, "too_many_values"),
    "deep list": (b"[" * 5_000, 400, "too_deep"),
    "NaN as a text": (spec(optimizer={"kind": "sgd", "lr": "NaN"}), 422, "/optimizer/lr"),
    "duplicate key": (b'{"lr": 1, "lr": 2}', 400, "duplicate_key"),
    "unknown field": (spec(optimizer={"kind": "sgd", "momentm": 0.9}), 422, "/optimizer/momentm"),
    "text for a number": (spec(steps="3"), 422, "/steps"),
    "float for a whole number": (spec(steps=3.0), 422, "/steps"),
    "true for a number": (spec(steps=True), 422, "/steps"),
    "too many units": (spec(model={"kind": "mlp", "hidden": [10**9]}), 422, "/model/hidden/0"),
    "400 digits": (with_raw("steps", b"1" * 400), 400, "too_long_number"),
    "negative rate": (spec(optimizer={"kind": "sgd", "lr": -1}), 422, "/optimizer/lr"),
    "NUL in the name": (spec(name="a\x00b"), 422, "/name"),
    "right-to-left override": (spec(name="a\u202eb"), 422, "/name"),
    "10 MB name": (spec(name="x" * 10_000_000), 413, "too_large"),
    "long name": (spec(name="x" * 5_000), 422, "/name"),
    "byte order mark": (b"\xef\xbb\xbf" + spec(), 400, "malformed"),
    "not UTF-8": (b'{"name": "\xff"}', 400, "malformed"),
    "UTF-16": (spec().decode().encode("utf-16"), 400, "malformed"),
    "too many keys": (json.dumps({f"k{i}": 1 for i in range(3000)}).encode(), 400, "too_many_keys"),
    "unknown kind": (spec(optimizer={"kind": "sdg"}), 422, "/optimizer/kind"),
    "an object for a kind": (spec(optimizer={"kind": {}}), 422, "/optimizer/kind"),
    "a list for a kind": (
        spec(groups=[{"match": {"name": "*"}, "optimizer": {"kind": []}}]),
        422,
        "/groups/0/optimizer/kind",
    ),
    "no kind": (spec(optimizer={}), 422, "/optimizer/kind"),
    "empty": (b"", 400, "malformed"),
    "cut off": (spec()[:-10], 400, "malformed"),
    "a list": (b"[]", 422, ""),
    "null": (b"null", 422, ""),
    "many problems": (spec(seeds=[-1] * 900), 422, "/seeds/0"),
    "long keys": (json.dumps({f"{'k' * 150}{i}": 1 for i in range(200)}).encode(), 422, "/dataset"),
}


def check(answer: Any, status: int) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(document) == FIELDS
    assert document["status"] == status
    assert document["instance"] == answer.headers["X-Request-Id"]
    assert len(answer.content) < 4096
    return document


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_with_a_small_answer_that_says_where(shared: TestClient, name: str) -> None:
    body, status, where = BODIES[name]
    answer = shared.post("/v1/experiments", content=body, headers={"Content-Type": "application/json"})
    document = check(answer, status)
    pointers = [each["pointer"] for each in document["errors"]]
    codes = [document["code"], *(each["code"] for each in document["errors"])]
    assert where in pointers + codes
    assert "xxxx" not in answer.text


def test_a_batch_size_of_the_wrong_type_is_one_problem(shared: TestClient) -> None:
    (error,) = check(shared.post("/v1/experiments", content=spec(batch_size="half"), headers=JSON), 422)["errors"]
    assert error["pointer"] == "/batch_size"
    assert "'full'" in error["detail"]


JSON = {"Content-Type": "application/json"}
SURROGATE = base64.urlsafe_b64encode(json.dumps(["\ud800", "x"]).encode()).decode()


def test_a_misspelt_field_is_told_what_was_probably_meant(shared: TestClient) -> None:
    body = spec(optimizer={"kind": "sgd", "momentm": 0.9}, schedule={"kind": "cosien"}, batchsize=3)
    errors = check(shared.post("/v1/experiments", content=body, headers=JSON), 422)["errors"]
    assert {each["pointer"]: each["did_you_mean"] for each in errors} == {
        "/optimizer/momentm": "momentum",
        "/schedule/kind": "cosine",
        "/batchsize": "batch_size",
    }


@pytest.mark.parametrize("media", [None, "text/plain", "application/json; charset=latin-1", "application/x-json"])
def test_only_json_is_taken(shared: TestClient, media: str | None) -> None:
    headers = {} if media is None else {"Content-Type": media}
    check(shared.post("/v1/experiments", content=spec(), headers=headers), 415)


def test_json_in_utf_8_may_say_so(shared: TestClient) -> None:
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    assert shared.post("/v1/experiments", content=spec(), headers=headers).status_code == 201


def test_the_limit_holds_whatever_the_headers_say(shared: TestClient) -> None:
    parts = (b" " * 65_536 for _ in range(5))
    check(shared.post("/v1/experiments", content=parts, headers=JSON), 413)
    huge = {**JSON, "Content-Length": str(10**12)}
    check(shared.post("/v1/experiments", content=b"{}", headers=huge), 413)


def processor_time_of_a_loop() -> float:
    """Return what 100,000 multiplications take here, in seconds: what another processor's speed is measured by."""
    begin = time.thread_time()
    sum(number * number for number in range(100_000))
    return time.thread_time() - begin


def test_the_worst_body_is_refused_in_little_time() -> None:
    worst = [
        b"[" + b"1," * (MAX_BYTES // 2 - 2) + b"1]",
        b"[]" * (MAX_BYTES // 2),
        b'{"seeds":[' + b"-1," * 9_900 + b"1]}",
        b"[" + b'"abcdefghij",' * 9_900 + b"1]",
        json.dumps({f"{'lerning_rate' * 10}{i}": 1 for i in range(1_900)}).encode(),
        b'{"name":"' + rb"\ud800" * 43_000 + b'"}',
    ]
    for body in worst:
        took, plain = [], []
        for _ in range(3):
            plain.append(processor_time_of_a_loop())
            begin = time.thread_time()  # of a processor: others on this machine do not count
            with pytest.raises((Malformed, Invalid)):
                validate(Experiment, read_json(body))
            took.append(time.thread_time() - begin)
        assert min(took) < 15 * min(plain), f"{body[:20]!r}: {min(took)}, {min(plain)}"  # 5 at most were measured


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/experiments/", 404),
        ("GET", "/v1/runs/run_x", 404),
        ("GET", "/v1/runs/%00", 404),
        ("GET", "/v1/runs/run_%0d%0a", 404),
        ("PUT", "/v1/experiments", 405),
        ("DELETE", "/v1/livez", 405),
        ("GET", "/v1/experiments?limit=0", 422),
        ("GET", "/v1/experiments?limit=x", 422),
        ("GET", "/v1/experiments?cursor=x", 422),
        ("GET", "/v1/experiments?limt=3", 422),
        ("GET", "/v1/livez?x=1", 422),
        ("GET", "/v1/runs?state=gone", 422),
        ("GET", "/v1/runs?state=queued&state=failed", 422),
        ("GET", "/v1/series?runs=run_x&names=a%00", 422),
        ("GET", "/v1/series?runs=a%00", 422),
        ("GET", "/v1/experiments?filter=name%20=%20%22%00%22", 422),
        ("GET", f"/v1/experiments?sort=name&cursor={SURROGATE}", 422),
    ],
)
def test_everything_that_is_refused_is_a_problem_document(
    shared: TestClient, method: str, path: str, status: int
) -> None:
    check(shared.request(method, path), status)


def test_a_method_that_is_not_taken_names_those_that_are(shared: TestClient) -> None:
    assert shared.put("/v1/experiments").headers["Allow"] == "GET, HEAD, POST"


def test_a_bug_is_answered_with_an_id_and_logged_with_its_stack(
    shared: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(lists, "runs", broken)
    monkeypatch.setattr(caplog.handler, "formatter", RequestFormatter("%(message)s"))  # as the server writes it
    with caplog.at_level(logging.ERROR):
        document = check(shared.get("/v1/runs"), 500)
    assert "secret" not in json.dumps(document)
    assert document["instance"] in caplog.text
    assert "the secret of the house" in caplog.text
