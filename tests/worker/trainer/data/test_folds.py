"""A run of a dataset with folds validates on the fold that is its seed modulo their number."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from service.spec.datasets.bundled import Diabetes, Iris
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment
from worker.trainer.data.split import load, split_dataset
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")
SPEC: dict[str, Any] = {
    "dataset": {"kind": "iris", "folds": 4},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "epochs": 2,
}


@pytest.mark.parametrize("test", [0.0, 0.2])
def test_each_row_is_held_out_by_one_fold(test: float) -> None:
    from sklearn.model_selection import StratifiedKFold

    dataset = Iris(folds=4, test=test, scaling="none")
    x, y = load(dataset)
    parts = [split_dataset(dataset, fold=fold) for fold in range(4)]
    assert len({part.test.x.tobytes() for part in parts}) == 1  # type: ignore[union-attr]
    rows = sum(len(part.validation.x) for part in parts)
    assert rows + len(parts[0].test.x) == len(x)
    assert min(len(part.train.x) for part in parts) == dataset.counts[0]
    assert max(len(part.validation.x) for part in parts) == dataset.counts[1]
    if not test:
        theirs = StratifiedKFold(4, shuffle=True, random_state=0).split(x, y)
        for part, (train_rows, held_out) in zip(parts, theirs, strict=True):
            assert (part.validation.x == x[held_out].astype(np.float32)).all()  # type: ignore[operator]
            assert (part.train.x == x[train_rows].astype(np.float32)).all()  # type: ignore[operator]


def test_scaling_is_fitted_without_the_fold() -> None:
    scales = [split_dataset(Diabetes(folds=3), fold=fold).scales["features"].as_json() for fold in range(3)]
    assert len({json.dumps(each) for each in scales}) == 3


def test_every_seed_trains_as_long_and_on_its_own_fold() -> None:
    spec = parse_experiment(SPEC | {"dataset": {"kind": "iris"}, "folds": 4, "restarts": 2}).spec
    assert (spec.seeds, spec.dataset.validation) == (tuple(range(8)), 0.25)
    held_out = []
    for seed in (0, 1, 5):
        training = prepare(spec, seed, CPU)
        assert len(list(train(training))) == spec.total_steps
        assert training.validation is not None
        held_out.append(np.asarray(training.validation.x).tobytes())
        seen = torch.cat([training.batches.row_numbers(step) for step in range(1, spec.steps_per_epoch + 1)])
        assert len(seen) == len(set(seen.tolist())) == spec.dataset.counts[0]
    assert held_out[0] != held_out[1] == held_out[2]


def test_the_hash_of_a_spec_without_folds_is_the_one_of_before() -> None:
    plain = SPEC | {"dataset": {"kind": "iris"}}
    assert "folds" in parse_experiment(plain).spec.normalised()["dataset"]
    before = Experiment.model_validate(plain).hash
    assert before == Experiment.model_validate(plain | {"dataset": {"kind": "iris", "folds": None}}).hash
    assert before != parse_experiment(SPEC).spec.hash
