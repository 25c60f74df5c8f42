"""Two API processes on one database: nothing that a request began depends on the process that answers the next one."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from service.db.session import make_engine
from service.local.port import find_free_port
from tests.fixtures.api import Worker, points
from tests.fixtures.product import Servers, prepare_product
from tests.harness.nursery import Nursery
from tests.harness.product import Product
from tests.harness.waiting import until

SPEC: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 1000,
}
CSV = "x,kind\n" + "".join(f"{i % 7 if i else ''},{'ab'[i % 2]}\n" for i in range(60))


@pytest.fixture(scope="module")
def product(servers: Servers, durable_template: str, nursery: Nursery) -> Iterator[Product]:
    with prepare_product(servers, durable_template, nursery) as product:
        yield product


@pytest.fixture(scope="module")
def apis(product: Product) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of both, with one key."""
    port = find_free_port()
    product.start("service.api", "--host", "127.0.0.1", "--port", str(port))
    product.start_api()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=product.http.headers, timeout=60) as other:
        until(lambda: is_ready(other))
        yield product.http, other


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/v1/readyz").status_code == 200
    except httpx.TransportError:
        return False


def messages(client: httpx.Client, path: str, last_id: str | None, count: int) -> list[tuple[str, Any]]:
    """The next `count` messages of a stream that have an id."""
    found: list[tuple[str, Any]] = []
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with client.stream("GET", path, headers=headers) as answer:
        message: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            message[name] = value
            if line == "" and message.get("id"):
                found.append((message["id"], json.loads(message["data"])))
                if len(found) == count:
                    return found
            message = {} if line == "" else message
    raise AssertionError(f"the stream ended after {found}")


def test_a_session_and_a_key_hold_in_both_and_end_in_both(apis: tuple[httpx.Client, httpx.Client]) -> None:
    one, other = apis
    made = one.post("/v1/keys", json={"name": "short"}).json()
    key = {"Authorization": f"Bearer {made['key']}"}
    assert other.get("/v1/me", headers=key).status_code == 200
    behind_a_proxy = {"Host": one.base_url.netloc.decode()}  # of which a browser knows one name and port
    with httpx.Client(headers=behind_a_proxy) as browser:
        signed_in = browser.post(f"{one.base_url}/v1/session", json={"key": made["key"]})
        assert signed_in.status_code == 200, signed_in.text
        assert browser.get(f"{other.base_url}/v1/me").status_code == 200
        assert one.post(f"/v1/keys/{made['id']}/revoke").is_success
        assert browser.get(f"{other.base_url}/v1/me").status_code == 401
    assert other.get("/v1/me", headers=key).status_code == 401


def test_one_idempotency_key_at_both_at_once_makes_one_experiment(apis: tuple[httpx.Client, httpx.Client]) -> None:
    def post(number: int) -> Any:
        return apis[number % 2].post(
            "/v1/experiments", json=SPEC | {"name": "once"}, headers={"Idempotency-Key": "the-same"}
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_stream_goes_on_in_the_other_process_and_misses_nothing(
    product: Product, apis: tuple[httpx.Client, httpx.Client]
) -> None:
    one, other = apis
    product.sql("UPDATE run SET state = 'cancelled' WHERE state = 'queued'")
    run = one.post("/v1/experiments", json=SPEC | {"name": "followed"}).json()["runs"][0]["id"]
    engine = make_engine(product.database_url)
    worker = Worker(engine)
    held = worker.claim()
    assert held.run_id == run
    worker.flush(held, points(1, 100))
    path, seen = f"/v1/runs/{run}/events", list[int]()
    position = None
    for number, client in enumerate((one, other, one)):
        count = 3 if number == 0 else 1  # at first also that it was queued and claimed
        found = messages(client, path, position, count)
        position = found[-1][0]
        for _, data in found:
            seen += data["series"]["loss"]["step"] if "series" in data else []
        worker.flush(held, points(101 + 100 * number, 200 + 100 * number))
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= 200
    engine.dispose()


def test_what_one_deletes_the_other_no_longer_shows(apis: tuple[httpx.Client, httpx.Client]) -> None:
    one, other = apis
    upload = one.post("/v1/datasets?name=table.csv", content=CSV).json()
    dataset = {"kind": "upload", "upload": upload["id"], "predict": "kind", "task": "classification", "missing": "drop"}
    posted = other.post("/v1/experiments", json=SPEC | {"name": "gone", "dataset": dataset})
    assert posted.status_code == 201, posted.text  # reads the file that the other process stored
    assert posted.json()["spec"]["dataset"]["resolved"]["dropped"] == 1
    (run,) = posted.json()["runs"]
    assert other.post(f"/v1/runs/{run['id']}/cancel").is_success
    assert other.get(f"/v1/runs/{run['id']}/series").status_code == 200
    assert one.delete(f"/v1/experiments/{posted.json()['id']}").is_success
    assert other.get(f"/v1/runs/{run['id']}/series").status_code == 404
