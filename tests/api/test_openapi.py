"""The OpenAPI document: checked in, and true."""

import json
from typing import Any

from fastapi.testclient import TestClient

from service.api.app import openapi_document
from service.db.session import ROOT

STORED: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
METHODS = [(path, method, each) for path, of in STORED["paths"].items() for method, each in of.items()]


def test_the_checked_in_document_is_the_one_of_these_routes() -> None:
    assert openapi_document() == STORED, "run `python -m service.api openapi > docs/openapi.json` and read the change"


def test_the_served_document_is_the_same(open_house: TestClient) -> None:
    assert open_house.get("/v1/openapi.json").json() == openapi_document()


def test_operation_ids_are_ours_and_each_is_there_once() -> None:
    ids = [each["operationId"] for _, _, each in METHODS]
    assert len(set(ids)) == len(ids)
    assert all("__" not in name and "_v1" not in name for name in ids), "no generated one"


def test_every_operation_declares_its_answer_and_its_refusals() -> None:
    for path, method, each in METHODS:
        assert each["summary"]
        responses: dict[str, Any] = each["responses"]
        assert {"4XX", "5XX"} <= set(responses), path
        good = next(
            responses[status] for status in sorted(responses, reverse=True) if status[0] == "2" or status == "303"
        )
        assert ("content" in good) != bool({"204", "303"} & set(responses)), path
        for content in good.get("content", {}).values():
            assert content["schema"], f"{method} {path} declares no answer"


def test_every_reference_leads_somewhere() -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for inner in part.values() for found in references(inner)]
        return [found for inner in part for found in references(inner)] if isinstance(part, list) else []

    for reference in references(STORED):
        assert reference.removeprefix("#/components/schemas/") in STORED["components"]["schemas"]
