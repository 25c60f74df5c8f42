"""Checkpoints of real runs: damaged ones are passed over, full disks end nothing, left-overs go, buckets serve."""

import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.product import Process, Product
from tests.harness.waiting import until

from .reference import Curve, train_undisturbed

SLOW = {
    "batch_size": 2,
    "epochs": 4,
    "optimizer": {"kind": "sgd", "lr": 0.002},
    "checkpoint": {"every_steps": 300},
    "seeds": [3],
}
TOTAL = 4 * 719


@pytest.fixture(scope="module")
def whole() -> Curve:
    """The curve of the spec when nothing goes wrong, computed here."""
    return train_undisturbed(SLOW)


def events(stack: Product, run: str, kind: str) -> list[dict[str, Any]]:
    """What was said of a run."""
    return [
        data for (data,) in stack.sql("SELECT data FROM event WHERE run_id = %s AND kind = %s ORDER BY id", run, kind)
    ]


def steps(stack: Product, run: str) -> dict[int, dict[str, Any]]:
    return {each["step"]: each for each in stack.get(f"/v1/runs/{run}/checkpoints")["items"] if each["kept"]}


def test_damaged_ones_are_passed_over_and_without_any_the_run_begins_anew(
    own_stack: Product, spec: Callable[..., dict[str, Any]], whole: Curve
) -> None:
    own_stack.environment["SADDLE_LEASE_WINDOW_S"] = "600"  # who starts again under its name takes its run back at once
    own_stack.start_api()
    worker = own_stack.start_worker()
    root = own_stack.home / "data" / "checkpoints"
    run = own_stack.post("/v1/experiments", spec(name="hurt", **SLOW))["runs"][0]["id"]
    until(lambda: len(steps(own_stack, run)) == 2)
    worker.kill()
    worker.wait()
    newest, before = sorted(steps(own_stack, run), reverse=True)
    with next(root.glob(f"{run}/a1-*/step-{newest}/tensors.safetensors")).open("r+b") as file:
        file.truncate(1000)
    attempt = next(root.glob(f"{run}/a1-*"))
    for left in (f"step-{newest + 1}", ".step-7.4711"):  # written, and died before the row; half-written
        (attempt / left).mkdir()
        (attempt / left / "state.json").write_text("{}")
    foreign = root / "run_of_another_database" / "a1-00000000" / "step-1"
    foreign.mkdir(parents=True)
    worker = own_stack.start_worker()
    until(
        lambda: (
            own_stack.run(run)["attempt"] == 3
            and len(steps(own_stack, run)) == 2
            and own_stack.run(run)["step"] > newest
        )
    )
    attempts = own_stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert [each["ending"] for each in attempts[:2]] == ["lost", "checkpoint_damaged"]
    assert attempts[2]["start_step"] == before
    assert not (attempt / f"step-{newest + 1}").exists()
    assert not (attempt / ".step-7.4711").exists()
    assert foreign.exists()
    worker.kill()
    worker.wait()
    for path in root.glob(f"{run}/*/step-*/state.json"):
        path.unlink()
    own_stack.start_worker()
    done = own_stack.wait_for_end(run)
    assert done["state"] == "succeeded"
    attempts = own_stack.get(f"/v1/runs/{run}/attempts")["items"]
    assert [each["ending"] for each in attempts[3:]] == ["checkpoint_damaged"] * 2 + ["succeeded"]
    assert attempts[-1]["start_step"] == 0
    assert own_stack.exact_series(run) == whole
    told = events(own_stack, run, "checkpoint_damaged")
    assert [each["goes_on_from"] for each in told][-1] == 0


def test_a_disk_that_is_full_pauses_the_run_after_three_and_the_old_checkpoint_is_good(
    own_stack: Product, spec: Callable[..., dict[str, Any]], trainer_of: Callable[[Process], int]
) -> None:
    own_stack.start_api()
    worker = own_stack.start_worker()
    run = own_stack.post("/v1/experiments", spec(name="full", **SLOW))["runs"][0]["id"]
    until(lambda: steps(own_stack, run))
    trainer = trainer_of(worker)
    resource.prlimit(trainer, resource.RLIMIT_FSIZE, (1000, resource.prlimit(trainer, resource.RLIMIT_FSIZE)[1]))
    paused = until(lambda: found if (found := own_stack.run(run))["state"] == "paused" else None)
    assert paused["step"] >= paused["checkpoint_step"] + 900
    ending = own_stack.get(f"/v1/runs/{run}/attempts")["items"][-1]
    assert ending["ending"] == "checkpoint_failed"
    assert "3 checkpoints in a row could not be saved" in ending["detail"]
    assert "File too large" in ending["detail"]
    told = events(own_stack, run, "checkpoint_failed")
    assert [each["in_a_row"] for each in told] == [1, 2, 3]
    newest = max(steps(own_stack, run))
    assert newest == paused["checkpoint_step"] >= 300
    assert own_stack.http.get(f"/v1/runs/{run}/checkpoints/{newest}/state.json").json()["step"] == newest


def test_a_bucket_keeps_what_another_worker_goes_on_from(
    own_stack: Product,
    spec: Callable[..., dict[str, Any]],
    trainer_of: Callable[[Process], int],
    s3: dict[str, str],
    whole: Curve,
    tmp_path: Path,
) -> None:
    own_stack.environment |= s3 | {"SADDLE_CHECKPOINT_URL": f"s3://saddle/{tmp_path.name}"}
    own_stack.start_api()
    worker = own_stack.start_worker("w1")
    run = own_stack.post("/v1/experiments", spec(name="bucket", **SLOW))["runs"][0]["id"]
    until(lambda: len(steps(own_stack, run)) == 2)
    environ = Path(f"/proc/{trainer_of(worker)}/environ").read_bytes()
    assert b"AWS_" not in environ  # a trainer has no credentials
    worker.kill()
    worker.wait()
    other = own_stack.start_worker("w2", SADDLE_DATA_DIR=str(tmp_path / "another-disk"))
    done = own_stack.wait_for_end(run)
    assert (done["state"], done["attempt"], done["worker"]) == ("succeeded", 2, "w2")
    assert own_stack.get(f"/v1/runs/{run}/attempts")["items"][1]["start_step"] >= 600
    assert own_stack.exact_series(run) == whole
    assert max(steps(own_stack, run)) == TOTAL
    assert own_stack.http.get(f"/v1/runs/{run}/checkpoints/{TOTAL}/state.json").json()["step"] == TOTAL
    left = list((tmp_path / "another-disk").rglob("tensors.safetensors"))
    assert len(left) <= 1  # at most what it began with: the rest was sent away
    drained = own_stack.post("/v1/experiments", spec(name="drained", **SLOW | {"epochs": 100}))["runs"][0]["id"]
    own_stack.wait_for_step(drained, 150)
    other.send_signal(signal.SIGTERM)
    assert other.wait(60) == 0
    waiting = own_stack.run(drained)
    assert (waiting["state"], waiting["checkpoint_step"]) == ("queued", waiting["step"])  # its last one arrived
