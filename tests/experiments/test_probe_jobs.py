"""Probe jobs over HTTP and in the protocol: what may be asked, what is claimed, what an escape leaves."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.api.routes import derived_runs as routes
from service.db.access.principal import Principal
from service.db.metrics.codec import pack
from service.db.runs import endings, leases, prediction_jobs
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.errors import Invalid
from service.experiments import derived_runs
from service.experiments.context import Context
from service.lifecycle import State
from service.schemas.requests import ProbeRequest
from service.settings import Settings
from service.spec.probes.on_demand import Line
from tests.fixtures.api import Worker, points
from tests.harness.statements import sent_statements

from .test_commands import refused, trained

Submit = Callable[..., dict[str, Any]]
PREDICTIONS = "?predictions=true"
SHARPNESS = {"probes": [{"kind": "sharpness"}]}


def probed(client: TestClient, run: str, **order: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/runs/{run}/probes", json=SHARPNESS | order)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/runs/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


def escaped(worker: Worker, held: Claim, step: int) -> None:
    saved = SavedCheckpoint(step, f"/nowhere/{held.run_id}/a{held.attempt}/{step}", "1" * 64, 10, "escape")
    with transaction(worker.engine) as connection:
        leases.save_checkpoint(connection, held, saved, {})


def test_a_probe_job_is_a_run_that_trains_nothing_from_the_newest_checkpoint_of_one_that_still_trains(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    run = trained(worker, 10, 20)
    job = probed(client, run)
    assert (job["relation"], job["parent_run_id"], job["origin_step"]) == ("probe", run, 20)
    assert job["task"]["probes"][0]["kind"] == "sharpness"
    assert job["task"]["probes"][0]["rows"] == 2048, "with every default filled in"
    assert (job["step"], job["total_steps"], job["progress"]) == (20, 20, 0)
    held = worker.claim()
    assert (held.run_id, held.task, held.checkpoint and held.checkpoint.step) == (job["id"], job["task"], 20)
    assert not held.forked
    worker.finish(held, {"sharpness": pack([20], [1.5])})
    (listed,) = client.get(f"/v1/runs/{run}/probes").json()["items"]
    assert (listed["state"], listed["progress"], listed["series"]["sharpness"]["last"]) == ("succeeded", 1, 1.5)
    assert client.get(f"/v1/runs/{run}").json()["state"] == "running"


def test_a_probe_job_counts_in_no_result_of_its_experiment(client: TestClient, submit: Submit, worker: Worker) -> None:
    made = submit()
    held = worker.claim()
    worker.save(held, 10, points(1, 10))
    worker.finish(held)
    job = probed(client, held.run_id)
    worker.finish(worker.claim(), {"loss": pack([10], [0.01])})
    experiment = client.get(f"/v1/experiments/{made['id']}").json()
    assert experiment["superseded"] == [job["id"]]
    below = client.get("/v1/experiments", params={"filter": "best(loss) < 0.05"}).json()
    assert below["items"] == []
    (listed,) = client.get("/v1/experiments").json()["items"]
    assert (listed["main"]["n"], listed["main"]["best"]) == (1, 0.1)
    compared = client.post("/v1/comparisons", json={"experiments": [made["id"]], "series": ["loss"]}).json()
    assert compared["groups"][0]["runs"] == [held.run_id]


def test_a_run_is_looked_at_where_it_began_or_at_a_kept_checkpoint_and_nowhere_else(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    run = submit()["runs"][0]["id"]
    assert probed(client, run)["origin_step"] == 0, "nothing is kept yet"
    assert trained(worker, 10, 20, 30) == run
    assert probed(client, run, step=0)["origin_step"] == 0
    assert probed(client, run, step=20)["origin_step"] == 20
    answer = client.post(f"/v1/runs/{run}/probes", json=SHARPNESS | {"step": 10})
    (problem,) = answer.json()["errors"]
    assert (problem["pointer"], problem["limit"]) == ("/step", [0, 20, 30])


def test_an_order_is_checked_by_the_specs_own_rules(client: TestClient, submit: Submit, worker: Worker) -> None:
    run = submit()["runs"][0]["id"]

    def problems(*probes: dict[str, Any]) -> list[tuple[str, str]]:
        answer = client.post(f"/v1/runs/{run}/probes", json={"probes": list(probes)})
        assert answer.status_code == 422
        return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]

    assert [pointer for pointer, _ in problems()] == ["/probes"]
    assert [pointer for pointer, _ in problems({"kind": "sharpnes"})] == ["/probes/0/kind"]
    assert [pointer for pointer, _ in problems({"kind": "sharpness", "products": 1})] == ["/probes/0/products"]
    assert problems({"kind": "sharpness"}, {"kind": "gradients"}) == [("/probes/1/kind", "not_on_demand")]
    assert problems({"kind": "line", "run": "run_nobodys"}) == [("/probes/0/run", "no_checkpoint")]
    assert client.get(f"/v1/runs/{run}/probes").json() == {"items": []}


def test_the_same_key_asks_for_one_job(client: TestClient, submit: Submit) -> None:
    run = submit()["runs"][0]["id"]
    key = {"Idempotency-Key": "once"}
    first, second = (client.post(f"/v1/runs/{run}/probes", json=SHARPNESS, headers=key) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    other = {"probes": [{"kind": "noise_scale"}]}
    assert client.post(f"/v1/runs/{run}/probes", json=other, headers=key).status_code == 409


def test_a_strangers_run_is_not_looked_at(client: TestClient, submit: Submit, stranger: dict[str, str]) -> None:
    run = submit()["runs"][0]["id"]
    assert client.post(f"/v1/runs/{run}/probes", json=SHARPNESS, headers=stranger).status_code == 404
    assert client.get(f"/v1/runs/{run}/probes", headers=stranger).status_code == 404


def test_a_probe_job_is_neither_probed_nor_replayed_nor_retried_itself(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    run = submit()["runs"][0]["id"]
    worker.finish(worker.claim(), points(1, 5))
    job = probed(client, run)["id"]
    assert "probe job itself" in refused(client.post(f"/v1/runs/{job}/probes", json=SHARPNESS))
    assert "is a probe" in refused(client.post(f"/v1/runs/{job}/replay"))
    worker.finish(worker.claim(), state=State.FAILED, failure={"code": "crash_loop", "detail": ""})
    assert f"a probe of {run}" in refused(client.post(f"/v1/runs/{job}/retry"))


@pytest.mark.parametrize("step", [0, 20])
def test_a_job_that_is_broken_off_looks_again_from_where_its_parent_was_and_its_first_words_are_superseded(
    client: TestClient, submit: Submit, worker: Worker, step: int
) -> None:
    submit()
    trained(worker, 10, 20)
    job = probed(client, client.get("/v1/runs").json()["items"][0]["id"], step=step)
    first = worker.claim()
    worker.flush(first, {"sharpness": pack([step], [1.0])})
    escaped(worker, first, step)
    with transaction(worker.engine) as connection:
        endings.record_crash(connection, first, "trainer_died", "", {})
    second = worker.claim()
    assert (second.run_id, second.attempt, second.start_step) == (job["id"], 2, step)
    assert second.checkpoint == first.checkpoint, "not what it wrote itself"
    worker.finish(second, {"sharpness": pack([step], [2.0])})
    curve = client.get(f"/v1/runs/{job['id']}/series", params={"names": "sharpness"}).json()["series"]["sharpness"]
    assert (curve["step"], curve["value"]) == ([step], [2.0])
    assert client.get(f"/v1/runs/{job['id']}").json()["series"]["sharpness"]["n"] == 1


@pytest.mark.parametrize("step", [0, 20])
def test_a_fork_goes_on_from_the_state_that_a_job_left_and_so_does_its_retry_from_the_start(
    client: TestClient, submit: Submit, worker: Worker, step: int
) -> None:
    submit()
    parent = trained(worker, 10, 20)
    job = probed(client, parent, step=step)["id"]
    held = worker.claim()
    escaped(worker, held, step)
    worker.finish(held)
    kept = client.get(f"/v1/runs/{job}/checkpoints").json()["items"]
    assert [(each["step"], each["reason"], each["kept"]) for each in kept] == [(step, "escape", True)]
    changes = {"model": {"kind": "mlp", "hidden": [4]}}
    answer = client.post(f"/v1/runs/{job}/forks", json={"step": step, "changes": changes})
    assert answer.json()["errors"][0]["pointer"].startswith("/changes/model"), "its weights are loaded"
    answer = client.post(f"/v1/runs/{job}/forks", json={"step": step})
    assert answer.status_code == 201, answer.text
    fork = worker.claim()
    assert fork.checkpoint is not None
    assert (fork.checkpoint.step, fork.checkpoint.sha256, fork.forked) == (step, "1" * 64, True)
    worker.finish(fork, state=State.FAILED, failure={"code": "diverged", "detail": ""})
    client.post(f"/v1/runs/{fork.run_id}/retry", json={"from": "start"})
    again = worker.claim()
    assert (again.checkpoint, again.forked) == (fork.checkpoint, True)


def test_a_fork_from_the_start_of_one_that_began_from_an_escape_begins_anew(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    run = submit()["runs"][0]["id"]
    worker.finish(worker.claim(), points(1, 5))
    job = probed(client, run, step=0)["id"]
    held = worker.claim()
    escaped(worker, held, 0)
    worker.finish(held)
    client.post(f"/v1/runs/{job}/forks", json={"step": 0})
    worker.finish(fork := worker.claim(), points(1, 5))
    client.post(f"/v1/runs/{fork.run_id}/forks", json={"step": 0})
    assert worker.claim().checkpoint is None


def test_a_job_that_compares_is_given_the_other_states(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(seeds=[0, 1], checkpoint={"keep_every": 10})
    first, second = trained(worker, 10, 20, 30), trained(worker, 10)
    probes = [{"kind": "trajectory"}, {"kind": "line", "run": second}]
    assert client.post(f"/v1/runs/{first}/probes", json={"probes": probes}).status_code == 201
    beside = worker.claim().references
    assert {name: [each.step for each in saved] for name, saved in beside.items()} == {
        "kept": [10, 20, 30],
        "other": [10],
    }


def test_an_origin_is_kept_while_its_job_has_not_ended_and_no_longer(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    parent = worker.claim()
    worker.save(parent, 10, points(1, 10))
    probed(client, parent.run_id)
    for step in (20, 30, 40):
        worker.save(parent, step, points(step - 9, step))
    assert kept_steps(worker, parent.run_id) == [10, 30, 40]
    worker.finish(worker.claim())
    worker.save(parent, 50, points(41, 50))
    assert kept_steps(worker, parent.run_id) == [40, 50]


def kept_steps(worker: Worker, run_id: str) -> list[int]:
    query = text("SELECT step FROM checkpoint WHERE run_id = :id AND removed_at IS NULL ORDER BY step")
    with transaction(worker.engine) as connection:
        return list(connection.execute(query, {"id": run_id}).scalars())


def test_a_line_leads_to_a_kept_checkpoint_of_the_same_project(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    submit()
    other = trained(worker, 10, 20)
    run = submit()["runs"][0]["id"]

    def refused_at(*lines: dict[str, Any], **headers: str) -> list[str]:
        probes = [{"kind": "line", **line} for line in lines]
        answer = client.post(f"/v1/runs/{run}/probes", json={"probes": probes}, headers=headers)
        errors = answer.json().get("errors", ())
        return [each["pointer"] for each in errors if each["code"] == "no_checkpoint"]

    assert refused_at({"run": other}) == []
    assert refused_at({"run": other, "step": 20}) == []
    assert refused_at({"run": other, "step": 15}) == ["/probes/0/run"]
    assert refused_at({"run": run}) == ["/probes/0/run"], "it has no checkpoint"
    assert refused_at({"run": ""}) == ["/probes/0/run"]
    assert refused_at({}, {"run": other, "step": 10}, {"run": other, "step": 11}) == ["/probes/2/run"]
    assert refused_at({"run": other}, **stranger) == ["/probes/0/run"]


def test_many_lines_are_checked_in_one_statement(
    client: TestClient, submit: Submit, worker: Worker, principal: Principal, settings: Settings
) -> None:
    run = submit()["runs"][0]["id"]
    sent = []
    for count in (2, 10):
        lines = tuple(Line(run=f"run_{at}") for at in range(count))
        request = ProbeRequest(probes=lines)
        with transaction(worker.engine) as connection, sent_statements() as statements, pytest.raises(Invalid):
            derived_runs.probe(Context(connection, principal, settings), run, request, None)
        sent.append(len(statements))
    assert sent == [1, 1]


def test_an_own_direction_that_does_not_fit_the_runs_model_is_refused(client: TestClient, submit: Submit) -> None:
    run = submit()["runs"][0]["id"]
    probes = [{"kind": "sharpness"}, {"kind": "slice", "along": {"layers.9.bias": [1.0]}}]
    answer = client.post(f"/v1/runs/{run}/probes", json={"probes": probes})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/probes/1/along/layers.9.bias", "unknown_parameter")


IRIS = {"rows": [[5.1, 3.5, 1.4, 0.2], ["6.0", 2, 4, 1]]}


def test_rows_are_predicted_by_a_job_whose_answer_is_asked_for_later(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch, stranger: dict[str, str]
) -> None:
    monkeypatch.setattr(routes, "PREDICT_WAIT_S", 0.0)
    submit(dataset={"kind": "iris"})
    run = trained(worker, 10, 20)
    answer = client.post(f"/v1/runs/{run}/predict", json=IRIS | {"weights": 10}, headers={"Idempotency-Key": "once"})
    job = answer.json()
    assert (answer.status_code, job["state"], job["step"], job["predictions"]) == (202, "queued", 10, None)
    location = answer.headers["Location"]
    again = client.post(f"/v1/runs/{run}/predict", json=IRIS | {"weights": 10}, headers={"Idempotency-Key": "once"})
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (job["id"], "true")
    held = worker.claim()
    assert (held.run_id, held.checkpoint and held.checkpoint.step) == (job["id"], 10)
    assert held.task == {"probes": [], "rows": [[5.1, 3.5, 1.4, 0.2], [6.0, 2, 4, 1]]}, "texts are read as numbers"
    with transaction(worker.engine) as connection:
        leases.save_reading(connection, held, 10, "predictions", {"predictions": [{"class": "0"}, {"class": "1"}]}, {})
    worker.finish(held)
    found = client.get(location).json()
    assert (found["state"], found["predictions"], found["error"]) == (
        "succeeded",
        [{"class": "0"}, {"class": "1"}],
        None,
    )
    assert client.get(location, headers=stranger).status_code == 404
    assert client.get(f"/v1/runs/{run}/predictions/{run}").status_code == 404
    assert client.get(f"/v1/runs/{run}/probes").json()["items"] == [], "it looks with no instrument"
    assert client.get(f"/v1/runs/{run}/readings").json()["items"] == [], "nor do readings of the run have it"
    assert client.get(f"/v1/runs/{job['id']}").json()["task"] == {"probes": []}, "without the rows"
    listed = [[each["id"] for each in client.get(f"/v1/runs{query}").json()["items"]] for query in ("", PREDICTIONS)]
    assert listed == [[run], [job["id"], run]]
    shown = client.get(f"/v1/experiments/{client.get(f'/v1/runs/{run}').json()['experiment_id']}").json()
    assert [each["id"] for each in shown["runs"]] == [run]
    (listed_experiment,) = client.get("/v1/experiments").json()["items"]
    assert listed_experiment["runs"] == {"running": 1}


def test_a_prediction_is_deleted_a_while_after_its_end_and_nothing_else_is(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PREDICT_WAIT_S", 0.0)
    submit(dataset={"kind": "iris"})
    training = worker.claim()
    worker.save(training, 10, points(1, 10))
    worker.finish(training)
    run = training.run_id
    jobs = [client.post(f"/v1/runs/{run}/predict", json=IRIS).json()["id"] for _ in range(4)]
    probe = client.post(f"/v1/runs/{run}/probes", json={"probes": [{"kind": "sharpness"}]}).json()["id"]
    for _ in jobs[:3]:
        held = worker.claim()
        with transaction(worker.engine) as connection:
            leases.save_reading(connection, held, 10, "predictions", {"predictions": []}, {})
        worker.finish(held)
    experiment = client.get(f"/v1/runs/{run}").json()["experiment_id"]
    comment = {"text": "see this", "run_id": jobs[1]}
    assert client.post(f"/v1/experiments/{experiment}/comments", json=comment).status_code == 201

    def age(days: float) -> int:
        """Let all runs have ended so long ago, and delete what is old."""
        with transaction(worker.engine) as connection:
            ended = "UPDATE run SET finished_at = finished_at - make_interval(hours => :hours)"
            connection.execute(text(ended), {"hours": round(days * 24)})
        with transaction(worker.engine) as connection:
            return prediction_jobs.empty_old(connection, 1_000)

    assert age(6) == 0
    assert age(2) == 2
    known = [client.get(f"/v1/runs/{each}").status_code for each in (run, probe, *jobs)]
    assert known == [200, 200, 404, 200, 404, 200], "one has a comment, and the fourth has not ended"
    assert client.get(f"/v1/runs/{run}/predictions/{jobs[0]}").status_code == 404
    with transaction(worker.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM reading WHERE kind = 'predictions'")).scalar_one() == 1
    client.post(f"/v1/runs/{probe}/cancel")
    client.post(f"/v1/runs/{jobs[3]}/cancel")
    assert client.delete(f"/v1/experiments/{experiment}").status_code == 204
    assert client.post(f"/v1/experiments/{experiment}/restore").is_success
    assert client.get(f"/v1/runs/{jobs[0]}").status_code == 404, "nor does the bin bring it back"
    listed = client.get(f"/v1/runs{PREDICTIONS}").json()["items"]
    assert {each["id"] for each in listed} == {run, probe, jobs[1], jobs[3]}


def test_rows_that_do_not_fit_and_weights_that_are_not_kept_are_refused(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str]
) -> None:
    run = submit(dataset={"kind": "iris"})["runs"][0]["id"]
    path = f"/v1/runs/{run}/predict"
    assert "no kept checkpoint" in refused(client.post(path, json=IRIS))
    trained(worker, 10)

    def problems(**body: Any) -> list[tuple[str, str]]:
        answer = client.post(path, json=IRIS | body)
        assert answer.status_code == 422
        return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]

    wrong = [[1, 2, 3], [1, 2, "three", 4], [1, 2, 3, None], {"a": 1}, 5]
    shapes = [("/rows/0", "wrong_shape"), ("/rows/1/2", "not_a_number"), ("/rows/2/3", "not_a_number")]
    assert problems(rows=wrong) == [*shapes, ("/rows/3", "wrong_shape"), ("/rows/4", "wrong_shape")]
    assert problems(weights="best") == problems(weights=11) == [("/weights", "no_checkpoint")]
    assert [pointer for rows in ([], [[1, 2, 3, 4]] * 101, {}) for pointer, _ in problems(rows=rows)] == ["/rows"] * 3
    not_asked = [("/likelihood", "not_applicable"), ("/continuation", "not_applicable")]
    assert problems(likelihood=True, continuation={}) == not_asked, "of classes"
    assert client.post(path, json=IRIS, headers=stranger).status_code == 404
    assert client.get(f"/v1/runs/{run}/probes").json()["items"] == []


def test_a_text_is_asked_how_likely_it_is_and_how_it_goes_on(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PREDICT_WAIT_S", 0.0)
    content = b"to be, or not to be, that is the question.\n" * 50
    upload = client.post("/v1/datasets?name=a.txt", content=content).json()["id"]
    submit(dataset={"kind": "text", "upload": upload, "context": 8}, model={"kind": "transformer", "width": 8})
    path = f"/v1/runs/{trained(worker, 10)}/predict"
    asked = {"rows": ["to be"], "likelihood": True, "continuation": {"length": 40, "top_k": 5}}
    assert client.post(path, json=asked).status_code == 202
    held = worker.claim()
    written = {"length": 40, "temperature": 0.8, "top_k": 5, "seed": 0}
    assert held.task == {"probes": [], "rows": ["to be"], "likelihood": True, "continuation": written}
    worker.finish(held)
    answer = client.post(path, json=asked | {"rows": ["to be"] * 41, "continuation": {"length": 100}})
    (problem,) = answer.json()["errors"]
    assert (answer.status_code, problem["pointer"], problem["limit"]) == (422, "/continuation/length", 4_000 // 41)
