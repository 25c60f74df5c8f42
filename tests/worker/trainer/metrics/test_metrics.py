"""Metrics of whole parts, in uneven batches, against scikit-learn's on all rows at once."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import TypeAdapter
from sklearn import metrics as sklearn
from torch import Tensor

from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.memory import estimate_memory
from service.spec.metrics import Metric
from worker.trainer.build import build
from worker.trainer.loop import Training, prepare, train
from worker.trainer.metrics.metric_set import MetricSet

CPU = torch.device("cpu")
F1 = ({"kind": "f1"},)
CLASSES = 5
SPLIT = [1, 63, 100, 36]
Array = npt.NDArray[Any]
CLASSIFICATION: dict[str, Any] = {
    "dataset": {"kind": "digits", "test": 0.2},
    "model": {"kind": "mlp", "hidden": (8,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 40,
    "evaluate": {"every_steps": 20},
}
REGRESSION = CLASSIFICATION | {"dataset": {"kind": "diabetes", "test": 0.2}, "loss": {"kind": "mse"}}


def computed(fields: dict[str, Any], outputs: Array, targets: Array) -> Tensor:
    """The metric over batches of `SPLIT` rows."""
    metric = TypeAdapter[Any](Metric).validate_python(fields)
    made = build(metric, *([outputs.shape[1]] if metric.takes_classes else []))
    for batch in zip(*(torch.from_numpy(each).split(SPLIT) for each in (outputs, targets)), strict=True):
        made.update(*batch)
    found: Tensor = made.compute()
    return found


def scored(classes: int = CLASSES, seed: int = 0) -> tuple[Array, Array]:
    """Scores of 200 rows, some of them equal, and labels; class 3 is never predicted, the last has no row."""
    draw = np.random.RandomState(seed)
    scores = draw.randn(200, classes).round(1).astype(np.float32)
    if classes > 3:
        scores[:, 3] = -9
    return scores, draw.randint(0, max(2, classes - 1), 200)


def of_classes(score: Callable[..., float], **keywords: Any) -> Callable[[Array, Array], float]:
    return lambda scores, y: score(y, scores.argmax(1), **keywords)


CLASS_METRICS: list[tuple[dict[str, Any], Callable[[Array, Array], float]]] = [
    ({"kind": "balanced_accuracy"}, of_classes(sklearn.balanced_accuracy_score)),
    *(
        ({"kind": kind, "average": average}, of_classes(score, average=average, zero_division=0))
        for kind, score in (
            ("precision", sklearn.precision_score),
            ("recall", sklearn.recall_score),
            ("f1", sklearn.f1_score),
        )
        for average in ("macro", "micro", "weighted")
    ),
]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize(
    ("fields", "expected"), CLASS_METRICS, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_class_metrics_are_scikit_learns(fields: dict[str, Any], expected: Callable[[Array, Array], float]) -> None:
    scores, labels = scored()
    assert float(computed(fields, scores, labels)) == pytest.approx(expected(scores, labels), rel=1e-12)


@pytest.mark.parametrize("kind", ["precision", "recall", "f1"])
def test_binary_is_the_score_of_class_1(kind: str) -> None:
    scores, labels = scored(2)
    expected = getattr(sklearn, f"{kind}_score")(labels, scores.argmax(1))
    assert float(computed({"kind": kind, "average": "binary"}, scores, labels)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_top_k_counts_rows_with_fewer_higher_scores(k: int) -> None:
    scores, labels = scored()
    order = np.argsort(-scores, axis=1, kind="stable")  # of equal scores the first class comes first
    expected = np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])
    assert float(computed({"kind": "accuracy", "top_k": k}, scores, labels)) == pytest.approx(expected)
    distinct = np.random.RandomState(1).permutation(1000).reshape(200, 5).astype(np.float32)
    theirs = sklearn.top_k_accuracy_score(labels, distinct, k=k, labels=range(5))
    assert float(computed({"kind": "accuracy", "top_k": k}, distinct, labels)) == pytest.approx(theirs)


def test_a_score_that_is_not_a_number_is_never_correct_and_ranks_nothing() -> None:
    scores = np.full((200, CLASSES), np.nan, np.float32)
    labels = np.arange(200) % 2
    assert float(computed({"kind": "accuracy", "top_k": 4}, scores, labels)) == 0.0
    for kind in ("auc", "average_precision", "calibration_error"):
        assert np.isnan(float(computed({"kind": kind}, scores, labels)))


@pytest.mark.parametrize("kind", ["precision", "recall", "f1"])
def test_none_is_the_score_of_each_class(kind: str) -> None:
    scores, labels = scored()
    score = getattr(sklearn, f"{kind}_score")
    expected = score(labels, scores.argmax(1), average=None, zero_division=0, labels=range(CLASSES))
    assert computed({"kind": kind, "average": "none"}, scores, labels).tolist() == pytest.approx(expected.tolist())


def probabilities(scores: Array) -> Array:
    found: Array = torch.from_numpy(scores).double().softmax(1).numpy()
    return found


RANKS = {"auc": sklearn.roc_auc_score, "average_precision": sklearn.average_precision_score}


@pytest.mark.parametrize("kind", RANKS)
@pytest.mark.parametrize("average", ["macro", "weighted", "none"])
def test_rank_metrics_are_scikit_learns_with_equal_scores(kind: str, average: str) -> None:
    scores, labels = scored()
    scores[100:] = scores[:100]  # equal scores of rows with other labels
    each = [RANKS[kind](labels == k, probabilities(scores)[:, k]) for k in range(CLASSES - 1)]  # the last has no row
    found = computed({"kind": kind, "average": average}, scores, labels).reshape(-1).tolist()
    if average == "none":
        assert found[:-1] == pytest.approx(each)
        assert np.isnan(found[-1])
    else:
        rows = np.bincount(labels) if average == "weighted" else None
        assert found == pytest.approx([np.average(each, weights=rows)])


@pytest.mark.parametrize("kind", RANKS)
def test_rank_metrics_of_two_classes_never_saturate(kind: str) -> None:
    scores, labels = scored(2)
    far = scores * 1000 + 1e5  # every probability is 0 or 1 in float64
    expected = RANKS[kind](labels, far[:, 1].astype(np.float64) - far[:, 0])
    assert float(computed({"kind": kind, "average": "binary"}, far, labels)) == pytest.approx(expected, rel=1e-6)
    if kind == "auc":
        assert float(computed({"kind": kind}, far, labels)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bins", [2, 15])
def test_the_calibration_error_is_that_of_a_slow_second_version(bins: int) -> None:
    scores, labels = scored()
    chosen, right = probabilities(scores).max(1), probabilities(scores).argmax(1) == labels
    expected = 0.0
    for low in range(bins):
        inside = (chosen > low / bins) & (chosen <= (low + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - chosen[inside].mean())
    assert float(computed({"kind": "calibration_error", "n_bins": bins}, scores, labels)) == pytest.approx(expected)


def test_perplexity_is_the_exponential_of_scikit_learns_log_loss() -> None:
    scores, labels = scored()
    expected = math.exp(sklearn.log_loss(labels, probabilities(scores), labels=range(CLASSES)))
    assert float(computed({"kind": "perplexity"}, scores, labels)) == pytest.approx(expected, rel=1e-6)


VALUE_METRICS: dict[str, Callable[..., Any]] = {
    "r2": sklearn.r2_score,
    "mae": sklearn.mean_absolute_error,
    "rmse": sklearn.root_mean_squared_error,
    "mape": sklearn.mean_absolute_percentage_error,
}


@pytest.mark.parametrize("kind", VALUE_METRICS)
@pytest.mark.parametrize(("columns", "around"), [(1, 0.0), (3, 1e6)])
def test_value_metrics_are_scikit_learns(kind: str, columns: int, around: float) -> None:
    draw = np.random.RandomState(0)
    targets = draw.randn(200, columns) + around
    predictions = targets + draw.randn(200, columns) * 0.3
    expected = VALUE_METRICS[kind](targets, predictions)
    assert float(computed({"kind": kind}, predictions, targets)) == pytest.approx(expected, rel=1e-8)
    of_each = VALUE_METRICS[kind](targets, predictions, multioutput="raw_values")
    np.testing.assert_allclose(computed({"kind": kind, "average": "none"}, predictions, targets), of_each, rtol=1e-8)


def test_scores_that_are_ranked_count_as_memory_once_for_all_metrics() -> None:
    """A score is kept, copied, and ranked in float64 twice: 24 bytes in fp32, and 32 in fp64."""
    plain = Experiment.model_validate(CLASSIFICATION | {"dataset": {"kind": "blobs", "rows": 100_000, "classes": 20}})
    one, two = (
        plain.model_copy(update={"metrics": tuple(map(TypeAdapter(Metric).validate_python, kinds))})
        for kinds in ([{"kind": "auc"}], [{"kind": "auc"}, {"kind": "average_precision"}])
    )
    found = [estimate_memory(each) for each in (plain, one, two, one.model_copy(update={"precision": "fp64"}))]
    memory = [each.activations for each in found if each is not None]
    assert memory[1] == memory[2]
    assert memory[1] - memory[0] == pytest.approx(20_000 * (20 * 24 + 64), rel=0.05)
    assert memory[3] > memory[1] + 20_000 * 20 * 8


def test_hashes_of_metrics_are_those_from_before_values_had_an_average() -> None:
    document = {"dataset": {"kind": "diabetes"}, "model": {"kind": "mlp"}, "loss": {"kind": "mse"}, "steps": 3}
    document["optimizer"] = {"kind": "sgd", "lr": 0.1}
    usual, mean, each = (
        Experiment.model_validate(
            document | {"metrics": ({"kind": "mae"} | more, {"kind": "quantile_loss", "alpha": 0.9})}
        ).hash
        for more in ({}, {"average": "mean"}, {"average": "none"})
    )
    assert usual == mean == "ac44cf93163b74f2ab08d0046ccad0a043348cad51026c883b450f1eff21bb7e"
    assert each != usual


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_the_quantile_loss_is_scikit_learns(alpha: float) -> None:
    draw = np.random.RandomState(0)
    targets, predictions = draw.randn(200, 1), draw.randn(200, 1)
    expected = sklearn.mean_pinball_loss(targets, predictions, alpha=alpha)
    assert float(computed({"kind": "quantile_loss", "alpha": alpha}, predictions, targets)) == pytest.approx(expected)


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1.0), (0.5, 0.0)])
def test_r2_of_constant_targets_is_scikit_learns(error: float, expected: float) -> None:
    targets = np.full((200, 1), 0.1)
    assert sklearn.r2_score(targets, targets + error) == expected
    assert float(computed({"kind": "r2"}, targets + error, targets)) == expected


def trained(document: dict[str, Any], **changes: Any) -> tuple[Training, dict[str, float]]:
    """A training at its end, and what the last step measured."""
    training = prepare(Experiment.model_validate(document | changes), 0, CPU)
    *_, last = train(training)
    return training, {name: float(value) for name, value in (last.metrics or {}).items()}


def test_evaluations_record_metrics_of_validation_test_and_averaged_weights() -> None:
    metrics = ({"kind": "f1"}, {"kind": "accuracy", "top_k": 3})
    training, found = trained(CLASSIFICATION, metrics=metrics, average={"kind": "ema"})
    parts = "val", "test", "average/val", "average/test"
    assert {f"{part}/{name}" for part in parts for name in ("f1_macro", "accuracy_top3")} <= set(found)
    validation = training.validation
    assert validation is not None
    with torch.no_grad():
        scores = training.model.eval()(validation.x[:])
    expected = sklearn.f1_score(validation.y, scores.argmax(1), average="macro")
    assert found["val/f1_macro"] == pytest.approx(expected)
    assert found["val/f1_macro"] != found["average/val/f1_macro"]


def test_the_training_part_is_measured_where_asked_and_changes_nothing_else() -> None:
    model = {"kind": "mlp", "hidden": (8,), "dropout": 0.5, "norm": "batch"}
    changes: dict[str, Any] = {"model": model, "metrics": F1, "schedule": {"kind": "plateau", "watch": "train/loss"}}
    plain = trained(CLASSIFICATION | {"model": model, "metrics": F1})[1]
    training, found = trained(CLASSIFICATION, evaluate={"every_steps": 20, "train": True}, **changes)
    assert {name: found[name] for name in plain} == plain
    with torch.no_grad():
        scores, y = training.model.eval()(training.batches.x[:]), training.batches.y
    assert found["train/loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(scores, y)))
    assert found["train/accuracy"] == pytest.approx(sklearn.accuracy_score(y, scores.argmax(1)))
    assert found["train/f1_macro"] == pytest.approx(sklearn.f1_score(y, scores.argmax(1), average="macro"))
    assert training.rates.plateau is not None


@pytest.mark.parametrize("loss", ["mse", "gaussian_nll", "poisson_nll"])
def test_values_are_measured_in_the_unit_of_the_target(loss: str) -> None:
    scaling = "none" if loss == "poisson_nll" else "standardise"
    dataset = REGRESSION["dataset"] | {"target_scaling": scaling}
    rate = {"optimizer": {"kind": "adam", "lr": 0.03}}
    changes: dict[str, Any] = {"loss": {"kind": loss}, "dataset": dataset, "metrics": ({"kind": "rmse"},)} | rate
    training, found = trained(REGRESSION, **changes)
    validation = training.validation
    assert validation is not None
    with torch.no_grad():
        outputs = training.model.eval()(validation.x[:])[:, :1].numpy().astype(np.float64)
    y = validation.y[:].numpy()
    if loss == "poisson_nll":
        outputs = np.exp(outputs)
    else:
        scale = training.scales["target"]
        outputs, y = (each * scale["divisor"] + scale["shift"] for each in (outputs, y))
        assert 100 < y.mean() < 200  # diabetes progression, not standardised
    assert found["val/rmse"] == pytest.approx(sklearn.root_mean_squared_error(y, outputs), rel=1e-6)


def test_one_logit_is_scored_as_two_classes() -> None:
    document = CLASSIFICATION | {"dataset": {"kind": "breast_cancer"}}
    metrics = ({"kind": "f1", "average": "binary"}, {"kind": "balanced_accuracy"}, {"kind": "f1", "average": "micro"})
    _, found = trained(document, loss={"kind": "bce_with_logits"}, metrics=metrics)
    assert found["val/f1_micro"] == pytest.approx(found["val/accuracy"])
    assert 0.5 < found["val/balanced_accuracy"] < found["val/f1"] < 1  # class 1 is the larger


def test_metrics_change_no_other_series() -> None:
    plain = trained(CLASSIFICATION)[1]
    measured = trained(CLASSIFICATION, metrics=({"kind": "f1"},))[1]
    assert {name: value for name, value in measured.items() if not name.endswith("f1_macro")} == plain


def test_metrics_are_computed_outside_autocast() -> None:
    spec = Experiment.model_validate(CLASSIFICATION | {"metrics": ({"kind": "accuracy", "top_k": 2},)})
    measurement = MetricSet(spec, {}, CPU).begin()
    with torch.autocast("cpu", torch.bfloat16):
        measurement.update(torch.randn(8, 10, dtype=torch.bfloat16), torch.arange(8))
        assert torch.is_autocast_enabled("cpu")
    (value,) = measurement.compute("val").values()
    assert isinstance(value, Tensor)
    assert value.dtype == torch.float64


def test_a_run_stops_and_keeps_its_best_by_a_metric() -> None:
    target = {"target": {"series": "val/f1_macro", "above": 0.3}}
    training, found = trained(CLASSIFICATION, metrics=({"kind": "f1"},), stop=target, steps=4000)
    assert training.ended is not None
    assert training.ended["series"] == "val/f1_macro"
    assert math.isfinite(found["test/f1_macro"])


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (CLASSIFICATION | {"metrics": ({"kind": "r2"},)}, "/metrics/0/kind", "contradiction"),
    (REGRESSION | {"metrics": F1}, "/metrics/0/kind", "contradiction"),
    (CLASSIFICATION | {"metrics": (*F1, *F1)}, "/metrics/1", "repeated"),
    (CLASSIFICATION | {"metrics": ({"kind": "accuracy", "top_k": 10},)}, "/metrics/0/top_k", "too_large"),
    (CLASSIFICATION | {"metrics": ({"kind": "f1", "average": "binary"},)}, "/metrics/0/average", "contradiction"),
    (CLASSIFICATION | {"checkpoint": {"best": {"series": "val/f1_macro"}}}, "/checkpoint/best/series", "contradiction"),
    (
        CLASSIFICATION | {"stop": {"patience": {"series": "val/f1", "evaluations": 1}}, "metrics": F1},
        "/stop/patience/series",
        "contradiction",
    ),
    (
        CLASSIFICATION | {"schedule": {"kind": "plateau", "watch": "val/rmse"}},
        "/schedule/watch",
        "contradiction",
    ),
    (
        CLASSIFICATION | {"schedule": {"kind": "plateau", "watch": "average/val/loss"}, "average": {"kind": "ema"}},
        "/schedule/watch",
        "contradiction",
    ),
    (
        CLASSIFICATION | {"checkpoint": {"best": {"series": "train/loss"}}},
        "/checkpoint/best/series",
        "contradiction",
    ),
    (REGRESSION | {"checkpoint": {"best": {"series": "val/accuracy"}}}, "/checkpoint/best/series", "contradiction"),
]


@pytest.mark.parametrize(("document", "pointer", "code"), REFUSED, ids=lambda value: str(value)[-40:])
def test_what_does_not_fit_is_refused(document: dict[str, Any], pointer: str, code: str) -> None:
    found = find_problems(Experiment.model_validate(document))
    assert [(problem.pointer, problem.code) for problem in found] == [(pointer, code)]


def test_a_misspelt_series_is_corrected_and_the_better_direction_is_the_default() -> None:
    named = {"checkpoint": {"best": {"series": "val/f1_macrp"}}, "metrics": F1}
    (problem,) = find_problems(Experiment.model_validate(CLASSIFICATION | named))
    assert problem.did_you_mean == "val/f1_macro"
    assert "val/loss, val/accuracy, val/f1_macro" in problem.detail
    right = named | {"checkpoint": {"best": {"series": "val/f1_macro"}}}
    spec = Experiment.model_validate(CLASSIFICATION | right)
    assert find_problems(spec) == []
    assert spec.checkpoint.best is not None
    assert spec.checkpoint.best.mode == "max"


def test_a_plateau_and_patience_follow_a_metric_of_a_regression() -> None:
    schedule = {"kind": "plateau", "watch": "val/r2", "mode": "max", "patience": 0}
    stop = {"patience": {"series": "val/r2", "evaluations": 2}}
    spec = Experiment.model_validate(REGRESSION | {"metrics": ({"kind": "r2"},), "schedule": schedule, "stop": stop})
    assert find_problems(spec) == []
    assert spec.stop is not None
    assert spec.stop.patience is not None
    assert spec.stop.patience.sign == -1


def test_a_spec_without_metrics_keeps_its_hash() -> None:
    plain = Experiment.model_validate(CLASSIFICATION)
    assert plain.hash == Experiment.model_validate(CLASSIFICATION | {"metrics": ()}).hash
    assert plain.hash != Experiment.model_validate(CLASSIFICATION | {"metrics": F1}).hash
    measured = CLASSIFICATION | {"evaluate": {"every_steps": 20, "train": True}}
    assert plain.hash != Experiment.model_validate(measured).hash
