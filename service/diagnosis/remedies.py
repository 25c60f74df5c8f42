"""Remedies as patches (RFC 6902) of the normalised spec."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.diagnosis.finding import Operation
from service.diagnosis.plan import RELU_LIKE, SQUASHING, Plan
from service.errors import Invalid
from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.group_assignment import assign_groups
from service.spec.parse.document import validate
from service.spec.parse.json_patch import apply_patch
from service.spec.validation_errors import escape_key

Patch = list[Operation]
RATES = {"max_lr", "base_lr", "swa_lr", "eta_min", "min_lr"}  # fields of schedules that are learning rates
HIGHEST, LOWEST = 10.0, 1e-12  # of a learning rate
SWITCHABLE = ("mlp", "cnn", "cnn1d", "resnet", "transformer")


def patched_spec(plan: Plan, patch: Sequence[Operation]) -> Experiment | None:
    """Return the patched spec; None where it is refused or equals the original."""
    try:
        spec = validate(Experiment, apply_patch(plan.document, patch))
        refused = find_problems(spec)
    except Invalid:
        return None
    return None if refused or spec.normalised() == plan.document else spec


def replace(path: str, value: Any) -> Operation:
    """Return a replace operation."""
    return {"op": "replace", "path": path, "value": value}


def round_to_digits(value: float, digits: int = 3) -> float:
    """Return the value with few digits, as a person would write it."""
    return float(f"{value:.{digits}g}")


def scale_rates(plan: Plan, factor: float) -> Patch:
    """Multiply every learning rate by `factor`: the optimizer's, the groups' and the schedule's own."""
    return list(_rates(plan.document, factor))


def _rates(document: Mapping[str, Any], factor: float) -> Iterator[Operation]:
    yield _scaled("/optimizer/lr", document["optimizer"]["lr"], factor)
    for number, rule in enumerate(document["groups"]):
        if rule["lr"] is not None:
            yield _scaled(f"/groups/{number}/lr", rule["lr"], factor)
        if rule["optimizer"] is not None:
            yield _scaled(f"/groups/{number}/optimizer/lr", rule["optimizer"]["lr"], factor)
    for path, value in _numbers(document["schedule"], "/schedule"):
        if path.rpartition("/")[2] in RATES and value > 0:
            yield _scaled(path, value, factor)


def _scaled(path: str, value: float, factor: float) -> Operation:
    return replace(path, min(HIGHEST, max(LOWEST, round_to_digits(value * factor))))


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{path}/{escape_key(key)}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _numbers(inner, f"{path}/{number}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def use_usual_rate(plan: Plan) -> Patch:
    """Scale all rates so that the optimizer's is usual for its kind, at least by 100; replace one of 0."""
    optimizer = plan.spec.optimizer
    if optimizer.lr == 0:
        return [replace("/optimizer/lr", optimizer.usual_lr)]
    return scale_rates(plan, max(100.0, optimizer.usual_lr / optimizer.lr))


def over_usual_rate(plan: Plan) -> float:
    """Return the highest base rate of a group over the rate that is usual for its optimizer."""
    groups = assign_groups(plan.spec) if plan.spec.layout else ()
    optimizers = [plan.spec.optimizer, *(group.optimizer for group in groups if group.optimizer is not None)]
    return max(each.lr / each.usual_lr for each in optimizers)


def add_warmup(plan: Plan, steps: int) -> Patch:
    """Add a linear warmup, or lengthen the existing one."""
    steps = max(2, min(steps, plan.spec.schedule_total // 2))
    old = plan.document["schedule"]
    if old["kind"] == "warmup":
        return [replace("/schedule/steps", max(steps, 2 * old["steps"]))]
    return [replace("/schedule", {"kind": "warmup", "steps": steps, "after": old})]


def clip_gradients(norm: float) -> Patch:
    """Clip gradients at a norm."""
    return [replace("/clip", {"norm": round_to_digits(max(norm, 1e-6))})]


def replace_part(name: str, value: Mapping[str, Any]) -> Patch:
    """Replace a part of the spec."""
    return [replace(f"/{name}", dict(value))]


def use_default_init(plan: Plan) -> Patch:
    """Use torch's default initialisation for every parameter; an empty patch where it is used already."""
    own = plan.document["model"].get("init", {}).get("kind", "default") != "default"
    model = [replace("/model/init", {"kind": "default"})] if own else []
    return [*model, *([replace("/inits", [])] if plan.spec.inits else [])]


def standardise(plan: Plan, field: str = "scaling") -> Patch:
    """Standardise features (or targets); an empty patch where they are already, or cannot be."""
    now = plan.document["dataset"].get(field)
    return [] if now in (None, "standardise") else [replace(f"/dataset/{field}", "standardise")]


def replace_activation(plan: Plan, word: str) -> Patch:
    """Use relu or leaky_relu (`word`) in every hidden unit; an empty patch where the model has no choice."""
    model = plan.document["model"]
    if model["kind"] in SWITCHABLE and "activation" in model and model["activation"] != word:
        return [replace("/model/activation", word)]
    if model["kind"] == "sequential":
        unwanted = SQUASHING if word == "relu" else RELU_LIKE
        name = {"relu": "ReLU", "leaky_relu": "LeakyReLU"}[word]
        places = [place for place, layer in enumerate(model["layers"][:-1]) if layer["layer"] in unwanted]
        return [replace(f"/model/layers/{place}/layer", name) for place in places]
    if model["kind"] == "sum_of_units":
        return [replace("/model/unit", "relu" if word == "relu" else "sigmoid")]
    return []


def use_gated_cell(plan: Plan) -> Patch:
    """Use a GRU in place of an Elman cell."""
    model = plan.document["model"]
    if model["kind"] != "rnn":
        return []
    return [replace("/model/kind", "gru"), {"op": "remove", "path": "/model/nonlinearity"}]


def add_normalisation(plan: Plan) -> Patch:
    """Add normalisation after every hidden layer, where the model offers it and has none."""
    model = plan.document["model"]
    if model.get("norm") != "none":
        return []
    return [replace("/model/norm", "layer" if model["kind"] == "mlp" else "group")]


def shorten_memory(plan: Plan) -> Patch:
    """Let the second moment forget within twenty updates; an empty patch where it cannot be set."""
    optimizer = plan.document["optimizer"]
    if "betas" in optimizer:
        return [replace("/optimizer/betas/1", 0.95)]
    return [replace("/optimizer/alpha", 0.95)] if "alpha" in optimizer and "centered" in optimizer else []


def nearest_power_of_ten(value: float, least: float, most: float) -> float:
    """Return the power of ten nearest to `value`, between `least` and `most`."""
    if not value > 0 or not math.isfinite(value):
        return most
    return float(10.0 ** round(math.log10(min(most, max(least, value)))))
