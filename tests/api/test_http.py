"""HTTP as its clients speak it: HEAD, packed bodies and answers, HTTP/1.0, a path of somebody else's host."""

import gzip
import http.client
import json
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from service.client import Client
from service.settings import Settings
from tests.fixtures.api import SPEC, Worker, points
from tests.proxy import proxied

from .test_authentication import EVERY, fill

Submit = Callable[..., dict[str, Any]]
GETS = [path for method, path in EVERY if method == "GET" and path != "/v1/events"]
JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
DRY = "/v1/experiments?dry_run=true"
PACKED = gzip.compress(json.dumps(SPEC).encode(), mtime=0)  # bytes name test cases


def test_head_says_what_get_says(shared: TestClient) -> None:
    for path in GETS:
        url = fill(path.replace("{name:path}", "app.js"), {})
        got, head = shared.get(url), shared.head(url)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        told = {name: value for name, value in got.headers.items() if name not in ("x-request-id", "content-length")}
        assert told.items() <= head.headers.items(), path
        if got.is_success and path != "/v1/queue":  # whose use decays between the two
            assert head.headers.get("content-length") == got.headers.get("content-length"), path


def test_head_is_among_the_methods_of_what_can_be_got(shared: TestClient) -> None:
    assert shared.put("/v1/me").headers["Allow"] == "GET, HEAD"
    answer = shared.head("/v1/schedules/preview")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_head_of_a_stream_ends_with_its_headers(live: str, key: str, engine: Any) -> None:
    with httpx.Client(base_url=live, headers={"Authorization": f"Bearer {key}"}, timeout=10) as client:
        run = client.post("/v1/experiments", json=SPEC).json()["runs"][0]["id"]
        for path in [f"/v1/runs/{run}/events", "/v1/events"] * 15:  # more than one key may have open
            answer = client.head(path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


@pytest.mark.parametrize("word", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_of_a_key_may_be_written_in_any_case(shared: TestClient, shared_key: str, word: str) -> None:
    assert shared.get("/v1/me", headers={"Authorization": f"{word} {shared_key}"}).status_code == 200


@pytest.mark.parametrize(
    "packed", [PACKED, gzip.compress(b'{"name"') + gzip.compress(json.dumps(SPEC).encode()[7:])], ids=["one", "two"]
)
def test_a_packed_body_is_read(shared: TestClient, packed: bytes) -> None:
    answer = shared.post(DRY, content=packed, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["name"] == "iris"


@pytest.mark.parametrize("broken", [PACKED[:-9], PACKED[:5], b"", b"{}", PACKED + b"more", b"\x1f\x8b" + b"\0" * 50])
def test_a_body_that_is_no_gzip_is_malformed(shared: TestClient, broken: bytes) -> None:
    answer = shared.post(DRY, content=broken, headers=JSON)
    assert (answer.status_code, "gzip" in answer.json()["detail"]) == (400, True)


def test_a_body_of_many_small_members_is_refused_before_it_costs_seconds(shared: TestClient) -> None:
    """6 MB of 300,000 empty ones took 4 to 7 s of processor time, also without a key."""
    answer = shared.post("/v1/session", content=gzip.compress(b"") * 100_000, headers=JSON)
    assert (answer.status_code, "compress it as one" in answer.json()["detail"]) == (400, True)
    lines = [gzip.compress(b" " * 2000) for _ in range(100)]
    assert shared.post(DRY, content=b"".join([*lines, PACKED]), headers=JSON).status_code == 200


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip"])
def test_another_coding_is_refused_by_name(shared: TestClient, coding: str) -> None:
    for path in (DRY, "/v1/datasets?name=a.csv"):
        answer = shared.post(path, content=PACKED, headers={**JSON, "Content-Encoding": coding})
        assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "gzip, identity")
        assert repr(coding) in answer.json()["detail"]


def test_a_bomb_is_unpacked_up_to_the_limit_of_its_route(shared: TestClient) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(pack.compress(bytes(2**20)) for _ in range(1024)) + pack.flush()  # 1 GiB in 1 MiB
    answer = shared.post(DRY, content=bomb, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_an_answer_is_packed_for_whoever_takes_it(shared: TestClient) -> None:
    plain = shared.get("/v1/catalog", headers={"Accept-Encoding": "identity"})
    for accepted, taken in {"gzip": True, "br, *;q=0.5": True, "gzip;q=0": False, "br": False, "": False}.items():
        answer = shared.get("/v1/catalog", headers={"Accept-Encoding": accepted})
        assert answer.content == plain.content
        assert ("content-encoding" in answer.headers) is taken, accepted
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert (int(answer.headers["content-length"]) < len(plain.content)) is taken
    assert "content-encoding" not in shared.get("/v1/livez").headers, "too short"


def test_packed_curves_keep_their_tag_and_streams_stay_plain(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    run = submit(steps=5000)["runs"][0]["id"]
    held = worker.claim()
    worker.finish(held, points(1, 5000))
    path = f"/v1/runs/{run}/series?points=all"
    packed, plain = (client.get(path, headers={"Accept-Encoding": each}) for each in ("gzip", "identity"))
    assert packed.json() == plain.json()
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert packed.headers["Vary"] == "Accept, Accept-Encoding"
    again = client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304
    table = client.get(path, headers={"Accept": "text/csv", "Accept-Encoding": "gzip"})
    assert (table.headers["content-encoding"], table.text.count("\n")) == ("gzip", 10_001)
    events = client.get(f"/v1/runs/{run}/events", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in events.headers


def test_a_strong_tag_of_a_packed_answer_is_another_one_and_matches(client: TestClient, submit: Submit) -> None:
    path = f"/v1/experiments/{submit()['id']}"
    plain = client.get(path, headers={"Accept-Encoding": "identity"}).headers["ETag"]
    packed = client.get(path, headers={"Accept-Encoding": "gzip"}).headers["ETag"]
    assert packed == plain[:-1] + '-gzip"'
    for known, status in ((packed, 200), (packed, 412)):  # the first one changes it
        assert client.patch(path, json={"notes": f"{status}"}, headers={"If-Match": known}).status_code == status


def asked_in_1_0(live: str, path: str, key: str, *parts: bytes) -> bytes:
    """The whole answer to a request in HTTP/1.0, sent in parts."""
    place = urlsplit(live)
    with socket.create_connection((place.hostname, place.port), 20) as line:
        rest = f"GET {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        for part in (rest[:3], rest[3:]):
            line.sendall(part)
            time.sleep(0.05)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return answer


def test_http_1_0_reads_a_stream_to_the_end_of_its_connection(live: str, key: str, worker: Worker) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    run = httpx.post(f"{live}/v1/experiments", json=SPEC, headers=headers).json()["runs"][0]["id"]
    worker.finish(worker.claim(), points(1, 30))
    head, _, body = asked_in_1_0(live, f"/v1/runs/{run}/events", key).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body.startswith(b"retry: 1000\n\n")
    assert body.endswith(b'event: end\ndata: {"state": "succeeded"}\n\n')
    chunked = http.client.HTTPConnection(urlsplit(live).netloc, timeout=10)
    chunked.request("GET", f"/v1/runs/{run}/events", headers=headers)
    answer = chunked.getresponse()
    assert (answer.headers["Transfer-Encoding"], answer.read()) == ("chunked", body)
    chunked.close()


class TestBelowAPath:
    """Behind a proxy that serves the server below a path of its own, whether it takes the path off or not."""

    PREFIX = "/lab/saddle"

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"root_path": self.PREFIX})

    @pytest.fixture(params=[True, False], ids=["taken off", "left on"])
    def address(self, live: str, request: pytest.FixtureRequest) -> Iterator[str]:
        with proxied(urlsplit(live).port or 80, self.PREFIX, strips=request.param) as address:
            yield address

    def test_every_address_in_an_answer_leads_back(self, address: str, key: str) -> None:
        host = address.removesuffix(self.PREFIX)
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}) as client:
            posted = [client.post(f"{address}/v1/experiments", json=SPEC) for _ in range(2)]
            assert posted[0].headers["Location"] == f"{self.PREFIX}/v1/experiments/{posted[0].json()['id']}"
            assert client.get(host + posted[0].headers["Location"]).json()["id"] == posted[0].json()["id"]
            listed = client.get(f"{address}/v1/experiments?limit=1")
            following = client.get(host + listed.links["next"]["url"]).json()
            assert [each["id"] for each in following["items"]] == [posted[0].json()["id"]]
            assert client.get(f"{address}/v1/openapi.json").json()["servers"] == [{"url": self.PREFIX}]
            assert client.put(f"{address}/v1/me").headers["Allow"] == "GET, HEAD"
            assert client.get(f"{host}/v1/me").status_code == 404

    def test_the_page_signs_in_for_its_own_path(self, address: str, key: str) -> None:
        with httpx.Client(follow_redirects=True) as client:
            page = client.get(f"{address}/")
            script = re.search(r'src="(page/[0-9a-f]{16}/app[.]js)"', page.text)
            assert script
            assert client.get(f"{address}/{script[1]}").status_code == 200
            origin = {"Origin": address.removesuffix(self.PREFIX)}
            signed = client.post(f"{address}/v1/session", json={"key": key}, headers=origin)
            assert f"Path={self.PREFIX};" in signed.headers["Set-Cookie"]
            assert client.get(f"{address}/v1/me").json()["member"] == "ada"

    def test_the_client_is_given_the_whole_address(self, address: str, key: str) -> None:
        with Client(address, key) as client:
            posted = client.submit(SPEC)
            assert client.experiment(posted.id).name == "iris"
