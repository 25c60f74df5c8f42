"""What a trained model takes and gives: what turns rows of the data into its input, and its outputs into answers."""

from typing import Any

from service.spec.component import Json
from service.spec.datasets.base import TableBase
from service.spec.datasets.images import ImagesBase
from service.spec.experiment import Experiment

TOKENIZER = "tokenizer.json"
SOFTMAX = ("cross_entropy", "kl_div", "nll", "softmax_mse")  # losses whose outputs are logits of all classes
SIGMOID = ("bce_with_logits", "soft_margin")  # of the second of two


def model_inputs(spec: Experiment, fitted: Json) -> Json:
    """Return it as JSON; `fitted` is what a checkpoint says was fitted on the training part."""
    facts, dataset = spec.dataset.facts, spec.dataset.model_dump(mode="json")
    resolved: Json = dataset.get("resolved") or {}
    preparation = fitted.get("preparation")
    columns: list[str] | None = dataset.get("features")
    if preparation and isinstance(spec.dataset, TableBase):
        columns = [feature.name for feature in spec.dataset.features_read]
    return {
        "shape": list(facts.shape),
        "outputs": spec.outputs,
        "task": facts.task,
        "features": columns,  # columns, or positions in an array; null: not named in the spec
        "preparation": preparation,  # steps with what was fitted, and the features that they make; null: none
        "target": fitted.get("target"),  # transform of the values to predict
        "scales": fitted.get("scales", {}),  # (row - shift) / divisor
        "resize": dataset.get("resize") if isinstance(spec.dataset, ImagesBase) else None,  # how images become rows
        "double": spec.precision == "fp64",
        "vocabulary": facts.vocabulary,
        "characters": resolved.get("characters", ""),
        "tokenizer": TOKENIZER if fitted.get("tokenizer") else None,  # a file beside
        "classes": list(resolved.get("classes", ())) or [str(number) for number in range(facts.classes)],
        "probabilities": _link(spec),
        "mean": _mean(spec),
    }


def _link(spec: Experiment) -> str | None:
    """Return what turns outputs into probabilities; None: the loss means none."""
    kind = spec.loss.kind
    return "softmax" if kind in SOFTMAX else "sigmoid" if kind in SIGMOID else None


def _mean(spec: Experiment) -> str:
    """Return what the outputs say about a value to predict."""
    named: dict[Any, str] = {"gaussian_nll": "mean and log-variance", "poisson_nll": "logarithm of the mean"}
    return named.get(spec.loss.kind, "value")
