"""One request id, from the answer to a POST through the run's history to the lines of its worker."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.session import transaction
from service.process.request_log import RequestFormatter, current_request
from tests.fixtures.api import SPEC, Worker
from worker.supervisor.output import RunLog

Submit = Callable[..., dict[str, Any]]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_run_keeps_the_request_that_queued_it_and_its_trace(client: TestClient, worker: Worker) -> None:
    answer = client.post("/v1/experiments", json=SPEC, headers={"traceparent": TRACE})
    asked = answer.headers["X-Request-Id"]
    (run,) = answer.json()["runs"]
    assert run["request_id"] == asked
    assert client.get(f"/v1/runs/{run['id']}").json()["request_id"] == asked
    (event,) = client.get(f"/v1/runs/{run['id']}/history").json()["items"]
    assert event["data"]["request_id"] == asked
    held = worker.claim()
    assert (held.request_id, held.trace) == (asked, TRACE)
    again = client.post(f"/v1/runs/{run['id']}/cancel")
    assert again.is_success
    assert client.get(f"/v1/runs/{run['id']}").json()["request_id"] == asked, "of the request that queued it"


@pytest.mark.parametrize(
    "given",
    ["", "00-x-y-01", TRACE.upper(), TRACE + "-00", "00-" + "0" * 32 + TRACE[35:], TRACE[:36] + "0" * 16 + "-01"],
)
def test_what_is_no_trace_context_is_not_kept(client: TestClient, engine: Engine, given: str) -> None:
    (run,) = client.post("/v1/experiments", json=SPEC, headers={"traceparent": given}).json()["runs"]
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT trace FROM run WHERE id = :id"), {"id": run["id"]}).scalar_one()
    assert found is None


def test_a_retry_is_of_its_own_request(client: TestClient, submit: Submit, worker: Worker) -> None:
    (run,) = submit()["runs"]
    assert client.post(f"/v1/runs/{run['id']}/cancel").is_success
    answer = client.post(f"/v1/runs/{run['id']}/retry")
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"] != run["request_id"]
    assert worker.claim().request_id == answer.headers["X-Request-Id"]


def test_lines_of_the_api_and_of_a_worker_end_with_the_request() -> None:
    line = RequestFormatter("%(levelname)s: %(message)s")
    record = logging.makeLogRecord({"levelname": "INFO", "msg": "said"})
    assert line.format(record) == "INFO: said"
    token = current_request.set("req_1")
    assert line.format(record) == "INFO: said [req_1]"
    current_request.reset(token)
    log = RunLog(logging.getLogger(), {"run": "run_1", "attempt": 2, "request": "req_1"})
    assert log.process("trainer: hello", {})[0] == "[run_1 attempt 2] trainer: hello [req_1]"
    log = RunLog(logging.getLogger(), {"run": "run_1", "attempt": 2, "request": None})
    assert log.process("trainer: hello", {})[0] == "[run_1 attempt 2] trainer: hello"
