"""What server admins see and do in all projects: use, queue, workers, storage, draining, stopping."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, text

from service.db.access.projects import new_key
from service.db.runs import workers
from service.db.session import transaction
from tests.fixtures.api import SPEC, Worker

Headers = dict[str, str]


@pytest.fixture
def people(bare: TestClient, engine: Engine) -> dict[str, Headers]:
    """An admin of each of two projects, and the server's."""
    with transaction(engine) as connection:
        keys = {name: new_key(connection, project, name) for project, name in (("lab", "ann"), ("shop", "bob"))}
        keys["root"] = new_key(connection, "ops", "root")
        connection.execute(text("UPDATE account SET admin = true WHERE name = 'root'"))
    return {name: {"Authorization": f"Bearer {key}"} for name, key in keys.items()}


@pytest.fixture
def post(bare: TestClient, people: dict[str, Headers]) -> Callable[..., Any]:
    def posted(who: str, **changes: Any) -> Any:
        answer = bare.post("/v1/experiments", json=SPEC | changes, headers=people[who])
        assert answer.status_code == 201, answer.text
        return answer.json()

    return posted


@pytest.fixture
def root(bare: TestClient, people: dict[str, Headers]) -> TestClient:
    bare.headers.update(people["root"])
    return bare


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    """The statements of this test's own engine."""
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    return seen


def test_projects_are_shown_with_people_use_and_quotas(root: TestClient, post: Any, worker: Worker) -> None:
    post("ann", seeds=[0, 1, 2])
    worker.claim()
    assert root.put("/v1/admin/quotas/device_hours", json={"value": 12, "project": "lab"}).status_code == 200
    page = root.get("/v1/admin/projects").json()
    assert [each["name"] for each in page["items"]] == ["lab", "ops", "shop"]
    lab, shop = page["items"][0], page["items"][2]
    assert (lab["queued"], lab["running"], shop["queued"]) == (2, 1, 0)
    assert lab["members"] == [{"name": "ann", "role": "admin"}]
    assert lab["recent_s"] > 0 == shop["recent_s"]
    limits = [{quota["name"]: quota["limit"] for quota in each["quotas"]} for each in (lab, shop)]
    assert [limit["device_hours"] for limit in limits] == [12, None]
    assert {quota["name"]: quota["used"] for quota in lab["quotas"]}["queued_runs"] == 2


def test_a_limit_of_nothing_for_one_project_wins_over_that_of_all(root: TestClient) -> None:
    root.put("/v1/admin/quotas/run_hours", json={"value": 3})
    root.put("/v1/admin/quotas/run_hours", json={"value": None, "project": "lab"})
    found = root.get("/v1/admin/projects").json()["items"]
    limits = {each["name"]: {q["name"]: q["limit"] for q in each["quotas"]}["run_hours"] for each in found}
    assert limits == {"lab": None, "ops": 3, "shop": 3}


def test_a_limit_stands_in_the_audit_of_the_project_it_is_for(
    root: TestClient, people: dict[str, Headers], engine: Engine
) -> None:
    for project in ("lab", None):
        root.put("/v1/admin/quotas/run_hours", json={"value": 3, "project": project})
    changed = {"params": {"action": "quota.change"}}
    seen = {
        who: root.get("/v1/audit", headers=people[who], **changed).json()["items"] for who in ("ann", "bob", "root")
    }
    assert {who: [row["actor"] for row in rows] for who, rows in seen.items()} == {
        "ann": ["root"],
        "bob": [],
        "root": [],
    }
    assert len(root.get("/v1/admin/audit", **changed).json()["items"]) == 2


def test_a_disabled_account_is_out_at_once_and_comes_back_with_its_key(
    root: TestClient, people: dict[str, Headers], engine: Engine
) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE account SET email = 'ann@example.org' WHERE name = 'ann'"))
    ids = {each["name"]: each["id"] for each in root.get("/v1/admin/accounts").json()["items"]}
    cookies = root.post("/v1/session", json={"key": people["ann"]["Authorization"][7:]}, headers={"Authorization": ""})
    assert cookies.status_code == 200
    root.cookies.clear()
    hook = {"kind": "webhook", "address": "https://0x7f.1/", "shared": True, "name": "ops"}
    made = root.post("/v1/channels", json=hook, headers=people["ann"])
    path = f"/v1/admin/accounts/{ids['ann']}"
    for _ in range(2):  # repeating it changes nothing
        gone = root.post(f"{path}/disable")
        assert (gone.status_code, gone.json()["email"], gone.json()["disabled_at"] is None) == (202, None, False)
    assert root.get("/v1/me", headers=people["ann"]).status_code == 401
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM session WHERE ended_at IS NULL")).scalar_one() == 0
        if made.status_code == 201:
            assert connection.execute(text("SELECT disabled_why FROM channel")).scalar_one()
        rows = connection.execute(text("SELECT action FROM audit WHERE action LIKE 'account.%'")).scalars().all()
    assert rows == ["account.disable"]
    assert root.post(f"/v1/admin/accounts/{ids['root']}/disable").status_code == 409
    assert root.post("/v1/admin/accounts/acc_00000000000000000000000000/disable").status_code == 404
    assert root.post(f"{path}/enable").json()["disabled_at"] is None
    assert root.get("/v1/me", headers=people["ann"]).status_code == 200


def test_projects_are_paged_by_name(root: TestClient) -> None:
    first = root.get("/v1/admin/projects?limit=2").json()
    assert first["next_after"] == "ops"
    last = root.get("/v1/admin/projects", params={"after": first["next_after"], "limit": 2}).json()
    assert ([each["name"] for each in last["items"]], last["next_after"]) == (["shop"], None)


def test_the_whole_queue_is_in_the_order_of_turns_with_why(root: TestClient, post: Any) -> None:
    post("ann", seeds=[0, 1], name="first")
    post("bob", name="second")
    queue = root.get("/v1/admin/queue").json()
    assert queue["waiting"] == 3
    assert [(run["project"], run["before"]) for run in queue["items"]] == [("lab", 0), ("shop", 1), ("lab", 2)]
    assert {run["reason"] for run in queue["items"]} == {"no worker of pool cpu has been seen"}
    assert len(root.get("/v1/admin/queue?limit=2").json()["items"]) == 2


def test_more_projects_and_runs_cost_no_more_statements(engine: Engine, statements: list[str], post: Any) -> None:
    from service.experiments import admin_answers

    def count() -> int:
        statements.clear()
        with transaction(engine) as connection:
            admin_answers.read_projects(connection, "", 50)
            admin_answers.read_whole_queue(connection, 50)
            admin_answers.read_storage(connection, 50)
        return len(statements)

    post("ann", seeds=[0])
    few = count()
    with transaction(engine) as connection:
        for number in range(5):
            new_key(connection, f"p{number}", "eve")
    for who in ("ann", "bob"):
        post(who, name="more", seeds=[1, 2, 3])
    assert count() == few <= 12


def test_workers_are_shown_with_what_they_train_in_any_project(
    root: TestClient, post: Any, worker: Worker, engine: Engine
) -> None:
    run = post("ann", name="deep")["runs"][0]["id"]
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
    worker.claim()
    with transaction(engine) as connection:
        workers.beat(connection, "w1", "busy", run)
    (busy,) = root.get("/v1/admin/workers").json()["items"]
    shown = (busy["run_id"], busy["experiment"], busy["project"], busy["member"], busy["total_steps"])
    assert shown == (run, "deep", "lab", "ann", 1000)


def test_a_drained_worker_gets_no_run_until_that_is_revoked(root: TestClient, post: Any, engine: Engine) -> None:
    from service.db.runs import claims

    post("ann")
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
    drained = root.post("/v1/admin/workers/w1/drain")
    assert (drained.status_code, drained.json()["drain_by"]) == (202, "root")
    again = root.post("/v1/admin/workers/w1/drain").json()
    assert again["drain_since"] == drained.json()["drain_since"]
    with transaction(engine) as connection:
        assert claims.claim(connection, ["cpu"], "w1", "l1") is None
        assert workers.beat(connection, "w1", "idle")
        workers.announce(connection, "w1", "cpu", "host", 2, "1", {"kind": "cpu"})  # it starts again
        assert workers.beat(connection, "w1", "idle")
    assert root.get("/v1/workers").json()["items"][0]["state"] == "drained"
    reason = root.get("/v1/admin/queue").json()["items"][0]["reason"]
    assert reason == "no worker of pool cpu takes runs now: see /v1/workers"
    assert root.post("/v1/admin/workers/w1/undrain").json()["drain_since"] is None
    with transaction(engine) as connection:
        assert not workers.beat(connection, "w1", "idle")
        assert claims.claim(connection, ["cpu"], "w1", "l2") is not None


def test_an_unknown_worker_run_or_experiment_is_not_found(root: TestClient) -> None:
    nothing = "0" * 26
    for path in ("workers/nobody/drain", "workers/no%2Fbody/undrain", f"runs/run_{nothing}/cancel"):
        answer = root.post(f"/v1/admin/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert root.post(f"/v1/admin/experiments/exp_{nothing}/cancel").status_code == 404
    assert root.post("/v1/admin/workers/a%00b/drain").status_code in (404, 422)


def test_anything_can_be_stopped_and_its_project_reads_who_did(root: TestClient, post: Any, engine: Engine) -> None:
    first, second = post("ann", seeds=[0, 1]), post("bob")
    stopped = root.post(f"/v1/admin/experiments/{first['id']}/cancel")
    assert stopped.status_code == 202
    assert {run["state"] for run in stopped.json()["runs"]} == {"cancelled"}
    run = second["runs"][0]["id"]
    assert root.post(f"/v1/admin/runs/{run}/cancel").json()["state"] == "cancelled"
    with transaction(engine) as connection:
        rows = connection.execute(
            text(
                "SELECT p.name, a.actor, a.action, a.target FROM audit a JOIN project p ON p.id = a.project_id"
                " WHERE a.action LIKE '%.cancel' ORDER BY a.id"
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        ("lab", "root", "experiment.cancel", first["id"]),
        ("shop", "root", "run.cancel", run),
    ]


def test_draining_leaves_a_row_in_the_audit_once(root: TestClient, engine: Engine) -> None:
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
    for _ in range(2):
        root.post("/v1/admin/workers/w1/drain")
    root.post("/v1/admin/workers/w1/undrain")
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT action, target FROM audit ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [("worker.drain", "w1"), ("worker.undrain", "w1")]


def test_storage_is_told_by_project(root: TestClient, post: Any, worker: Worker) -> None:
    post("ann")
    held = worker.claim()
    worker.save(held, 10)
    found = root.get("/v1/admin/storage").json()
    assert found["database_bytes"] > 1_000_000
    lab = next(each for each in found["items"] if each["project"] == "lab")
    assert (lab["experiments"], lab["checkpoints"], lab["checkpoint_bytes"]) == (1, 1, 10)
