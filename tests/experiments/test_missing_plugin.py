"""Experiments whose plug-in was uninstalled: what was trained stays readable, and the rest says what is missing."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.session import transaction
from service.experiments import parsed_spec

Submit = Callable[..., dict[str, Any]]


def remove_plugin(engine: Engine, experiment: str) -> None:
    """Leave the experiment as it is when its model's package is gone."""
    statement = (
        "UPDATE experiment SET spec = jsonb_set(cast(spec AS jsonb), '{model,kind}', '\"acme_net\"') WHERE id = :id"
    )
    with transaction(engine) as connection:
        connection.execute(text(statement), {"id": experiment})
    parsed_spec._parse.cache_clear()


@pytest.fixture
def orphan(engine: Engine, submit: Submit) -> dict[str, Any]:
    made = submit(model={"kind": "mlp"}, name="orphan")
    remove_plugin(engine, made["id"])
    return made


def test_what_was_stored_is_shown(client: TestClient, orphan: dict[str, Any]) -> None:
    shown = client.get(f"/v1/experiments/{orphan['id']}")
    assert shown.status_code == 200
    assert shown.json()["spec"]["model"]["kind"] == "acme_net"
    assert shown.json()["hash"] == orphan["hash"]
    run = orphan["runs"][0]["id"]
    for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/series", f"/v1/runs/{run}/checkpoints", "/v1/experiments"):
        assert client.get(path).status_code == 200, path


@pytest.mark.parametrize(("verb", "path"), [("GET", "diagnosis"), ("GET", "planned"), ("POST", "forks")])
def test_what_needs_the_spec_says_which_part_is_missing(
    client: TestClient, orphan: dict[str, Any], verb: str, path: str
) -> None:
    body = {"step": 0, "changes": {"optimizer": {"lr": 0.5}}} if verb == "POST" else None
    answer = client.request(verb, f"/v1/runs/{orphan['runs'][0]['id']}/{path}", json=body)
    assert answer.status_code in (409, 422), answer.text
    problem = answer.json()
    assert "/model/kind" in problem["errors"][0]["pointer"]
    if verb == "GET":
        assert problem["code"] == "component_missing"
        assert "(/spec/model/kind): ask who runs the server to install it again" in problem["detail"]


@pytest.mark.parametrize("length", [{"epochs": 3}, {"epochs": 3, "evaluate": {"every_steps": 2}}])
def test_it_is_compared_as_fairly_as_with_its_plug_in(
    client: TestClient, engine: Engine, submit: Submit, length: dict[str, Any]
) -> None:
    both = [submit(model={"kind": "mlp"}, name=name, steps=None, **length) for name in ("with", "without")]
    remove_plugin(engine, both[1]["id"])
    answer = client.post("/v1/comparisons", json={"experiments": [each["id"] for each in both], "series": ["val/loss"]})
    assert answer.status_code == 201
    aspects = {each["aspect"] for each in answer.json()["comparability"]["mismatches"]}
    assert "model" in aspects
    assert not aspects & {"batch", "cadence", "budget"}
