"""Schemathesis against the API: whatever is sent, no server error, and every refusal is a small problem document."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.python.asgi import shutdown_lifespans

from service.api.app import create_app, openapi_document
from tests.fixtures.api import quick

EXAMPLES = 20  # per operation and mode
OPERATIONS = [(method, path) for path, methods in openapi_document()["paths"].items() for method in methods]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
ENDLESS = ("get", "/v1/events", GenerationMode.POSITIVE)  # a project's stream: test_project_events reads it
CASES = [(*operation, mode) for operation in OPERATIONS for mode in MODES if (*operation, mode) != ENDLESS]
config = schemathesis.Config.from_dict(
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


@pytest.fixture(scope="module")
def schema(shared_url: str) -> Iterator[Any]:
    yield schemathesis.openapi.from_asgi("/v1/openapi.json", create_app(quick(shared_url)), config=config)
    shutdown_lifespans()


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=lambda each: getattr(each, "value", each))
def test_any_request_is_answered_as_documented(
    schema: Any, shared_key: str, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]
    if mode is GenerationMode.NEGATIVE and not (list(operation.iter_parameters()) or list(operation.body)):
        return  # nothing to get wrong

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def holds(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {shared_key}"})

    holds()
