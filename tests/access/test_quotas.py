"""Quotas: what is refused, with which words, who can raise it, and what a limit that was raised lets through."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access import quota_use
from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.session import transaction
from service.errors import QuotaExceeded
from service.spec.parse.presets import presets
from tests.fixtures.api import SPEC, Worker, points
from tests.harness.waiting import until

Ask = Callable[..., Any]


@pytest.fixture
def people(bare: TestClient, engine: Engine) -> dict[str, dict[str, str]]:
    """The headers of an admin and a member of one project, and of a server admin elsewhere."""
    with transaction(engine) as connection:
        keys = {
            "ann": new_key(connection, "lab", "ann"),
            "bob": new_key(connection, "lab", "bob"),
            "root": new_key(connection, "ops", "root"),
        }
        connection.execute(text("UPDATE account SET admin = true WHERE name = 'root'"))
    return {name: {"Authorization": f"Bearer {key}"} for name, key in keys.items()}


@pytest.fixture
def post(bare: TestClient, people: dict[str, dict[str, str]]) -> Ask:
    def posted(who: str, seeds: int = 1, status: int = 201, query: str = "", **changes: Any) -> Any:
        spec = SPEC | changes | {"seeds": list(range(seeds))}
        answer = bare.post(f"/v1/experiments{query}", json=spec, headers=people[who])
        assert answer.status_code == status, answer.text
        return answer.json()

    return posted


@pytest.fixture
def limit(bare: TestClient, people: dict[str, dict[str, str]]) -> Ask:
    def limited(who: str, name: str, value: int | None, status: int = 200, query: str = "", **more: Any) -> Any:
        path = "/v1/admin/quotas" if who == "root" else "/v1/quotas"
        answer = bare.put(f"{path}/{name}{query}", json={"value": value, **more}, headers=people[who])
        assert answer.status_code == status, answer.text
        return answer.json()

    return limited


def refusal(document: Any) -> tuple[str, dict[str, Any]]:
    assert document["code"] == "quota_exceeded"
    (problem,) = document["errors"]
    return problem["pointer"], problem["limit"]


def test_waiting_runs_are_bounded_for_the_project_and_told_with_who_can_raise_it(post: Ask, limit: Ask) -> None:
    limit("root", "queued_runs", 3, project="lab")
    for query in ("", "?dry_run=true"):
        refused = post("ann", seeds=4, status=409, query=query)
        told = {"quota": "queued_runs", "of": "project", "limit": 3, "used": 0, "asked": 4}
        assert refusal(refused) == ("/quotas/project/queued_runs", told)
    assert refused["errors"][0]["detail"] == (
        "The project lab has a quota of 3 for waiting runs; 0 are used, and this asks for 4 more: wait until some have"
        " started, or cancel some. Who can raise it: a server admin."
    )
    post("ann", seeds=2)
    post("bob", seeds=1)
    assert refusal(post("bob", status=409))[1]["used"] == 3
    post("root", seeds=4)  # of another project
    limit("root", "queued_runs", 4, project="lab")
    post("bob")


def test_requests_that_are_sent_at_once_queue_no_more_than_the_limit(
    engine: Engine, people: dict[str, dict[str, str]], limit: Ask
) -> None:
    spec = next(iter(presets().values()))
    limit("root", "queued_runs", len(spec.seeds), project="lab")
    with transaction(engine) as connection:
        ann = find_principal(connection, people["ann"]["Authorization"].removeprefix("Bearer "))
    assert ann is not None

    def post() -> None:
        with transaction(engine) as later:
            experiments.add(later, ann, spec, "cpu")

    with ThreadPoolExecutor(1) as thread:
        with transaction(engine) as connection:
            experiments.add(connection, ann, spec, "cpu")
            second = thread.submit(post)
            with pytest.raises(TimeoutError):
                second.result(0.5)
        with pytest.raises(QuotaExceeded):
            second.result(10)


def test_each_person_has_a_limit_and_one_member_another(post: Ask, limit: Ask) -> None:
    limit("ann", "queued_runs", 1)
    limit("ann", "queued_runs", 3, member="bob")
    post("ann")
    pointer, told = refusal(post("ann", status=409))
    assert (pointer, told["used"]) == ("/quotas/person/queued_runs", 1)
    post("bob", seeds=3)
    assert "Who can raise it: an admin of the project lab." in post("bob", status=409)["errors"][0]["detail"]
    limit("ann", "queued_runs", None, query="?default=true", member="bob")
    assert refusal(post("bob", status=409))[1]["limit"] == 1, "everyone's limit holds for bob again"
    limit("ann", "queued_runs", None)
    post("bob")
    limit("ann", "queued_runs", 1, status=404, member="nobody")
    limit("bob", "queued_runs", 99, status=403)


def test_retries_and_forks_are_held_against_the_quota_too(
    bare: TestClient, people: dict[str, dict[str, str]], post: Ask, limit: Ask
) -> None:
    run = post("ann")["runs"][0]["id"]
    assert bare.post(f"/v1/runs/{run}/cancel", headers=people["ann"]).status_code == 202
    limit("root", "queued_runs", 0, project="lab")
    retried = bare.post(f"/v1/runs/{run}/retry", headers=people["ann"])
    assert refusal(retried.json())[0] == "/quotas/project/queued_runs"


def test_no_run_trains_longer_than_the_quota(post: Ask, limit: Ask) -> None:
    assert post("ann")["runs"][0]["limit_s"] == 720 * 3600, "the default is thirty days"
    limit("root", "run_hours", 2)
    assert post("ann")["runs"][0]["limit_s"] == 7200
    assert post("ann", max_seconds=60)["runs"][0]["limit_s"] == 60
    limit("root", "run_hours", 1, project="lab")
    assert (post("ann")["runs"][0]["limit_s"], post("root")["runs"][0]["limit_s"]) == (3600, 7200)


def test_the_device_hours_of_a_month_are_used_up(
    bare: TestClient, people: dict[str, dict[str, str]], engine: Engine, worker: Worker, post: Ask, limit: Ask
) -> None:
    post("bob")
    worker.finish(worker.claim())
    with transaction(engine) as connection:  # at most what this month has had so far
        connection.execute(text("UPDATE attempt SET ended_at = clock_timestamp(), started_at = '2020-01-01'"))
    limit("root", "device_hours", 10**6, project="lab")
    used = {each["name"]: each["used"] for each in bare.get("/v1/quotas", headers=people["ann"]).json()["quotas"]}
    with transaction(engine) as connection:
        month = "extract(epoch FROM clock_timestamp() - date_trunc('month', clock_timestamp(), 'UTC')) / 3600"
        hours = float(connection.execute(text(f"SELECT {month}")).scalar_one())
    assert used["device_hours"] == pytest.approx(hours, abs=0.01)
    limit("root", "device_hours", 0, project="lab")
    assert refusal(post("ann", status=409))[0] == "/quotas/project/device_hours"
    with transaction(engine) as connection:
        held = connection.execute(text("SELECT count(*) FROM quota_use WHERE held")).scalar_one()
    assert held == 1, "the project's row, not its people's"
    post("root")


def test_checkpoints_beyond_the_quota_are_refused_before_they_are_written(post: Ask, limit: Ask) -> None:
    asked = {"model": {"kind": "mlp", "hidden": [512]}, "steps": 1000, "checkpoint": {"keep_every": 1}}
    preview = post("ann", status=200, query="?dry_run=true", **asked)
    needed = preview["derived"]["checkpoint_bytes"]
    assert needed == (1000 + 2) * 4 * preview["derived"]["parameters"], "plain SGD has no state"
    limit("root", "checkpoint_bytes", 2 * needed, project="lab")
    post("ann", seeds=2, **asked)
    for query in ("", "?dry_run=true"):
        pointer, told = refusal(post("ann", seeds=3, status=409, query=query, **asked))
        assert (pointer, told["asked"]) == ("/quotas/project/checkpoint_bytes", 3 * needed)


def test_checkpoints_that_no_disk_holds_are_refused(post: Ask) -> None:
    asked = {"model": {"kind": "mlp", "hidden": [4096, 4096]}, "steps": 5 * 10**7, "checkpoint": {"keep_every": 1}}
    for query in ("", "?dry_run=true"):
        (problem,) = post("ann", status=422, query=query, **asked)["errors"]
        assert (problem["pointer"], problem["code"]) == ("/checkpoint", "disk_beyond")


def test_members_see_their_own_quotas_and_admins_everybodys(
    bare: TestClient, people: dict[str, dict[str, str]], limit: Ask, post: Ask
) -> None:
    limit("ann", "running_runs", 2, member="bob")
    post("bob", seeds=2)
    own = bare.get("/v1/quotas", headers=people["bob"]).json()
    assert (own["project"], own["member"]) == ("lab", "bob")
    assert {each["name"]: (each["limit"], each["used"]) for each in own["own"]} == {
        "queued_runs": (5000, 2),
        "running_runs": (2, 0),
        "device_hours": (None, 0),
        "run_hours": (None, None),
        "upload_bytes": (None, 0),
        "checkpoint_bytes": (None, 0),
    }
    assert bare.get("/v1/quotas?member=bob", headers=people["ann"]).json() == own
    assert bare.get("/v1/quotas?member=ann", headers=people["bob"]).status_code == 403


def test_use_is_counted_once_a_minute_whoever_does_it(engine: Engine, people: dict[str, dict[str, str]]) -> None:
    def counted() -> Any:
        with transaction(engine) as connection:
            quota_use.count_if_due(connection)
            return connection.execute(text("SELECT count(*), max(counted_at) FROM quota_use")).one()

    rows, at = until(lambda: found if (found := counted())[0] else None)  # the server may be counting, behind the lock
    assert rows == 2 + 3, "a row for each of two projects and three people, besides those of the fixtures"
    assert counted() == (rows, at)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE quota_use SET counted_at = clock_timestamp() - interval '61 seconds'"))
    until(lambda: counted()[1] > at)  # another process of these tests may hold the lock for a moment


def test_a_replay_counts_for_who_asked_for_it(
    bare: TestClient, people: dict[str, dict[str, str]], worker: Worker, post: Ask, limit: Ask
) -> None:
    run = post("ann")["runs"][0]["id"]
    worker.finish(worker.claim(), points(1, 20))
    limit("ann", "queued_runs", 1, member="bob")
    replays = [bare.post(f"/v1/runs/{run}/replay", json={"steps": 5}, headers=people["bob"]) for _ in range(2)]
    assert [each.status_code for each in replays] == [201, 409]
    used = {each["name"]: each["used"] for each in bare.get("/v1/quotas", headers=people["bob"]).json()["own"]}
    assert used["queued_runs"] == 1


def test_device_hours_stay_with_the_project_that_trained_when_an_experiment_moves(
    bare: TestClient, people: dict[str, dict[str, str]], engine: Engine, worker: Worker, post: Ask
) -> None:
    with transaction(engine) as connection:
        new_key(connection, "ops", "ann")
    made = post("ann")["id"]
    worker.finish(worker.claim())

    def used() -> dict[str, float]:
        with transaction(engine) as connection:
            connection.execute(text("UPDATE attempt SET started_at = ended_at - interval '1 minute'"))
            quota_use.count(connection)
            rows = connection.execute(
                text(
                    "SELECT p.name, u.device_s FROM quota_use u JOIN project p ON p.id = u.project_id"
                    " WHERE u.member_id IS NULL"
                )
            )
            return {name: seconds for name, seconds in rows if name in ("lab", "ops")}

    assert used() == {"lab": pytest.approx(60), "ops": 0}
    moved = bare.post(f"/v1/experiments/{made}/move", json={"project": "ops"}, headers=people["ann"])
    assert moved.status_code == 202, moved.text
    assert used() == {"lab": pytest.approx(60), "ops": 0}


def test_a_key_of_a_narrow_scope_reaches_no_other_project_and_makes_no_key_that_outlives_it(
    bare: TestClient, people: dict[str, dict[str, str]], engine: Engine, post: Ask
) -> None:
    with transaction(engine) as connection:
        new_key(connection, "ops", "ann")
        narrow = new_key(connection, "lab", "ann", 3600.0, scope="submit")
    headers = {"Authorization": f"Bearer {narrow}"}
    run = post("ann")
    bare.post(f"/v1/experiments/{run['id']}/cancel", headers=headers)
    assert bare.post(f"/v1/experiments/{run['id']}/move", json={"project": "ops"}, headers=headers).status_code == 403
    made = bare.post("/v1/keys", json={"name": "x", "scope": "submit", "lifetime_s": None}, headers=headers).json()
    with transaction(engine) as connection:
        left = text("SELECT extract(epoch FROM expires_at - clock_timestamp())::float8 FROM api_key WHERE id = :id")
        assert 3500 < connection.execute(left, {"id": made["id"]}).scalar_one() <= 3600
