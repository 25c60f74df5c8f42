"""One trace and one request id, from a POST to the trainer's first step, in a receiver of OTLP and in every log."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fixtures.product import Servers, prepare_product
from tests.harness.nursery import Nursery
from tests.harness.product import Product
from tests.harness.waiting import until

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OF_API, OF_WORKER = (
    ("POST /v1/experiments", "check", "store"),
    ("claim", "attempt", "first step", "checkpoint", "ending"),
)
Span = dict[str, Any]


class Receiver:
    """What a collector takes at `/v1/traces`: gathers spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                asked = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                for group in asked.resource_spans:
                    service = attributes(group.resource.attributes)["service.name"]
                    receiver.spans += [read(service, span) for scope in group.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, name: str) -> list[Span]:
        return [span for span in self.spans if span["name"] == name and span["trace"] == TRACE_ID]


def attributes(given: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in given}


def read(service: str, span: Any) -> Span:
    return {
        "service": service,
        "name": span.name,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
        **attributes(span.attributes),
    }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def traced(servers: Servers, durable_template: str, nursery: Nursery, receiver: Receiver) -> Iterator[Product]:
    with prepare_product(servers, durable_template, nursery) as product:
        product.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "SADDLE_ACCESS_LOG": "true"}
        product.start_worker()
        product.start_api()
        yield product


def test_a_run_is_one_trace_from_its_post_to_its_end(
    traced: Product, receiver: Receiver, spec: Callable[..., dict[str, Any]]
) -> None:
    headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
    answer = traced.http.post("/v1/experiments?dry_run=false", json=spec(name="traced", epochs=1), headers=headers)
    assert answer.status_code == 201, answer.text
    asked, run = answer.headers["X-Request-Id"], answer.json()["runs"][0]["id"]
    assert traced.wait_for_end(run)["state"] == "succeeded"
    until(lambda: all(map(receiver.of, OF_API + OF_WORKER)))  # each process sends its own every few seconds
    (request,) = receiver.of("POST /v1/experiments")
    assert (request["parent"], request["service"], request["url.query"]) == (PARENT_ID, "saddle-api", "")
    for name in ("check", "store"):
        (span,) = receiver.of(name)
        assert (span["parent"], span["service"]) == (request["id"], "saddle-api")
    (attempt,), (claim,) = receiver.of("attempt"), receiver.of("claim")
    assert attempt["parent"] == claim["parent"] == request["id"]
    assert attempt["service"] == claim["service"] == "saddle-worker"
    for name in ("first step", "checkpoint", "ending"):
        (span,) = receiver.of(name)
        assert (span["parent"], span["saddle.run"]) == (attempt["id"], run)
    assert receiver.of("first step")[0]["saddle.step"] == 1
    assert 0 < receiver.of("first step")[0]["took_ns"] <= attempt["took_ns"]
    spans = [span for span in receiver.spans if span["trace"] == TRACE_ID]
    assert {span.get("saddle.request_id") for span in spans} == {asked}
    logs = {path.name.rpartition("-")[0]: path.read_text() for path in traced.home.glob("*.log")}
    assert f'"request_id": "{asked}", "trace_id": "{TRACE_ID}"' in logs["service.api"]
    lines = [line for line in logs["worker"].splitlines() if line.endswith(f"[{asked}]")]
    assert [word for line in lines for word in ("claimed", "trains from", "succeeded") if word in line] == [
        *("claimed", "trains from", "succeeded")
    ]
    assert not [span for span in receiver.spans if span.get("http.route") == "/v1/readyz"]
