"""Trying a remedy over HTTP: from where, with what, and what is made of the runs once they have ended."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.access.principal import Principal
from service.db.metrics.codec import Chunk, pack
from service.db.runs.claims import Claim
from service.db.session import transaction
from service.diagnosis import diagnose
from service.lifecycle import State
from service.verification import try_remedy
from service.verification.answers import verifications_of
from tests.experiments.test_probe_jobs import escaped
from tests.fixtures.api import Worker
from tests.harness.statements import sent_statements
from tests.harness.waiting import until
from tests.verification.test_replays import forget_points

Submit = Callable[..., dict[str, Any]]
DIVERGED = {"code": "diverged", "detail": "the loss is nan at step 200", "step": 200}
SADDLE = {"id": "R10", "verdict": "strict_saddle", "text": "It rests at a saddle.", "patch": None, "steps": [15, 40]}


def curve(first: int, last: int, level: float) -> dict[str, Chunk]:
    steps = np.arange(first, last + 1)
    values = np.full(len(steps), level)
    return {"loss": pack(steps, values), "val/loss": pack(steps, values), "lr": pack(steps, values)}


def diverged(worker: Worker) -> Claim:
    """A run that climbed to NaN, with checkpoints before."""
    held = worker.claim()
    losses = 1.1 * 1.05 ** np.arange(1, 201)
    losses[-1] = np.nan
    for first, last in ((1, 100), (101, 150)):
        worker.save(held, last, {"loss": pack(np.arange(first, last + 1), losses[first - 1 : last])})
    worker.finish(held, {"loss": pack(np.arange(151, 201), losses[150:])}, State.FAILED, DIVERGED)
    return held


def verified(client: TestClient, run: str, finding: str = "R1", **order: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/runs/{run}/diagnosis/{finding}/verify", json=order)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(client: TestClient, run: str, finding: str = "R1") -> Any:
    return client.get(f"/v1/runs/{run}/diagnosis/{finding}/verify").json()["items"]


def test_a_remedy_is_tried_from_the_last_healthy_checkpoint_and_helps_where_only_the_other_run_diverges(
    client: TestClient, submit: Submit, worker: Worker
) -> None:
    submit()
    run = diverged(worker).run_id
    made = verified(client, run)
    assert (made["from_step"], made["state"], made["outcome"], made["remedy"]) == (150, "running", None, "patch")
    for side in ("control", "patched"):
        assert (made[side]["relation"], made[side]["origin_step"], made[side]["seed"]) == ("fork", 150, 0)
    control, patched = worker.claim(), worker.claim()
    assert (control.run_id, patched.run_id) == (made["control"]["id"], made["patched"]["id"])
    assert (control.start_step, patched.start_step) == (150, 150)
    assert control.spec["optimizer"]["lr"] == 0.1
    assert patched.spec["optimizer"]["lr"] < 0.1
    assert {k: v for k, v in control.spec.items() if k not in ("name", "optimizer", "schedule", "clip")} == {
        k: v for k, v in patched.spec.items() if k not in ("name", "optimizer", "schedule", "clip")
    }
    worker.finish(control, curve(151, 200, np.nan), State.FAILED, DIVERGED)
    assert listed(client, run)[0]["state"] == "running"
    worker.finish(patched, curve(151, 1000, 0.5))
    (found,) = listed(client, run)
    assert (found["state"], found["outcome"]) == ("done", "helped")
    assert found["why"] == "the run diverged without the remedy but not with it."
    assert (found["measured"]["series"], found["measured"]["patched"]["last"]) == ("val/loss", 0.5)


def test_several_seeds_are_judged_one_by_one_and_together(client: TestClient, submit: Submit, worker: Worker) -> None:
    submit(seeds=[7])
    run = diverged(worker).run_id
    made = verified(client, run, seeds=3)
    assert [pair["seed"] for pair in made["pairs"]] == [7, 8, 9]
    levels = {"control": [1.0, 1.0, 1.0], "patched": [0.5, 0.5, 1.1]}
    for side in ("control", "patched"):
        for level in levels[side]:
            worker.finish(worker.claim(), curve(151, 1000, level))
    (found,) = listed(client, run)
    assert [each["result"] for each in found["measured"]["seeds"]] == ["helped", "helped", "did_not_help"]
    assert found["outcome"] == "undecided"
    assert found["why"].startswith("Of 3 seeds: 2 helped, 1 did not help; the mean gain of 0.3 is within the noise")


def test_a_judgement_is_stored_until_a_run_is_retried_or_the_rules_change(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    run = diverged(worker).run_id
    made = verified(client, run)
    worker.finish(worker.claim(), curve(151, 200, np.nan), State.FAILED, DIVERGED)
    worker.finish(worker.claim(), curve(151, 1000, 0.5))
    first = listed(client, run)
    assert first[0]["outcome"] == "helped"
    forget_points(worker)
    assert listed(client, run) == first, "the second look reads no points"
    with monkeypatch.context() as patch:
        patch.setattr(diagnose, "VERSION", "other")
        assert listed(client, run)[0]["measured"]["patched"] is None, "other rules judge anew, now without points"
    assert client.post(f"/v1/runs/{made['control']['id']}/retry").status_code == 201
    assert listed(client, run)[0]["state"] == "running"
    worker.finish(worker.claim(), curve(151, 1000, 0.1))
    assert listed(client, run)[0]["measured"]["control"]["last"] == pytest.approx(0.1)


def finding(monkeypatch: pytest.MonkeyPatch, **found: Any) -> None:
    monkeypatch.setattr(try_remedy, "find_finding", lambda *_: SADDLE | found)


def test_a_remedy_that_changes_the_model_begins_at_the_beginning(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    run = diverged(worker).run_id
    patch = [{"op": "replace", "path": "/model", "value": {"kind": "mlp", "hidden": [4]}}]
    finding(monkeypatch, id="R13", verdict="dying_relu", patch=patch, steps=[120, 200])
    assert verified(client, run, "R13")["from_step"] == 0
    assert [worker.claim().checkpoint for _ in range(2)] == [None, None]


def test_a_loss_of_another_meaning_is_not_compared(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    run = diverged(worker).run_id
    patch = [{"op": "replace", "path": "/loss/label_smoothing", "value": 0.1}]
    finding(monkeypatch, id="R26", verdict="x", patch=patch, steps=[120, 200])
    verified(client, run, "R26")
    for level in (0.5, 0.9):
        worker.finish(worker.claim(), curve(101, 1000, 1.0) | {"val/accuracy": pack([1000], [level])})
    (found,) = listed(client, run, "R26")
    assert (found["measured"]["series"], found["outcome"]) == ("val/accuracy", "helped")


def test_the_way_out_of_a_saddle_is_looked_for_first_and_then_forked_from(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    held = worker.claim()
    for first, last in ((1, 10), (11, 20)):
        worker.save(held, last, curve(first, last, 1.0))
    worker.finish(held, curve(21, 40, 1.0))
    finding(monkeypatch)
    made = verified(client, held.run_id, "R10")
    assert (made["state"], made["remedy"], made["from_step"], made["patched"]) == ("looking", "escape", 20, None)
    claims = {claim.run_id: claim for claim in (worker.claim(), worker.claim())}
    job, control = claims[made["job"]["id"]], claims[made["control"]["id"]]
    assert job.task is not None
    worker.finish(control, curve(21, 1000, 1.0))
    escaped(worker, job, 20)
    worker.finish(job)
    patched = until(lambda: listed(client, held.run_id, "R10")[0]["patched"])
    fork = worker.claim()
    assert (fork.run_id, fork.start_step, fork.forked) == (patched["id"], 20, True)
    assert fork.checkpoint is not None
    assert fork.checkpoint.sha256 == "1" * 64, "the state that the job left"
    worker.finish(fork, curve(21, 1000, 0.5))
    assert listed(client, held.run_id, "R10")[0]["outcome"] == "helped"


def test_where_a_run_stood_at_its_saddle_to_the_end_both_train_on_for_as_long_again(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(steps=40)
    held = worker.claim()
    worker.save(held, 40, curve(1, 40, 1.0))
    worker.finish(held)
    finding(monkeypatch)
    made = verified(client, held.run_id, "R10")
    assert made["from_step"] == 40
    claims = {claim.run_id: claim for claim in (worker.claim(), worker.claim())}
    job, control = claims[made["job"]["id"]], claims[made["control"]["id"]]
    worker.finish(control, curve(41, 80, 1.0))
    escaped(worker, job, 40)
    worker.finish(job)
    until(lambda: listed(client, held.run_id, "R10")[0]["patched"])
    worker.finish(worker.claim(), curve(41, 80, 0.5))
    (found,) = listed(client, held.run_id, "R10")
    assert [found[side]["total_steps"] for side in ("control", "patched")] == [80, 80]
    assert found["outcome"] == "helped"


def test_a_job_that_finds_no_way_out_ends_it(
    client: TestClient, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    held = worker.claim()
    worker.finish(held, curve(1, 40, 1.0))
    finding(monkeypatch)
    made = verified(client, held.run_id, "R10")
    assert made["from_step"] == 0
    for _ in range(2):
        worker.finish(worker.claim())
    found = until(lambda: (one := listed(client, held.run_id, "R10")[0])["state"] == "failed" and one)
    assert found["why"] == "No way out of the saddle was found: the job found no lower point."
    assert found["outcome"] is None


def test_what_cannot_be_tried_is_refused_and_a_key_makes_one(
    client: TestClient, submit: Submit, worker: Worker, stranger: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    run = diverged(worker).run_id
    path = f"/v1/runs/{run}/diagnosis"
    assert "its findings: R1" in client.post(f"{path}/R99/verify").json()["detail"]
    assert client.post(f"{path}/R1/verify", headers=stranger).status_code == 404
    assert client.get(f"{path}/R1/verify", headers=stranger).status_code == 404
    assert client.post(f"{path}/R1/verify", json={"seeds": 6}).status_code == 422
    key = {"Idempotency-Key": "once"}
    first, second = (client.post(f"{path}/R1/verify", headers=key) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert len(listed(client, run)) == 1
    finding(monkeypatch, verdict="flat", patch=None)
    assert client.post(f"{path}/R10/verify").status_code == 409
    finding(monkeypatch, verdict="flat", patch=[{"op": "replace", "path": "/nothing/here", "value": 1}])
    assert "no longer fits" in client.post(f"{path}/R10/verify").json()["detail"]


def test_a_deleted_experiment_takes_its_verifications_along(client: TestClient, submit: Submit, worker: Worker) -> None:
    experiment = submit()["id"]
    run = diverged(worker).run_id
    made = verified(client, run)
    for side in ("control", "patched"):
        worker.finish(worker.claim(), curve(151, 160, 1.0))
        fork = made[side]["experiment_id"]
        assert client.delete(f"/v1/experiments/{fork}?forever=true").status_code == 204
    (found,) = listed(client, run)
    assert (found["state"], found["outcome"], found["control"]) == ("done", "undecided", None)
    assert client.delete(f"/v1/experiments/{experiment}?forever=true").status_code == 204
    with transaction(worker.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM judgement")).scalar_one() == 0


def test_judging_many_verifications_takes_as_many_statements_as_judging_few(
    client: TestClient, submit: Submit, worker: Worker, principal: Principal
) -> None:
    submit()
    run = diverged(worker).run_id
    judged, read = [], []
    for count, seeds in ((2, 1), (8, 3)):
        for _ in range(count):
            verified(client, run, seeds=seeds)
        for _ in range(2 * count * seeds):
            worker.finish(worker.claim(), curve(151, 160, 0.5))
        for sent in (judged, read):
            with transaction(worker.engine) as connection, sent_statements() as statements:
                found = verifications_of(connection, principal, run, "R1").items
            assert {each.state for each in found} == {"done"}
            sent.append(len(statements))
    assert len(found) == 10
    assert judged[0] == judged[1] > read[0] == read[1], "what was judged is stored"
