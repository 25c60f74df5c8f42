"""The bin of studies: one is deleted and restored with its trials, by its owner, and erased without a trace."""

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.access.projects import new_key
from service.db.session import transaction
from service.process.refusals import Refusals
from service.process.upkeep import KeyUse, Upkeep
from service.settings import Settings
from tests.studies.conftest import Studio, by_rate

FOREVER = {"forever": True}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    url = settings.database_url.replace("//saddle@", "//saddle_api@", 1)  # with the rights of the API
    return settings.model_copy(update={"database_url": url})


@pytest.fixture
def finished(studio: Studio) -> str:
    """A study of three trials with two runs each."""
    study_id = studio.post(budget={"trials": 3})
    studio.finish(study_id, by_rate)
    return study_id


def member(studio: Studio, name: str) -> dict[str, str]:
    with transaction(studio.engine) as connection:
        return {"Authorization": f"Bearer {new_key(connection, 'default', name)}"}


def listed(client: TestClient) -> set[str]:
    return {each["id"] for each in client.get("/v1/experiments").json()["items"]}


def test_a_study_is_deleted_and_restored_with_its_trials(client: TestClient, finished: str, submit: Any) -> None:
    other, at = submit()["id"], f"/v1/studies/{finished}"
    trials = listed(client) - {other}
    paths = [at, f"{at}/trials", f"{at}/analysis", *(f"/v1/experiments/{each}" for each in sorted(trials))]
    before = [client.get(path).json() for path in paths]
    by_hand = sorted(trials)[0]
    assert client.delete(f"/v1/experiments/{by_hand}").status_code == 204, "a trial that was deleted by itself"
    assert client.delete(at).status_code == 204
    assert listed(client) == {other}
    assert client.get("/v1/studies").json()["items"] == []
    for path in paths:
        assert client.get(path).status_code == 404, path
    assert "in the bin: restore it" in client.get(at).json()["detail"]
    assert client.delete(at).status_code == 404
    assert client.post(f"{at}/clone").status_code == 404
    items = {each["id"]: each for each in client.get("/v1/bin").json()["items"]}
    assert {key: (each["kind"], each["runs"]) for key, each in items.items()} == {
        finished: ("study", 4),
        by_hand: ("experiment", 2),
    }
    with_it = next(iter(trials - {by_hand}))
    refused = client.post(f"/v1/experiments/{with_it}/restore")
    assert (refused.status_code, finished in refused.json()["detail"]) == (409, True)
    for _ in range(2):
        assert client.post(f"{at}/restore").status_code == 202, "a second time changes nothing"
    assert listed(client) == {other, *trials} - {by_hand}
    assert client.post(f"/v1/experiments/{by_hand}/restore").status_code == 202
    assert [client.get(path).json() for path in paths] == before
    assert client.get("/v1/bin").json()["items"] == []


def test_what_has_not_ended_is_stopped_first(client: TestClient, studio: Studio) -> None:
    study_id = studio.post()
    studio.advance()
    held = studio.claim()
    assert held is not None
    refused = client.delete(f"/v1/studies/{study_id}")
    assert (refused.status_code, "stop the study" in refused.json()["detail"]) == (409, True)
    assert client.post(f"/v1/studies/{study_id}/stop").status_code == 202
    refused = client.delete(f"/v1/studies/{study_id}")
    assert (refused.status_code, held.run_id in refused.json()["detail"]) == (409, True), "its worker still trains"
    assert client.get(f"/v1/studies/{study_id}").status_code == 200


def test_owner_and_admins_delete_and_others_do_not(
    client: TestClient, studio: Studio, finished: str, stranger: dict[str, str]
) -> None:
    at, bob = f"/v1/studies/{finished}", member(studio, "bob")
    assert client.delete(at, headers=stranger).status_code == 404
    assert client.delete(at, headers=bob).status_code == 403
    client.patch("/v1/project", json={"members_manage": True})
    assert client.delete(at, headers=bob, params=FOREVER).status_code == 403
    assert client.delete(at, headers=bob).status_code == 204
    assert client.delete(at, headers=bob, params=FOREVER).status_code == 403
    assert client.post(f"{at}/restore", headers=stranger).status_code == 404
    assert client.post(f"{at}/restore", headers=bob).status_code == 202
    clone = client.post(f"{at}/clone").json()["id"]
    assert client.delete(at, params=FOREVER).status_code == 204
    assert client.get("/v1/bin").json()["items"] == []
    assert client.get(f"/v1/studies/{clone}").json()["cloned_from"] is None


def test_old_studies_leave_the_bin_with_their_trials(
    client: TestClient, studio: Studio, finished: str, settings: Settings
) -> None:
    kept = studio.post(budget={"trials": 1}, name="kept")
    studio.finish(kept, by_rate)
    for each in (finished, kept):
        assert client.delete(f"/v1/studies/{each}").status_code == 204
    with transaction(studio.engine) as connection:
        for table, chosen in (("study", "id"), ("experiment", "study_id")):
            late = f"UPDATE {table} SET deleted_at = deleted_at - interval '30 days' WHERE {chosen} = :id"
            connection.execute(text(late), {"id": finished})
    Upkeep(client.app_state["runtime"].engine, settings, KeyUse(), Refusals(), threading.Event()).look()
    assert [each["id"] for each in client.get("/v1/bin").json()["items"]] == [kept]
    with transaction(studio.engine) as connection:
        left = "SELECT count(*) FROM study_trial WHERE study_id = :id"
        assert connection.execute(text(left), {"id": finished}).scalar_one() == 0
        empty = "SELECT count(*) FROM experiment WHERE erased_at IS NOT NULL AND study_id IS NULL AND spec = '{}'"
        assert connection.execute(text(empty)).scalar_one() == 3
        (said,) = connection.execute(text("SELECT actor, data FROM audit WHERE action = 'study.erase'")).all()
    assert (said.actor, said.data["trials"]) == ("the server", 3)
    assert client.post(f"/v1/studies/{finished}/restore").status_code == 404
