"""Studies over HTTP: what is posted, answered, commanded and confirmed, and what other projects see of it."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.access import quotas
from service.db.session import transaction
from service.db.studies.trials import StoredTrial
from service.schemas.studies.analysis import StudyAnalysis
from service.spec.parse.json_patch import apply_patch
from service.spec.studies.study import Study
from service.studies import analysis
from tests.harness.waiting import until
from tests.studies.conftest import ASHA, DOCUMENT, Studio, by_rate


def posted(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/v1/studies", json=DOCUMENT | changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/v1/studies/{found['id']}"
    return found


def finished(client: TestClient, studio: Studio, study_id: str) -> dict[str, Any]:
    """Train what the API's own thread gives out until the study has ended."""

    def ended() -> dict[str, Any] | None:
        studio.train_all(by_rate)
        found: dict[str, Any] = client.get(f"/v1/studies/{study_id}").json()
        return found if found["state"] != "running" else None

    return until(ended)  # type: ignore[no-any-return]


def test_a_dry_run_says_the_first_points_the_cost_and_the_rungs_and_stores_nothing(client: TestClient) -> None:
    asked = DOCUMENT | {"pruner": {"kind": "asha", "first": 10}, "budget": {"steps": 1000}}
    answer = client.post("/v1/studies", params={"dry_run": True}, json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["steps_per_trial"], found["trials"], found["rung_steps"]) == (180, 5, [10, 30])
    assert len(found["points"]) == 5
    assert all(1e-3 <= point["/optimizer/lr"] <= 1 for point in found["points"])
    assert found["duration"] is None
    assert found["document"]["sampler"]["kind"] == "random"
    assert client.get("/v1/studies").json()["items"] == []


def test_the_points_of_a_dry_run_are_those_that_are_given_out(client: TestClient, studio: Studio) -> None:
    space = {
        "/optimizer/lr": {"kind": "log_uniform", "low": 1e-3, "high": 1},
        "/batch_size": {"kind": "int", "low": 8, "high": 64},
        "/optimizer/momentum": {"kind": "uniform", "low": 0, "high": 0.9},
    }
    for sampler in ("random", "tpe", "sobol"):
        asked = DOCUMENT | {"space": space, "sampler": sampler, "budget": {"trials": 3}}
        preview = client.post("/v1/studies", params={"dry_run": True}, json=asked).json()
        study_id = client.post("/v1/studies", json=asked).json()["id"]
        finished(client, studio, study_id)
        trials = client.get(f"/v1/studies/{study_id}/trials").json()["items"]
        assert [trial["point"] for trial in trials] == preview["points"], sampler


def test_a_study_from_post_to_its_best_trial(client: TestClient, studio: Studio) -> None:
    made = posted(client)
    assert (made["state"], made["trials"], made["best"], made["owner"]) == ("running", {}, None, "ada")
    found = finished(client, studio, made["id"])
    assert found["state"] == "finished"
    assert found["trials"] == {"finished": 4}
    assert found["budget"]["trials"] == {"used": 4, "limit": 4}
    assert found["budget"]["steps"] == {"used": 4 * 2 * 90, "limit": None}
    assert found["budget"]["saved_steps"] == 0
    trials = client.get(f"/v1/studies/{made['id']}/trials").json()
    assert trials["next_cursor"] is None
    best = min(trials["items"], key=lambda trial: trial["value"])
    assert (found["best"]["number"], found["best"]["value"]) == (best["number"], best["value"])
    low, high = found["best"]["interval"]
    assert low < found["best"]["value"] < high
    patched = apply_patch(found["document"]["base"], found["best"]["patch"])
    assert patched["optimizer"]["lr"] == best["point"]["/optimizer/lr"]
    assert patched["seeds"] == [0, 1]
    page = client.get(f"/v1/studies/{made['id']}/trials", params={"limit": 3}).json()
    rest = client.get(f"/v1/studies/{made['id']}/trials", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    assert [trial["number"] for trial in page["items"] + rest["items"]] == [0, 1, 2, 3]
    (listed,) = client.get("/v1/studies").json()["items"]
    assert (listed["id"], listed["state"], listed["trials"]) == (made["id"], "finished", {"finished": 4})
    named = client.get("/v1/experiments", params={"filter": f"study = {made['id']}", "sort": "trial"}).json()["items"]
    assert [each["name"] for each in named] == [f"rates #{number}" for number in range(4)]


def test_a_confirmation_tells_the_claim_beside_seeds_that_no_trial_used(client: TestClient, studio: Studio) -> None:
    study_id = posted(client)["id"]
    early = client.post(f"/v1/studies/{study_id}/confirm")
    assert early.status_code == 409
    assert "running" in early.json()["detail"]
    before = finished(client, studio, study_id)
    answer = client.post(f"/v1/studies/{study_id}/confirm", json={"seeds": 3})
    assert answer.status_code == 202, answer.text
    begun = answer.json()["confirmation"]
    assert begun["state"] == "running"
    assert begun["claim"]["best"] == before["best"]["value"]
    assert (begun["claim"]["seeds"], begun["claim"]["trials"]) == ([0, 1], 4)
    assert begun["claim"]["difference"] < 0
    assert begun["confirmation"]["seeds"] == [2, 3, 4]
    assert begun["fresh"][0]["number"] == before["best"]["number"]
    assert studio.train_all(lambda held: 2.0 + held.seed) == 6
    found = client.get(f"/v1/studies/{study_id}").json()["confirmation"]
    assert found["state"] == "done"
    assert [(each["n"], each["mean"]) for each in found["fresh"]] == [(3, 5.0), (3, 5.0)]
    low, high = found["fresh"][0]["interval"]
    assert low < 5 < high
    assert "The search alone would claim" in found["report"]
    assert "On 3 fresh seeds it is 5" in found["report"]
    again = client.post(f"/v1/studies/{study_id}/confirm", json={"seeds": 3}).json()["confirmation"]
    assert again["comparison_id"] == begun["comparison_id"]
    assert studio.claim() is None
    other = client.post(f"/v1/studies/{study_id}/confirm", json={"seeds": 9})
    assert other.status_code == 409
    comparison = client.get(f"/v1/comparisons/{begun['comparison_id']}").json()
    assert comparison["confirmation"]["verdict"] == found["confirmation"]["verdict"]


def test_a_single_finished_trial_is_held_against_the_base(client: TestClient, studio: Studio) -> None:
    study_id = posted(client, pruner=ASHA, budget={"trials": 3}, parallel=1)["id"]
    assert finished(client, studio, study_id)["trials"]["finished"] == 1
    at = f"/v1/studies/{study_id}/confirm"
    assert client.post(at, json={"against": "runner_up"}).status_code == 409
    answer = client.post(at, json={"seeds": 4})
    assert answer.status_code == 202, answer.text
    begun = answer.json()["confirmation"]
    assert (begun["claim"]["runner_up"], begun["claim"]["difference"]) == (None, None)
    assert begun["confirmation"]["seeds"] == [2, 3, 4, 5]
    assert [each["number"] is None for each in begun["fresh"]] == [False, True]
    assert (
        studio.train_all(
            lambda held: 0.01 * held.seed if "base" not in held.spec["name"] else 0.9 + 0.01 * held.seed**2
        )
        == 8
    )
    found = client.get(f"/v1/studies/{study_id}").json()["confirmation"]
    assert (found["state"], found["confirmation"]["confirmed"]) == ("done", True), found["report"]
    assert found["fresh"][0]["mean"] == pytest.approx(0.035)
    assert found["fresh"][1]["mean"] == pytest.approx(1.035)
    assert found["claim"]["trials"] == 3, "those that were pruned were tried, too"


def test_a_duel_is_judged_by_its_scientific_values(client: TestClient, studio: Studio) -> None:
    options = [{"name": "plain", "value": 0.0}, {"name": "heavy", "value": 0.9}]
    rate = {"kind": "log_uniform", "low": 0.01, "high": 0.1}  # the best, 0.1, lies at its border
    space = {"/optimizer/momentum": {"kind": "choice", "role": "scientific", "options": options}}
    study_id = posted(client, space=space | {"/optimizer/lr": rate}, budget={"trials": 40}, seeds=[0])["id"]
    finished(client, studio, study_id)
    found = client.get(f"/v1/studies/{study_id}/analysis").json()
    assert found["even"] is True
    assert [(each["label"], each["trials"]) for each in found["contestants"]] == [("plain", 20), ("heavy", 20)]
    assert [each["name"] for each in found["importance"]] == ["/optimizer/lr", "/optimizer/momentum"]
    borders = [border for each in found["contestants"] for border in each["borders"]]
    assert {(border["pointer"], border["end"]) for border in borders} == {("/optimizer/lr", "high")}
    document = client.get(f"/v1/studies/{study_id}").json()["document"]
    longer = apply_patch(document, [borders[0]["patch"]])
    assert longer["space"]["/optimizer/lr"]["high"] > 0.1
    assert client.post("/v1/studies", params={"dry_run": True}, json=longer).status_code == 200
    confirmed = client.post(f"/v1/studies/{study_id}/confirm", json={"seeds": 2}).json()["confirmation"]
    bests = {each["best"] for each in found["contestants"]}
    assert {each["number"] for each in confirmed["fresh"]} == bests, "the best of each side, not the best two"


def test_an_analysis_is_kept_until_a_trial_changes(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = posted(client, budget={"trials": 3}, seeds=[0])["id"]
    finished(client, studio, study_id)
    counted, compute = [], analysis._analyse

    def count(study: Study, found: list[StoredTrial]) -> StudyAnalysis:
        counted.append(study)
        return compute(study, found)

    monkeypatch.setattr(analysis, "_analyse", count)
    path = f"/v1/studies/{study_id}/analysis"
    first = [client.get(path).json() for _ in range(3)]
    assert len(counted) == 1
    assert first[0] == first[1] == first[2]
    client.post(f"/v1/studies/{study_id}/extend", json={"trials": 1})
    finished(client, studio, study_id)
    assert client.get(path).json()["contestants"][0]["trials"] == 4
    best = first[0]["contestants"][0]["best"]
    with studio.engine.begin() as connection:
        connection.execute(
            text("UPDATE study_trial SET value = -1 WHERE study_id = :id AND number = :other"),
            {"id": study_id, "other": (best + 1) % 3},
        )
    assert client.get(path).json()["contestants"][0]["best"] == (best + 1) % 3


def test_a_preset_is_posted_with_a_base_and_what_differs(client: TestClient) -> None:
    presets = client.get("/v1/studies/presets").json()["items"]
    assert {"tune-lr", "sgd-against-adam"} <= {each["name"] for each in presets}
    for preset in presets:
        answer = client.post("/v1/studies", params={"dry_run": True}, json=preset["document"])
        assert answer.status_code == 200, (preset["name"], answer.text)
    asked = {"preset": "tune-lr", "base": DOCUMENT["base"], "budget": {"trials": 2}, "sampler": "random"}
    found = client.post("/v1/studies", params={"dry_run": True}, json=asked).json()
    assert (found["trials"], list(found["document"]["space"])) == (2, ["/optimizer/lr"])
    assert found["document"]["base"]["dataset"]["kind"] == "iris"
    wrong = client.post("/v1/studies", json={"preset": "tune-rl"})
    assert wrong.json()["errors"][0]["did_you_mean"] == "tune-lr"


def test_every_command_over_http(client: TestClient, studio: Studio) -> None:
    study_id = posted(client)["id"]
    at = f"/v1/studies/{study_id}"
    assert client.post(f"{at}/pause").json()["state"] == "paused"
    assert client.post(f"{at}/resume").json()["state"] == "running"
    assert client.post(f"{at}/trials", json={"point": {"/optimizer/lr": 0.5}}).status_code == 201
    assert client.post(f"{at}/extend", json={"trials": 2}).json()["budget"]["trials"]["limit"] == 6
    assert client.post(f"{at}/stop").json()["state"] == "stopped"
    clone = client.post(f"{at}/clone", json={"changes": {"seed": 3}})
    assert clone.status_code == 201, clone.text
    assert (clone.json()["name"], clone.json()["document"]["seed"]) == ("rates (copy)", 3)
    with transaction(studio.engine) as connection:
        actions = connection.execute(text("SELECT action FROM audit WHERE action LIKE 'study.%' ORDER BY id"))
        told = list(actions.scalars())
    expected = ["submit", "pause", "resume", "add_trial", "extend", "stop", "submit"]
    assert told == [f"study.{verb}" for verb in expected]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"budget": {}}, "/budget"),
        ({"base": {}}, "/base/dataset"),
        ({"space": {"/optimizer/rate": {"kind": "uniform", "low": 0, "high": 1}}}, "/space/~1optimizer~1rate"),
        ({"seeds": [0, 0]}, "/seeds"),
        ({"parallel": 0}, "/parallel"),
    ],
)
def test_bad_documents_are_answered_at_the_field(client: TestClient, changes: Any, pointer: str) -> None:
    for dry_run in (True, False):
        answer = client.post("/v1/studies", params={"dry_run": dry_run}, json=DOCUMENT | changes)
        assert answer.status_code == 422, answer.text
        assert pointer in [each["pointer"] for each in answer.json()["errors"]], answer.text
    assert client.get("/v1/studies").json()["items"] == []


def test_a_study_over_its_quota_is_warned_of_and_not_refused(client: TestClient, studio: Studio) -> None:
    with transaction(studio.engine) as connection:
        quotas.set_limit(connection, "queued_runs", "project", studio.principal.project_id, None, 1)
    for query, status in (({"dry_run": True}, 200), ({}, 201)):
        answer = client.post("/v1/studies", params=query, json=DOCUMENT)
        assert answer.status_code == status, answer.text
        assert ("/budget", "quota_exceeded") in [(each["pointer"], each["code"]) for each in answer.json()["warnings"]]


def test_an_idempotency_key_posts_a_study_once(client: TestClient) -> None:
    header = {"Idempotency-Key": "once"}
    first = client.post("/v1/studies", json=DOCUMENT, headers=header)
    again = client.post("/v1/studies", json=DOCUMENT, headers=header)
    assert (first.status_code, again.status_code, again.json()["id"]) == (201, 201, first.json()["id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert client.post("/v1/studies", json=DOCUMENT | {"seed": 1}, headers=header).status_code == 409


def test_members_of_another_project_see_and_change_nothing(
    client: TestClient, stranger: dict[str, str], studio: Studio
) -> None:
    study_id = posted(client)["id"]
    assert client.get("/v1/studies", headers=stranger).json()["items"] == []
    at = f"/v1/studies/{study_id}"
    bodies = {"extend": {"trials": 1}, "trials": {"point": {"/optimizer/lr": 0.5}}}
    for path in (at, f"{at}/trials"):
        assert client.get(path, headers=stranger).status_code == 404
    for verb in ("pause", "resume", "stop", "extend", "clone", "confirm", "trials"):
        answer = client.post(f"{at}/{verb}", json=bodies.get(verb, {}), headers=stranger)
        assert answer.status_code == 404, (verb, answer.text)
    assert client.get(at).json()["state"] == "running"
