"""Requests that Schemathesis draws from the API's document, and what must be true of every answer."""

from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.python.asgi import shutdown_lifespans

EXAMPLES = 20  # per operation and mode
CONFIG = schemathesis.Config.from_dict(
    {
        "checks": {
            # rules across fields cannot be said in JSON Schema: valid by the schema may still be refused with 422
            "positive_data_acceptance": {"expected-statuses": ["2xx", 404, 409, 422]},
        }
    }
)


@schemathesis.check
def refusals_are_small_problem_documents(ctx: Any, response: Any, case: Any) -> None:
    """Of any status from 400 on."""
    if response.status_code < 400:
        return
    (media,) = response.headers["content-type"]
    assert media == "application/problem+json"
    assert len(response.content) < 4096
    document = response.json()
    assert document["status"] == response.status_code
    assert [document["instance"]] == response.headers["x-request-id"]


class Fuzzer:
    """Sends drawn requests to an app, with a key."""

    def __init__(self, app: FastAPI, key: str) -> None:
        self.headers = {"Authorization": f"Bearer {key}"}
        self.schema: Any = schemathesis.openapi.from_asgi("/v1/openapi.json", app, config=CONFIG)

    def send(self, method: str, path: str, mode: str) -> None:
        """Send requests to an operation: valid ones in mode "positive", invalid ones in mode "negative"."""
        operation, generation = self.schema[path][method], GenerationMode(mode)
        if generation is GenerationMode.NEGATIVE and not (list(operation.iter_parameters()) or list(operation.body)):
            return  # nothing to get wrong

        @given(case=operation.as_strategy(generation_mode=generation))
        @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def holds(case: Any) -> None:
            case.call_and_validate(headers=self.headers)

        holds()

    def close(self) -> None:
        """End the app."""
        shutdown_lifespans()
