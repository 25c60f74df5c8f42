"""What people may ask of a run over HTTP: pause, resume, another priority; retry, fork and replay it."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.db.runs import workers
from service.db.session import transaction
from service.lifecycle import State
from tests.fixtures.api import Worker, points

Submit = Callable[..., dict[str, Any]]


def trained(worker: Worker, *steps: int) -> str:
    """A claimed run with checkpoints at these steps."""
    held = worker.claim()
    before = 0
    for step in steps:
        worker.save(held, step, points(before + 1, step))
        before = step
    return held.run_id


def refused(answer: Any) -> str:
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    return str(answer.json()["detail"])


def test_a_waiting_run_is_paused_and_resumed_at_once_and_asking_twice_is_harmless(
    client: TestClient, submit: Submit
) -> None:
    run_id = submit()["runs"][0]["id"]
    for action, state in (("pause", "paused"), ("pause", "paused"), ("resume", "queued"), ("resume", "queued")):
        answer = client.post(f"/v1/runs/{run_id}/{action}")
        assert (answer.status_code, answer.json()["state"]) == (202, state)
    kinds = [(e["kind"], e["data"]["by"], e["data"]["why"]) for e in history(client, run_id)]
    assert kinds == [("state", "ada", "submitted"), ("state", "ada", "requested"), ("state", "ada", "requested")]


def history(client: TestClient, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/runs/{run_id}/history").json()["items"]
    return found


def test_a_pause_of_what_trains_is_wished_and_can_be_taken_back(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    held = worker.claim()
    assert client.post(f"/v1/runs/{held.run_id}/pause").json()["displayed"] == "pausing"
    assert worker.flush(held, {}).value == "pause"
    assert client.post(f"/v1/runs/{held.run_id}/resume").json()["displayed"] == "running"
    client.post(f"/v1/runs/{held.run_id}/cancel")
    for action in ("pause", "resume"):
        assert "being cancelled" in refused(client.post(f"/v1/runs/{held.run_id}/{action}"))


def test_a_pause_taken_back_too_late_queues_the_run_again(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    client.post(f"/v1/runs/{held.run_id}/pause")
    client.post(f"/v1/runs/{held.run_id}/resume")
    worker.finish(held, state=State.PAUSED)
    assert client.get(f"/v1/runs/{held.run_id}").json()["state"] == "queued"


def test_an_ended_run_says_what_is_possible_instead(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    worker.finish(held, points(1, 1000))
    run = f"/v1/runs/{held.run_id}"
    assert "only a run that waits or runs can be paused" in refused(client.post(f"{run}/pause"))
    assert "fork it instead" in refused(client.post(f"{run}/resume"))
    assert "replay or fork it" in refused(client.post(f"{run}/retry"))
    assert "has not ended" in refused(client.patch(run, json={"priority": 3}))


def test_a_whole_experiment_is_paused_and_resumed(client: TestClient, submit: Submit, worker: Worker) -> None:
    posted = submit(seeds=[0, 1, 2])
    worker.claim()
    paused = client.post(f"/v1/experiments/{posted['id']}/pause").json()["runs"]
    assert sorted(run["displayed"] for run in paused) == ["paused", "paused", "pausing"]
    resumed = client.post(f"/v1/experiments/{posted['id']}/resume").json()["runs"]
    assert sorted(run["displayed"] for run in resumed) == ["queued", "queued", "running"]


def test_a_priority_moves_a_run_in_the_queue(client: TestClient, submit: Submit, worker: Worker) -> None:
    first, second = (submit()["runs"][0]["id"] for _ in range(2))
    assert client.get(f"/v1/runs/{second}").json()["waiting"]["before"] == 1
    changed = client.patch(f"/v1/runs/{second}", json={"priority": 1})
    assert (changed.status_code, changed.json()["priority"], changed.json()["waiting"]["before"]) == (200, 1, 0)
    assert client.patch(f"/v1/runs/{second}", json={"priority": 1}).status_code == 200
    assert worker.claim().run_id == second
    event = history(client, second)[1]
    assert (event["kind"], event["data"]["from"], event["data"]["to"], event["data"]["by"]) == ("priority", 0, 1, "ada")
    assert client.patch(f"/v1/runs/{first}", json={"priority": 101}).json()["errors"][0]["pointer"] == "/priority"


def test_the_spec_says_the_priority_and_the_longest_time(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    urgent = submit(priority=5, max_seconds=60.0)
    assert urgent["hash"] == submit()["hash"], "how soon and how long decides nothing of the training"
    held = worker.claim()
    assert (held.run_id, held.limit_s, held.trained_s) == (urgent["runs"][0]["id"], 60.0, 0.0)


def test_a_waiting_run_says_why_it_waits(client: TestClient, submit: Submit, engine: Engine) -> None:
    run_id = submit()["runs"][0]["id"]

    def reason() -> str:
        return str(client.get(f"/v1/runs/{run_id}").json()["waiting"]["reason"])

    assert reason() == "no worker of pool cpu has been seen"
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
        workers.beat(connection, "w1", "busy")
    assert reason() == "every worker of pool cpu is busy"
    with transaction(engine) as connection:
        workers.beat(connection, "w1", "unhealthy", detail="CUDA error")
    assert "takes runs now" in reason()
    with transaction(engine) as connection:
        workers.beat(connection, "w1", "idle")
    assert reason() == "it is about to start"


def test_workers_are_listed_with_what_they_do(client: TestClient, submit: Submit, engine: Engine) -> None:
    run_id = submit()["runs"][0]["id"]
    device = {"kind": "cpu", "name": "a processor", "memory_bytes": 2**30, "threads": 1}
    with transaction(engine) as connection:
        workers.announce(connection, "w2", "cpu", "host", 7, "1", device)
        workers.beat(connection, "w2", "busy", run_id)
        workers.announce(connection, "w1", "cpu", "host", 8, "1", device)
        workers.beat(connection, "w1", "gone")
    gone, busy = client.get("/v1/workers").json()["items"]
    assert (gone["name"], gone["state"]) == ("w1", "gone")
    assert (busy["state"], busy["run_id"], busy["device"], busy["pid"]) == ("busy", run_id, device, 7)
    assert 0 <= busy["beat_s"] < 60


def test_a_worker_does_not_tell_what_it_trains_for_another_project(
    client: TestClient, stranger: dict[str, str], submit: Submit, engine: Engine
) -> None:
    run_id = submit()["runs"][0]["id"]
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 8, "1", {"kind": "cpu"})
        workers.beat(connection, "w1", "busy", run_id)
    assert client.get("/v1/workers").json()["items"][0]["run_id"] == run_id
    answer = client.get("/v1/workers", headers=stranger)
    (seen,) = answer.json()["items"]
    assert (seen["state"], seen["run_id"]) == ("busy", None)
    assert run_id not in answer.text


def test_the_history_is_paged_oldest_first(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    run_id = trained(worker, 10, 20, 30)
    page = client.get(f"/v1/runs/{run_id}/history?limit=2")
    following = client.get(page.links["next"]["url"]).json()
    events = [*page.json()["items"], *following["items"]]
    assert [event["kind"] for event in events] == ["state", "state", "checkpoint", "checkpoint"]
    assert all(event["data"]["by"] and event["data"]["why"] for event in events)
    assert events[1]["data"]["by"] == "worker w1"


@pytest.mark.parametrize(("order", "start"), [({}, 20), ({"from": "checkpoint"}, 20), ({"from": "start"}, 0)])
def test_a_failed_run_is_retried_from_its_checkpoint_or_the_start(
    client: TestClient, submit: Submit, worker: Worker, order: dict[str, str], start: int
) -> None:
    posted = submit()
    held = worker.claim()
    worker.save(held, 20, points(1, 20))
    worker.finish(held, state=State.FAILED, failure={"code": "diverged", "detail": ""})
    answer = client.post(f"/v1/runs/{held.run_id}/retry", json=order)
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/runs/{made['id']}")
    assert (made["relation"], made["parent_run_id"], made["origin_step"]) == ("retry", held.run_id, start)
    assert made["experiment_id"] == posted["id"]
    again = worker.claim()
    assert (again.start_step, again.forked) == (start, False)
    experiment = client.get(f"/v1/experiments/{posted['id']}").json()
    assert [run["id"] for run in experiment["runs"]] == [held.run_id, made["id"]]
    assert experiment["superseded"] == [held.run_id]
    worker.finish(again, points(start + 1, 1000))
    asked = client.post("/v1/comparisons", json={"experiments": [posted["id"]]}).json()
    assert asked["groups"][0]["runs"] == [made["id"]], "the run that was retried does not count"


def test_the_same_idempotency_key_makes_one_run(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit()
    held = worker.claim()
    worker.flush(held, points(1, 50))
    worker.finish(held, state=State.CANCELLED)
    for action, order, other in (("retry", {"from": "start"}, {}), ("replay", {"steps": 20}, {"steps": 21})):
        path, headers = f"/v1/runs/{held.run_id}/{action}", {"Idempotency-Key": action}
        first, second = (client.post(path, json=order, headers=headers) for _ in range(2))
        assert first.json()["id"] == second.json()["id"]
        assert "Idempotent-Replayed" not in first.headers
        assert second.headers["Idempotent-Replayed"] == "true"
        assert "another request" in refused(client.post(path, json=other, headers=headers))
    assert len(client.get("/v1/runs").json()["items"]) == 3


def test_a_fork_goes_on_from_a_checkpoint_with_a_changed_spec(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit(seeds=[3])
    run_id = trained(worker, 100, 200)
    order = {"step": 100, "changes": {"optimizer": {"lr": 0.01}}}
    dry = client.post(f"/v1/runs/{run_id}/forks?dry_run=true", json=order)
    assert (dry.status_code, dry.json()["id"]) == (200, None)
    answer = client.post(f"/v1/runs/{run_id}/forks", json=order)
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/experiments/{made['id']}")
    assert made["name"] == "iris, forked at 100"
    assert made["id"] != posted["id"]
    assert made["spec"] == posted["spec"] | {"name": made["name"], "optimizer": made["spec"]["optimizer"]}
    assert made["spec"]["optimizer"]["lr"] == 0.01
    (run,) = made["runs"]
    assert (run["relation"], run["parent_run_id"], run["origin_step"], run["seed"]) == ("fork", run_id, 100, 3)
    assert (run["step"], run["checkpoint_step"]) == (100, 100)
    held = worker.claim()
    assert held.checkpoint is not None
    assert (held.start_step, held.forked, held.checkpoint.folder) == (100, True, "/nowhere/a1/100")
    worker.save(held, 150, points(101, 150))
    curve = client.get(f"/v1/runs/{held.run_id}/series?names=loss&points=all").json()["series"]["loss"]
    assert curve["step"] == list(range(101, 151))


def test_a_fork_without_a_step_starts_from_the_latest_checkpoint_and_step_0_from_the_beginning(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    held = worker.claim()
    fork = f"/v1/runs/{held.run_id}/forks"
    assert "no checkpoint yet" in refused(client.post(fork, json={}))
    worker.save(held, 10, points(1, 10))
    assert client.post(fork, json={}).json()["runs"][0]["origin_step"] == 10
    changed = {"step": 0, "changes": {"model": {"kind": "mlp"}}, "name": "wider"}
    made = client.post(fork, json=changed).json()
    assert (made["name"], made["spec"]["model"]["kind"], made["runs"][0]["origin_step"]) == ("wider", "mlp", 0)
    worker.claim()
    assert worker.claim().checkpoint is None


@pytest.mark.parametrize(
    ("order", "pointer"),
    [
        ({"step": 7}, "/step"),
        ({"changes": {"optimizer": {"lrr": 1}}}, "/changes/optimizer/lrr"),
        ({"changes": {"optimizer": {"lr": -1}}}, "/changes/optimizer/lr"),
        ({"changes": {"steps": 100}}, "/changes/steps"),
        ({"changes": {"seeds": [1, 2]}}, "/changes/seeds"),
        ({"changes": {"model": {"kind": "mlp"}}}, "/changes/model"),
        ({"changes": {"dataset": {"kind": "wine"}}}, "/changes/dataset"),
        ({"changes": {"preset": "iris-linear"}}, "/changes/preset"),
        ({"change": {}}, "/change"),
    ],
)
def test_what_is_wrong_with_a_fork_is_pointed_at_in_its_changes(
    client: TestClient, submit: Submit, worker: Worker, order: dict[str, Any], pointer: str
) -> None:
    submit()
    run_id = trained(worker, 100)
    answer = client.post(f"/v1/runs/{run_id}/forks", json=order)
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_a_replay_trains_the_same_again_and_counts_in_nothing(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    posted = submit()
    held = worker.claim()
    assert "not trained a step" in refused(client.post(f"/v1/runs/{held.run_id}/replay"))
    worker.finish(held, points(1, 1000))
    too_far = client.post(f"/v1/runs/{held.run_id}/replay", json={"steps": 1001})
    assert (too_far.status_code, too_far.json()["errors"][0]["pointer"]) == (422, "/steps")
    whole = client.post(f"/v1/runs/{held.run_id}/replay").json()
    first = client.post(f"/v1/runs/{held.run_id}/replay", json={"steps": 40}).json()
    assert (whole["total_steps"], first["total_steps"], first["relation"]) == (1000, 40, "replay")
    assert "replay" in refused(client.post(f"/v1/runs/{first['id']}/replay"))
    experiment = client.get(f"/v1/experiments/{posted['id']}").json()
    assert experiment["superseded"] == [whole["id"], first["id"]]
    asked = client.post("/v1/comparisons", json={"experiments": [posted["id"]]}).json()
    assert asked["groups"][0]["runs"] == [held.run_id]


def test_a_replay_and_a_retry_of_a_fork_start_where_the_fork_started(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    run_id = trained(worker, 100)
    client.post(f"/v1/runs/{run_id}/forks", json={"changes": {"optimizer": {"lr": 0.01}}})
    fork = worker.claim()
    worker.save(fork, 150, points(101, 150))
    worker.finish(fork, state=State.CANCELLED)
    client.post(f"/v1/runs/{fork.run_id}/replay")
    client.post(f"/v1/runs/{fork.run_id}/retry", json={"from": "start"})
    client.post(f"/v1/runs/{fork.run_id}/retry", json={"from": "checkpoint"})
    replay, start, checkpoint = worker.claim(), worker.claim(), worker.claim()
    assert (replay.start_step, replay.forked, replay.checkpoint) == (100, True, fork.checkpoint)
    assert (start.start_step, start.forked, start.checkpoint) == (100, True, fork.checkpoint)
    assert (checkpoint.start_step, checkpoint.forked) == (150, False)
    worker.finish(checkpoint, state=State.CANCELLED)
    client.post(f"/v1/runs/{checkpoint.run_id}/retry", json={"from": "start"})
    assert worker.claim().start_step == 100, "the start of the whole line, not of the retry"
