"""POST a spec, a worker trains it, the curves stream into Postgres, two experiments are compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.product import Process, Product, arguments_of


def test_a_posted_spec_trains_and_its_curve_is_complete(stack: Product, spec: Callable[..., dict[str, Any]]) -> None:
    made = stack.post("/v1/experiments", spec(name="complete"))
    (run,) = made["runs"]
    done = stack.wait_for_end(run["id"])
    assert done["state"] == "succeeded", done
    total = made["derived"]["total_steps"]
    steps, loss = stack.exact_series(run["id"])
    assert steps == list(range(1, total + 1))
    assert sum(loss[-45:]) / 45 < 0.2 < 1.5 < loss[0]
    _, rates = stack.exact_series(run["id"], "lr")
    assert rates == [0.05] * total
    accuracy = done["series"]["val/accuracy"]
    assert accuracy["n"] == 4
    assert accuracy["last"] > 0.9


def test_the_same_spec_gives_the_same_curve_bit_for_bit(stack: Product, spec: Callable[..., dict[str, Any]]) -> None:
    runs = [stack.post("/v1/experiments", spec(name="twin", epochs=1, seeds=[5]))["runs"][0]["id"] for _ in range(2)]
    for run in runs:
        assert stack.wait_for_end(run)["state"] == "succeeded"
    assert stack.exact_series(runs[0]) == stack.exact_series(runs[1])


def test_two_experiments_over_seeds_are_compared(stack: Product, spec: Callable[..., dict[str, Any]]) -> None:
    slow = stack.post(
        "/v1/experiments", spec(name="small rate", epochs=2, seeds=[0, 1], optimizer={"kind": "sgd", "lr": 1e-4})
    )
    fast = stack.post("/v1/experiments", spec(name="usual rate", epochs=2, seeds=[0, 1]))
    for run in [*slow["runs"], *fast["runs"]]:
        assert stack.wait_for_end(run["id"])["state"] == "succeeded"
    answer = stack.post("/v1/comparisons", {"experiments": [slow["id"], fast["id"]], "series": ["val/loss", "loss"]})
    assert stack.get(f"/v1/comparisons/{answer['id']}")["groups"] == answer["groups"]
    best = {group["label"]: group["series"]["val/loss"]["best"] for group in answer["groups"]}
    assert best["usual rate"]["mean"] < best["small rate"]["mean"]
    assert best["usual rate"]["n"] == 2
    assert answer["difference"]["/optimizer/lr"]["values"] == [1e-4, 0.05]


def test_points_and_states_arrive_live_and_a_broken_stream_resumes(
    stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    run = stack.post("/v1/experiments", spec(name="live", epochs=100))["runs"][0]["id"]
    seen: list[int] = []
    last_id = ""
    rounds = 0
    ended = False
    while not ended:
        rounds += 1
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with stack.http.stream("GET", f"/v1/runs/{run}/events", headers=headers) as stream:
            kind, taken = "", 0
            for line in stream.iter_lines():
                if line.startswith("event:"):
                    kind = line[6:].strip()
                elif line.startswith("id:"):
                    last_id = line[3:].strip()
                elif line.startswith("data:") and kind == "points":
                    seen += json.loads(line[5:])["series"].get("loss", {"step": []})["step"]
                    taken += 1
                elif not line and kind == "end":
                    ended = True
                elif not line and taken == 3:
                    break  # hang up in the middle and come back
    assert seen == list(range(1, 100 * 45 + 1))
    assert rounds > 1


def test_a_running_run_is_cancelled_within_two_seconds(stack: Product, spec: Callable[..., dict[str, Any]]) -> None:
    run = stack.post("/v1/experiments", spec(name="long", epochs=100_000))["runs"][0]["id"]
    stack.wait_for_step(run, 10)
    stack.post(f"/v1/runs/{run}/cancel", {}, status=202)
    done = stack.wait_for_end(run, seconds=2)
    assert done["state"] == "cancelled"
    steps, _ = stack.exact_series(run)
    assert steps == list(range(1, len(steps) + 1))


def test_a_diverging_run_fails_with_its_reason_and_its_last_number(
    stack: Product, spec: Callable[..., dict[str, Any]]
) -> None:
    bad = spec(name="diverges", dataset={"kind": "diabetes", "target_scaling": "none"}, loss={"kind": "mse"})
    run = stack.post("/v1/experiments", bad | {"optimizer": {"kind": "sgd", "lr": 10.0}})["runs"][0]["id"]
    done = stack.wait_for_end(run)
    assert done["state"] == "failed"
    assert done["failure"]["code"] == "diverged"
    _, loss = stack.exact_series(run)
    assert loss[-1] in ("NaN", "Infinity")
    assert done["series"]["loss"]["nonfinite"] == 1


def test_anybody_with_sql_sees_plain_rows(stack: Product, spec: Callable[..., dict[str, Any]]) -> None:
    run = stack.post("/v1/experiments", spec(name="sql", epochs=1))["runs"][0]["id"]
    stack.wait_for_end(run)
    rows = stack.sql("SELECT step, value FROM metric_point WHERE run = %s AND name = 'loss' ORDER BY step", run)
    steps, loss = stack.exact_series(run)
    assert rows == list(zip(steps, loss, strict=True))


def test_the_trainer_has_no_credentials(stack: Product, trainer_of: Callable[[Process], int]) -> None:
    worker = next(p for p in stack.processes if "worker" in arguments_of(p))
    environment = Path(f"/proc/{trainer_of(worker)}/environ").read_bytes()
    assert b"SADDLE_DEVICE" in environment
    assert b"DATABASE_URL" not in environment
    assert b"BROKER_URL" not in environment
