"""A run that nobody can take says so when it is posted and while it waits; who can take it is in the catalogue."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.runs import claims, workers
from service.db.session import transaction
from service.spec import plugins
from service.spec.models.feedforward import MLP
from service.spec.requirements import met_by

Submit = Callable[..., dict[str, Any]]
FREE = {"kind": "schedule_free_adamw"}


def announce(
    engine: Engine,
    name: str,
    pool: str,
    packages: dict[str, str] | None = None,
    state: str = "idle",
    kind: str = "cpu",
    **device: int,
) -> None:
    with transaction(engine) as connection:
        workers.announce(connection, name, pool, "host", 1, "1", {"kind": kind, **device}, packages or {})
        workers.beat(connection, name, state)


def told(posted: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["pointer"], each["code"]) for each in posted["warnings"]]


def waits_because(client: TestClient, posted: dict[str, Any]) -> str:
    return str(client.get(f"/v1/runs/{posted['runs'][0]['id']}").json()["waiting"]["reason"])


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_pool_that_nobody_serves_is_told_with_those_that_are_served(
    client: TestClient, engine: Engine, submit: Submit, query: str
) -> None:
    spec = submit()["spec"]

    def warning(pool: str | None) -> str:
        (found,) = client.post(f"/v1/experiments{query}", json=spec | {"pool": pool}).json()["warnings"]
        assert (found["pointer"], found["code"]) == ("/pool", "pool_not_served")
        return str(found["detail"])

    assert "no worker of pool cpu has been seen; the run waits until one takes it: start one." in warning(None)
    announce(engine, "w1", "gpu")
    assert warning(None).endswith("start one, or choose a pool that is served now: gpu.")
    announce(engine, "w2", "a100", state="gone")
    assert "no worker of pool a100 takes runs now" in warning("a100")
    assert told(client.post(f"/v1/experiments{query}", json=spec | {"pool": "gpu"}).json()) == []


def test_tf32_in_a_pool_of_cpus_is_told_to_be_fp32(engine: Engine, submit: Submit) -> None:
    announce(engine, "w1", "cpu")
    (found,) = submit(precision="tf32")["warnings"]
    assert (found["pointer"], found["code"]) == ("/precision", "ignored")
    assert found["detail"] == "every worker of pool cpu is a CPU, which has no TF32: the run computes in fp32."
    announce(engine, "w2", "cpu", kind="cuda")
    assert told(submit(precision="tf32")) == []


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_spec_that_fits_no_device_of_its_pool_is_refused(
    client: TestClient, engine: Engine, submit: Submit, query: str
) -> None:
    spec = submit()["spec"] | {"model": {"kind": "mlp", "hidden": [20_000, 20_000]}}

    def post(memory_mb: int | str = "auto") -> Any:
        asked = spec | {"resources": {"memory_mb": memory_mb}}
        return client.post(f"/v1/experiments{query}", json=asked)

    announce(engine, "w1", "cpu")
    assert told(post().json()) == [], "a device that does not tell its memory may have enough"
    announce(engine, "w1", "cpu", memory_bytes=10**9)
    refused = post()
    assert refused.status_code == 422
    (problem,) = refused.json()["errors"]
    assert (problem["pointer"], problem["code"], problem["limit"]) == ("/model", "memory_beyond", {"bytes": 10**9})
    assert "the largest device of pool cpu has 1 GB" in problem["detail"]
    announce(engine, "w2", "cpu", memory_bytes=2 * 10**9)
    assert told(post().json()) == [("/model", "memory_tight")], "an estimate of 3.2 GB may mean 1.6"
    assert post(3000).json()["errors"][0]["code"] == "memory_beyond", "what a spec says itself is no estimate"
    announce(engine, "w3", "gpu", memory_bytes=10**11)
    assert post(3000).status_code == 422, "another pool's device is none of this one's"
    announce(engine, "w4", "cpu", memory_bytes=10**10)
    assert told(post().json()) == []


def test_a_run_waits_in_the_pool_that_its_spec_names(client: TestClient, engine: Engine, submit: Submit) -> None:
    announce(engine, "w1", "gpu")
    named, plain = submit(pool="gpu"), submit()
    assert (named["runs"][0]["pool"], plain["runs"][0]["pool"]) == ("gpu", "cpu")
    assert named["hash"] == plain["hash"], "where it is trained decides nothing of the training"
    with transaction(engine) as connection:
        held = claims.claim(connection, ["gpu"], "w1", "lease")
    assert held is not None
    assert held.run_id == named["runs"][0]["id"]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        (
            {"optimizer": FREE},
            "/optimizer/kind",
            "has schedulefree; the run waits until one has: on a worker, pip install",
        ),
        ({"optimizer": {"kind": "lion"}}, "/optimizer/kind", "has pytorch-optimizer"),
        ({"groups": [{"match": {"dim_lt": 2}, "optimizer": FREE}]}, "/groups/0/optimizer/kind", "has schedulefree"),
        ({"compile": True}, "/compile", "has c++; the run waits until one has: on a worker, install g++"),
        (
            {"dataset": {"kind": "digits"}, "model": {"kind": "timm", "name": "resnet18"}},
            "/model/kind",
            'has timm; the run waits until one has: on a worker, pip install "saddle[vision]"',
        ),
    ],
)
def test_a_package_that_no_worker_has_is_told(
    client: TestClient, submit: Submit, changes: dict[str, Any], pointer: str, words: str
) -> None:
    spec = submit()["spec"] | changes
    answer = client.post("/v1/experiments?dry_run=true", json=spec).json()
    found = [each for each in answer["warnings"] if each["code"] == "package_missing"]
    assert [each["pointer"] for each in found] == [pointer]
    assert words in found[0]["detail"]


@pytest.mark.usefixtures("served")
def test_a_run_waits_for_a_worker_that_has_its_package(client: TestClient, engine: Engine, submit: Submit) -> None:
    waiting, behind = submit(optimizer=FREE), submit()
    assert told(waiting) == [("/optimizer/kind", "package_missing")]
    assert waits_because(client, waiting).startswith("no worker of pool cpu has schedulefree: on a worker, pip install")
    assert client.get("/v1/catalog/optimizers/schedule_free_adamw").json()["pools"] == {"cpu": False}
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "idle", "one")
        assert held is not None
        assert held.run_id == behind["runs"][0]["id"], "it holds up nothing behind it"
        assert claims.claim(connection, ["cpu"], "idle", "two") is None
    announce(engine, "w2", "cpu", {"schedulefree": "1.4"})
    assert waits_because(client, waiting) == "it is about to start"
    kind = client.get("/v1/catalog/optimizers/schedule_free_adamw").json()
    assert (kind["needs"], kind["pools"]) == (["schedulefree"], {"cpu": True})
    assert told(submit(optimizer=FREE)) == []
    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "w2", "three", packages=["schedulefree", "timm"])
        assert held is not None
        assert held.run_id == waiting["runs"][0]["id"]


def test_a_run_waits_for_a_worker_that_has_its_plug_in_in_its_version(
    client: TestClient, engine: Engine, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = submit(model={"kind": "mlp"})["hash"]
    monkeypatch.setitem(plugins.PACKAGES, MLP, plugins.PluginPackage("acme", "1.1"))
    announce(engine, "w1", "cpu", {"acme": "1.0", "timm": "1.1"})
    announce(engine, "w2", "cpu")
    waiting = submit(model={"kind": "mlp"})
    assert waiting["hash"] != without
    lack = "no worker of pool cpu has acme==1.1 (w1 has 1.0, w2 has none)"
    (found,) = waiting["warnings"]
    assert (found["pointer"], found["code"]) == ("/model/kind", "package_missing")
    assert found["detail"] == f"{lack}; the run waits until one has: on a worker, pip install acme==1.1."
    assert waits_because(client, waiting) == f"{lack}: on a worker, pip install acme==1.1"
    assert client.get("/v1/catalog/models/mlp").json()["needs"] == ["acme==1.1"]
    announce(engine, "w2", "cpu", {"acme": "1.1"}, state="busy")
    assert (
        waits_because(client, waiting) == "every worker of pool cpu that has acme==1.1 is busy, and 1 run is before it"
    )
    assert client.get("/v1/catalog/models/mlp").json()["pools"] == {"cpu": True}
    with transaction(engine) as connection:
        first = claims.claim(connection, ["cpu"], "w1", "one", packages=met_by({"acme": "1.0"}))
        assert first is not None  # the run without the plug-in
        assert claims.claim(connection, ["cpu"], "w1", "two", packages=met_by({"acme": "1.0"})) is None
        held = claims.claim(connection, ["cpu"], "w2", "three", packages=met_by({"acme": "1.1"}))
        assert held is not None
        assert held.run_id == waiting["runs"][0]["id"]


def test_a_run_queued_before_needs_had_versions_is_taken_by_any(engine: Engine, submit: Submit) -> None:
    run = submit()["runs"][0]["id"]
    with transaction(engine) as connection:
        connection.execute(text("UPDATE run SET needs = ARRAY['acme']"))
        assert claims.claim(connection, ["cpu"], "w1", "one") is None
        held = claims.claim(connection, ["cpu"], "w1", "two", packages=met_by({"acme": "1.0"}))
        assert held is not None
        assert held.run_id == run


@pytest.mark.usefixtures("served")
def test_what_is_made_of_a_run_needs_what_it_needs(client: TestClient, submit: Submit) -> None:
    run = submit(optimizer=FREE)["runs"][0]["id"]
    client.post(f"/v1/runs/{run}/cancel")
    again = client.post(f"/v1/runs/{run}/retry").json()
    assert again["needs"] == ["schedulefree"]
    assert "has schedulefree" in again["waiting"]["reason"]


@pytest.mark.parametrize(("pool", "names"), [("cpu", "cpu+cpu"), ("gpu", "0+1")])
def test_a_run_on_two_devices_waits_for_a_slot_with_two(
    client: TestClient, engine: Engine, submit: Submit, pool: str, names: str
) -> None:
    announce(engine, "w1", pool)
    waiting, behind = submit(pool=pool, resources={"devices": 2}), submit(pool=pool)
    assert told(waiting) == [("/resources/devices", "devices_missing")]
    reason = f"no worker of pool {pool} has a slot with 2 devices: start a worker with SADDLE_DEVICES={names}"
    assert waits_because(client, waiting) == reason
    with transaction(engine) as connection:
        held = claims.claim(connection, [pool], "w1", "one")
        assert held is not None
        assert held.run_id == behind["runs"][0]["id"]
        workers.announce(connection, "w2", pool, "host", 1, "1", {"kind": "cpu", "count": 2})
        workers.beat(connection, "w2", "busy")
    assert waits_because(client, waiting) == (f"every worker of pool {pool} that has a slot with 2 devices is busy")
    with transaction(engine) as connection:
        assert claims.claim(connection, [pool], "w3", "three", devices=3) is None
        held = claims.claim(connection, [pool], "w2", "two", devices=2)
        assert held is not None
        assert held.run_id == waiting["runs"][0]["id"]


def test_a_slot_with_several_devices_takes_no_run_on_one(client: TestClient, engine: Engine, submit: Submit) -> None:
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu", "count": 2})
        workers.beat(connection, "w1", "idle")
    posted = submit()
    assert told(posted) == [("/resources/devices", "devices_missing")]
    assert waits_because(client, posted).startswith("no worker of pool cpu has a slot with one device: start a worker")
    with transaction(engine) as connection:
        assert claims.claim(connection, ["cpu"], "w1", "one", devices=2) is None
