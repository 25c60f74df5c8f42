"""When a checkpoint is written: due by the clock or the step, or after the best evaluation that is on disk."""

from typing import Any

from worker.trainer.checkpoints.policy import CheckpointPolicy, SaveReason


def test_a_failed_write_leaves_the_best_of_an_older_checkpoint(experiment: Any) -> None:
    policy = CheckpointPolicy(experiment(checkpoint={"best": {"series": "val/loss"}}), 1e9)
    first, second = SaveReason("best", 0.8), SaveReason("best", 0.5)
    assert policy.reason_to_save(1, {"val/loss": 0.8}) == first
    assert policy.start_attempt(first) == {"reason": "best", "best": 0.8}
    policy.end_attempt(saved=True)
    assert policy.start_attempt(second) == {"reason": "best", "best": 0.5}
    assert policy.reason_to_save(2, {"val/loss": 0.6}) is None  # 0.5 is being written
    policy.end_attempt(saved=False)
    assert policy.reason_to_save(3, {"val/loss": 0.6}) == SaveReason("best", 0.6)
    assert policy.start_attempt(SaveReason("due"))["best"] == 0.8


def test_the_time_counts_from_the_start_and_again_from_the_end_of_a_write(experiment: Any) -> None:
    now = [0.0]
    policy = CheckpointPolicy(experiment(), 60.0, clock=lambda: now[0])
    due = SaveReason("due")
    seen = {}
    for now[0] in (59.0, 60.0):
        seen[now[0]] = policy.reason_to_save(1, None)
    assert seen == {59.0: None, 60.0: due}
    policy.start_attempt(due)
    now[0] = 119.0
    assert policy.reason_to_save(2, None) is None
    policy.end_attempt(saved=True)
    now[0] = 178.0
    assert policy.reason_to_save(3, None) is None
    now[0] = 179.0
    assert policy.reason_to_save(3, None) == due
