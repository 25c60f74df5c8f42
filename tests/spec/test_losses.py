"""Losses in a document: what they need of the data and of a model's last layer."""

from typing import Any

import pytest

from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.parse.document import validate


def found(loss: dict[str, Any], dataset: Any = "iris", ends: str = "", outputs: int = 3) -> list[Any]:
    model: dict[str, Any] = {"kind": "linear"}
    if ends:
        model = {"kind": "sequential", "layers": [{"layer": "Linear", "out_features": outputs}, {"layer": ends}]}
    data = dataset if isinstance(dataset, dict) else {"kind": dataset}
    document = {"dataset": data, "model": model, "loss": loss, "optimizer": {"kind": "sgd"}, "steps": 5}
    return find_problems(validate(Experiment, document))


SHARES: dict[str, Any] = {
    "kind": "upload",
    "upload": "dat_" + "0" * 26,
    "predict": ["a", "b", "c"],
    "task": "distribution",
    "resolved": {"sha256": "0" * 64, "format": "csv", "rows": 100, "shape": [4], "classes": ["a", "b", "c"]},
}
REFUSED: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"loss": {"kind": "cross_entropy", "weight": [1, 2]}}, ("/loss/weight", "wrong_length")),
    ({"loss": {"kind": "multi_margin", "weight": [1, 2, 3, 4]}}, ("/loss/weight", "wrong_length")),
    ({"loss": {"kind": "cross_entropy", "ignore_index": 1}}, ("/loss/ignore_index", "contradiction")),
    ({"loss": {"kind": "cross_entropy"}, "ends": "Softmax"}, ("/loss/kind", "contradiction")),
    ({"loss": {"kind": "softmax_mse"}, "ends": "Softmax"}, ("/loss/kind", "contradiction")),
    ({"loss": {"kind": "nll"}}, ("/loss/kind", "contradiction")),
    (
        {"loss": {"kind": "bce_with_logits"}, "dataset": "breast_cancer", "ends": "Sigmoid", "outputs": 1},
        ("/loss/kind", "contradiction"),
    ),
    ({"loss": {"kind": "hinge"}}, ("/loss/kind", "contradiction")),
    ({"loss": {"kind": "gaussian_nll"}}, ("/loss/kind", "contradiction")),
    ({"loss": {"kind": "poisson_nll"}, "dataset": "diabetes"}, ("/dataset/target_scaling", "contradiction")),
    ({"loss": {"kind": "kl_div"}}, ("/loss/smoothing", "missing")),
    ({"loss": {"kind": "kl_div"}, "dataset": "diabetes"}, ("/loss/kind", "contradiction")),
    ({"loss": {"kind": "kl_div", "smoothing": 0.1, "log_target": True}}, ("/loss/log_target", "contradiction")),
    ({"loss": {"kind": "kl_div", "smoothing": 0.1}, "dataset": SHARES}, ("/loss/smoothing", "contradiction")),
    ({"loss": {"kind": "kl_div", "smoothing": 0.1}, "ends": "Softmax"}, ("/loss/kind", "contradiction")),
    ({"loss": {"kind": "multi_margin"}, "dataset": SHARES}, ("/loss/kind", "contradiction")),
    ({"loss": {"kind": "mse"}, "dataset": SHARES}, ("/loss/kind", "contradiction")),
]


@pytest.mark.parametrize(("arguments", "problem"), REFUSED, ids=str)
def test_a_loss_that_does_not_fit_is_refused(arguments: dict[str, Any], problem: tuple[str, str]) -> None:
    assert [(each.pointer, each.code) for each in found(**arguments)] == [problem]


FITTING: list[dict[str, Any]] = [
    {"loss": {"kind": "cross_entropy", "weight": [1, 2, 3]}},
    {"loss": {"kind": "nll"}, "ends": "LogSoftmax"},
    {"loss": {"kind": "kl_div", "smoothing": 0.1}},
    {"loss": {"kind": "kl_div", "smoothing": 0.1}, "ends": "LogSoftmax"},
    {"loss": {"kind": "kl_div", "log_target": True}, "dataset": SHARES},
    {"loss": {"kind": "cross_entropy", "label_smoothing": 0.1}, "dataset": SHARES},
    {"loss": {"kind": "multi_margin"}},
    {"loss": {"kind": "softmax_mse"}},
    {"loss": {"kind": "hinge"}, "dataset": "breast_cancer"},
    {"loss": {"kind": "soft_margin"}, "dataset": "breast_cancer"},
    {"loss": {"kind": "gaussian_nll"}, "dataset": "diabetes"},
    {"loss": {"kind": "poisson_nll"}, "dataset": {"kind": "diabetes", "target_scaling": "none"}},
]


@pytest.mark.parametrize("arguments", FITTING, ids=str)
def test_a_loss_that_fits_is_taken(arguments: dict[str, Any]) -> None:
    assert found(**arguments) == []


def test_a_softmax_before_cross_entropy_is_refused_with_the_floor_of_its_loss() -> None:
    (problem,) = found({"kind": "cross_entropy"}, ends="Softmax")
    assert "could not fall below 0.551" in problem.detail


def test_kl_div_on_classes_says_how_they_become_distributions() -> None:
    (problem,) = found({"kind": "kl_div"})
    assert "no distributions" in problem.detail
    assert "0.1" in problem.detail
