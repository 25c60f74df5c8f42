"""Stop rules: each ends a run at the step that was predicted, as succeeded, and says so."""

from typing import Any

import pytest
import torch

from service.spec.training import Patience, Stop, StopTarget, allowed_nonfinite
from worker.trainer.loop import prepare, train
from worker.trainer.step.stopping import Stopping, describe_stop

CPU = torch.device("cpu")


class Clock:
    """Seconds by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_value_beyond_a_target_ends_it() -> None:
    stopping = Stopping(Stop(target=StopTarget(series="val/accuracy", above=0.9)))
    for step, value in ((10, 0.5), (20, 0.9)):
        stopping.after_evaluation(step, {"val/accuracy": value})
    assert stopping.ended is None
    stopping.after_evaluation(30, {"val/accuracy": torch.tensor(0.95)})
    assert stopping.ended is not None
    assert (stopping.ended["rule"], stopping.ended["step"]) == ("target", 30)
    assert describe_stop(stopping.ended) == "stopped at step 30 by target: val/accuracy 0.95 (limit 0.9)"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_beyond_no_target(value: float) -> None:
    stopping = Stopping(Stop(target=StopTarget(series="val/loss", below=1.0)))
    stopping.after_evaluation(1, {"val/loss": value})
    assert stopping.ended is None


@pytest.mark.parametrize(
    ("series", "values", "ends_at"),
    [
        ("val/loss", [3.0, 2.0, 2.0, 2.5, 1.0], 4),  # the best at 2, then two without a gain
        ("val/loss", [3.0, 2.9, 2.8, 2.7], 0),
        ("val/loss", [float("nan")] * 3, 2),
        ("val/loss", [float("inf"), 2.0, 1.0], 0),
        ("val/accuracy", [0.1, 0.2, 0.15, 0.3, 0.2, 0.3], 6),
    ],
)
def test_patience_counts_evaluations_without_a_new_best(series: Any, values: list[float], ends_at: int) -> None:
    stopping = Stopping(Stop(patience=Patience(series=series, evaluations=2)))
    for step, value in enumerate(values, 1):
        stopping.after_evaluation(step, {series: value})
        if stopping.ended:
            break
    assert (stopping.ended or {}).get("step", 0) == ends_at


def test_a_gain_of_min_delta_is_none() -> None:
    stopping = Stopping(Stop(patience=Patience(series="val/loss", evaluations=1, min_delta=0.5)))
    stopping.after_evaluation(1, {"val/loss": 2.0})
    stopping.after_evaluation(2, {"val/loss": 1.4})
    assert stopping.ended is None
    stopping.after_evaluation(3, {"val/loss": 0.9})
    assert stopping.ended is not None


def test_patience_goes_on_over_a_checkpoint() -> None:
    rules = Stop(patience=Patience(series="val/loss", evaluations=3))
    first, second = Stopping(rules), Stopping(rules)
    for step, value in ((1, 1.0), (2, 2.0), (3, 2.0)):
        first.after_evaluation(step, {"val/loss": value})
    second.load(first.document())
    second.after_evaluation(4, {"val/loss": 1.5})  # no new best, and the third in a row
    assert (second.ended or {})["step"] == 4


def test_seconds_are_of_training_and_add_up_over_attempts() -> None:
    clock = Clock()
    first = Stopping(Stop(seconds=10), clock)
    clock.now = 100.0  # built, then waited
    first.begin()
    for step in range(1, 4):
        clock.now += 2
        first.after_step(step, {})
    assert (first.spent, first.ended) == (6.0, None)
    second = Stopping(Stop(seconds=10), clock)
    second.load(first.document())
    clock.now += 1000
    second.begin()
    clock.now += 3.5
    second.after_step(4, {})
    assert second.ended is None
    clock.now += 0.5
    second.after_step(5, {})
    assert (second.ended or {})["rule"] == "seconds"


def test_the_first_rule_that_holds_is_the_one_noted() -> None:
    stopping = Stopping(Stop(grad_norm_below=1.0, target=StopTarget(series="loss", below=5)))
    stopping.after_step(3, {"grad_norm": 0.5})
    stopping.after_evaluation(3, {"loss": 1.0})
    assert (stopping.ended or {})["rule"] == "grad_norm_below"


def test_a_gradient_norm_ends_the_run_at_the_predicted_step(experiment: Any) -> None:
    """The norms of the free run say at which step the rule first holds; the last step is evaluated."""
    spec: dict[str, Any] = {"batch_size": "full", "steps": 60, "optimizer": {"kind": "sgd", "lr": 0.5}}
    free = list(train(prepare(experiment(**spec, clip={"norm": 1e6}), 0, CPU)))
    norms = {s.step: float((s.metrics or {})["grad_norm"]) for s in free}
    limit = sorted(norms.values())[20]
    predicted = min(step for step, norm in norms.items() if norm < limit)
    assert 1 < predicted < 60
    training = prepare(experiment(**spec, stop={"grad_norm_below": limit}, evaluate={"every_steps": 1000}), 0, CPU)
    steps = list(train(training))
    assert steps[-1].step == training.step == predicted
    assert [s.loss.item() for s in steps] == [s.loss.item() for s in free[:predicted]]
    assert {"val/loss", "grad_norm"} <= set(steps[-1].metrics or {})


def test_a_target_ends_the_run_at_the_evaluation_that_reaches_it(experiment: Any) -> None:
    free = list(train(prepare(experiment(evaluate={"every_steps": 5}), 0, CPU)))
    losses = {s.step: float(s.metrics["val/loss"]) for s in free if s.metrics}
    stop = {"target": {"series": "val/loss", "below": losses[25] + 1e-9}}
    training = prepare(experiment(evaluate={"every_steps": 5}, stop=stop), 0, CPU)
    assert list(train(training))[-1].step == min(s for s, v in losses.items() if v < losses[25] + 1e-9)


def test_without_a_validation_part_the_training_loss_can_still_end_it(experiment: Any) -> None:
    data = {"kind": "iris", "validation": 0.0}
    stop = {"target": {"series": "loss", "below": 100}}
    training = prepare(experiment(dataset=data, evaluate={"every_steps": 7}, stop=stop), 0, CPU)
    steps = list(train(training))
    assert steps[-1].step == 7
    assert (training.ended or {})["series"] == "loss"


def test_what_nonfinite_says_is_how_many_in_a_row_are_borne(experiment: Any) -> None:
    assert allowed_nonfinite(experiment().nonfinite) == 0
    assert allowed_nonfinite(experiment(nonfinite="continue").nonfinite) is None
    assert allowed_nonfinite(experiment(nonfinite={"stop_after": 3}).nonfinite) == 2
