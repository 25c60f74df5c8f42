"""Classes of unequal size: weights as scikit-learn counts them, and draws that make every class as likely."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.losses.binary import BCEWithLogits
from service.spec.losses.classification import CrossEntropy
from worker.trainer.data.balance import balance_loss
from worker.trainer.data.batches import Batches
from worker.trainer.data.row_shares import balanced_shares
from worker.trainer.data.split import split_dataset
from worker.trainer.loop import Training, prepare, train
from worker.trainer.probes.scratch_training import scratch_copy

CPU = torch.device("cpu")
Y = np.repeat([0, 1, 2], [80, 15, 5])


def spec(**more: Any) -> Experiment:
    document = {
        "dataset": {"kind": "wine"},
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "cross_entropy", "weight": "balanced"},
        "optimizer": {"kind": "sgd", "lr": 0.05},
        "batch_size": 32,
        "epochs": 3,
    }
    return Experiment.model_validate(document | more)


def losses(training: Training) -> list[float]:
    return [float(step.loss) for step in train(training)]


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    found = balance_loss(CrossEntropy(weight="balanced"), Y, 3)
    assert isinstance(found, CrossEntropy)
    np.testing.assert_allclose(found.weight, compute_class_weight("balanced", classes=np.arange(3), y=Y))
    lacking = balance_loss(CrossEntropy(weight="balanced"), Y[Y < 2], 3)
    assert isinstance(lacking, CrossEntropy)
    np.testing.assert_allclose(
        lacking.weight, [*compute_class_weight("balanced", classes=np.arange(2), y=Y[Y < 2]), 1.0]
    )
    binary = balance_loss(BCEWithLogits(pos_weight="balanced"), np.repeat([0, 1], [30, 10]), 2)
    assert isinstance(binary, BCEWithLogits)
    assert binary.pos_weight == 3.0


def test_a_run_counts_its_training_rows_and_equals_one_with_these_numbers() -> None:
    counted = prepare(spec(), 0, CPU)
    weights = compute_class_weight("balanced", classes=np.arange(3), y=split_dataset(spec().dataset).train.y)
    assert counted.fitted["class_weights"] == {"weight": tuple(weights)}
    given = prepare(spec(loss={"kind": "cross_entropy", "weight": tuple(weights)}), 0, CPU)
    assert "class_weights" not in given.fitted
    assert torch.equal(scratch_copy(counted).criterion.weight, counted.criterion.weight)  # type: ignore[arg-type]
    assert losses(counted) == losses(given)


def test_each_class_is_drawn_as_often_and_the_draws_follow_from_seed_and_epoch() -> None:
    y = torch.from_numpy(Y)
    shares = balanced_shares(y, 3)
    assert float(shares.sum()) == pytest.approx(1.0)
    batches = Batches(y.float().reshape(-1, 1), y, 10, seed=3, shares=shares)
    forward = [batches.batch(step)[1] for step in range(1, 301)]
    drawn = torch.bincount(torch.cat(forward), minlength=3) / 3000
    assert torch.allclose(drawn, torch.full((3,), 1 / 3), atol=0.04)  # 4.6 standard deviations
    again = Batches(y.float().reshape(-1, 1), y, 10, seed=3, shares=shares)
    for step in (300, 1, 150):
        assert torch.equal(again.batch(step)[1], forward[step - 1])
    assert not torch.equal(forward[0], forward[10])


def test_a_run_that_resumes_draws_what_it_would_have_drawn() -> None:
    sampled = spec(sampler={"kind": "balanced"}, loss={"kind": "cross_entropy"})
    whole = losses(prepare(sampled, 0, CPU))
    first, second = prepare(sampled, 0, CPU), prepare(sampled, 0, CPU)
    started = [float(step.loss) for step in islice(train(first), 6)]
    second.load(first.state())
    assert started + losses(second) == whole
    assert whole != losses(prepare(spec(loss={"kind": "cross_entropy"}), 0, CPU))


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"sampler": {"kind": "balanced"}, "batch_size": "full"}, "/sampler"),
        ({"sampler": {"kind": "balanced"}, "shuffle": False}, "/sampler"),
        ({"sampler": {"kind": "balanced"}, "dataset": {"kind": "diabetes"}, "loss": {"kind": "mse"}}, "/sampler"),
    ],
)
def test_what_has_no_classes_to_balance_is_refused(more: Any, pointer: str) -> None:
    assert pointer in [problem.pointer for problem in find_problems(spec(**more))]


@pytest.mark.parametrize("task", ["distribution", "language", "regression"])
def test_only_the_classes_of_a_classification_are_counted(task: Any) -> None:
    (problem,) = CrossEntropy(weight="balanced").task_problems(task, 3)
    assert problem.pointer == "/weight"


def test_a_spec_without_a_sampler_keeps_its_hash() -> None:
    assert spec().hash != spec(sampler={"kind": "balanced"}).hash
    assert "sampler" not in spec().model_dump(mode="json", exclude_defaults=True)
