"""Studies and trials as stored: within their project, and each trial an experiment that lists select."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.experiments.experiments import NewExperiment
from service.db.session import make_engine, transaction
from service.db.studies import studies, trials
from service.db.studies.trials import NewTrial
from service.errors import Conflict, NotFound
from service.settings import Settings
from service.spec.experiment import Experiment
from service.spec.parse.presets import presets

SPEC: Experiment = next(iter(presets().values()))
DOCUMENT: dict[str, Any] = {"name": "rates"}


@pytest.fixture
def study_id(engine: Engine, principal: Principal) -> str:
    """A study with two trials, of which the second pauses after step 10."""
    with transaction(engine) as connection:
        study, new = studies.add(connection, principal, "rates", DOCUMENT)
        assert new
        for number in (0, 1):
            made = NewExperiment(SPEC, "cpu", study_id=study.id, trial=number, pause_at=10 if number else None)
            (added,) = experiments.add_many(connection, principal, [made])
            trial = NewTrial(number, {"/optimizer/lr": 0.1}, added.id, SPEC.total_steps, (10,))
            trials.add(connection, study.id, principal.project_id, trial)
    return study.id


def test_lists_and_filters_select_the_trials_of_a_study(client: TestClient, study_id: str, submit: Any) -> None:
    submit()
    listed = client.get("/v1/experiments", params={"filter": f"study = {study_id}", "sort": "trial"}).json()["items"]
    assert [(each["study_id"], each["trial"]) for each in listed] == [(study_id, 0), (study_id, 1)]
    everything = client.get("/v1/experiments").json()["items"]
    assert [each["trial"] for each in everything] == [None, 1, 0], "the list hides nothing"
    runs = client.get("/v1/runs", params={"filter": f"study = {study_id} AND trial = 1"}).json()["items"]
    assert {each["pause_at"] for each in runs} == {10}
    one = client.get(f"/v1/experiments/{listed[0]['id']}").json()
    assert (one["study_id"], one["trial"]) == (study_id, 0)
    compared = client.post("/v1/comparisons", json={"filter": f"study = {study_id}", "points": None}).json()
    assert len(compared["groups"]) == 2


def test_a_study_and_its_trials_are_seen_in_their_project_alone(
    engine: Engine,
    settings: Settings,
    principal: Principal,
    study_id: str,
    client: TestClient,
    stranger: dict[str, str],
) -> None:
    asked = {"filter": f"study = {study_id}"}
    assert client.get("/v1/experiments", params=asked, headers=stranger).json()["items"] == []
    with transaction(engine) as connection:
        other = find_principal(connection, new_key(connection, "elsewhere", "eve"))
    assert other is not None
    with transaction(engine) as connection:
        assert studies.page(connection, other, 10, None) == []
        with pytest.raises(NotFound):
            studies.get(connection, other, study_id)
    api = make_engine(settings.database_url, pool_size=1)  # the owner of the tables is held back by no policy
    with transaction(api, other.project_id) as connection:
        assert trials.all_of(connection, study_id) == [], "the second wall"
    with transaction(api, principal.project_id) as connection:
        assert [each.number for each in trials.all_of(connection, study_id)] == [0, 1]
    api.dispose()


def test_an_idempotency_key_stores_a_study_once(engine: Engine, principal: Principal) -> None:
    with transaction(engine) as connection:
        first = studies.add(connection, principal, "a", DOCUMENT, key="k", request_hash="h")
        again = studies.add(connection, principal, "a", DOCUMENT, key="k", request_hash="h")
        assert (first[1], again[1], again[0].id) == (True, False, first[0].id)
        with pytest.raises(Conflict):
            studies.add(connection, principal, "b", DOCUMENT, key="k", request_hash="other")


def test_what_two_processes_advance_is_locked_by_one(engine: Engine, study_id: str) -> None:
    with transaction(engine) as one, transaction(engine) as two:
        found = studies.lock_next_running(one, "")
        assert found is not None
        assert found.id == study_id
        assert studies.lock_next_running(two, "") is None
        assert studies.lock_next_running(one, study_id) is None


def test_the_cost_of_a_trial_counts_every_seed_and_what_runs_now(engine: Engine, study_id: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE run SET step = 7, trained_s = 1.5 WHERE pause_at IS NULL"))
        cost, seeds = trials.costs(connection, study_id), len(SPEC.seeds)
        assert cost == {0: trials.Cost(7 * seeds, 1.5 * seeds, over=False), 1: trials.Cost(0, 0.0, over=False)}
        trials.set_rungs(connection, study_id, 1, "waiting", [0.5, None])
        trials.end(connection, study_id, 0, "finished", None, 0.25, [0.25])
        first, second = trials.all_of(connection, study_id)
        assert (first.state, first.value, first.open) == ("finished", 0.25, False)
        assert (second.state, second.rungs, second.open) == ("waiting", (0.5, None), True)
        assert trials.counts(connection, [study_id]) == {study_id: {"finished": 1, "waiting": 1}}


def test_an_experiment_that_moves_away_leaves_its_study(
    client: TestClient, engine: Engine, principal: Principal, study_id: str
) -> None:
    with transaction(engine) as connection:
        new_key(connection, "elsewhere", "ada")
    moved = client.get("/v1/experiments", params={"filter": f"study = {study_id} AND trial = 0"}).json()["items"][0]
    assert client.post(f"/v1/experiments/{moved['id']}/cancel").status_code == 202
    answer = client.post(f"/v1/experiments/{moved['id']}/move", json={"project": "elsewhere"})
    assert answer.status_code < 300, answer.text
    with transaction(engine) as connection:
        left = connection.execute(text("SELECT study_id FROM experiment WHERE id = :id"), {"id": moved["id"]})
        assert left.scalar_one() is None
        shown = trials.page(connection, study_id, 10, None)
        assert [each.experiment_id is None for each in shown] == [True, False]
        assert [each.number for each in trials.page(connection, study_id, 10, 1, descending=True)] == [0]


def test_any_change_of_a_trial_is_another_revision(engine: Engine, principal: Principal, study_id: str) -> None:
    def revision() -> trials.Revision:
        with transaction(engine) as connection:
            return trials.revision(connection, study_id)

    seen = [revision()]
    assert revision() == seen[0], "reading changes nothing"
    statements = [
        "UPDATE study_trial SET why = why WHERE study_id = :id AND number = 0",
        "UPDATE study_trial SET value = 0.5 WHERE study_id = :id AND number = 1",
        "DELETE FROM study_trial WHERE study_id = :id AND number = 1",
    ]
    for statement in statements:
        with engine.begin() as connection:
            connection.execute(text(statement), {"id": study_id})
        seen.append(revision())
    with transaction(engine) as connection:
        trials.add(connection, study_id, principal.project_id, NewTrial(1, {"/optimizer/lr": 0.1}, None, why="no spec"))
        trials.end(connection, study_id, 0, "finished", value=0.25)
    seen.append(revision())
    assert len(set(seen)) == 5
