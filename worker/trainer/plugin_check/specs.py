"""The spec of the short trainings of a component: bundled data and parts that fit it, and what its `example` says."""

import json
from collections.abc import Iterator, Sequence

from service.errors import Invalid, Malformed, Problem
from service.spec.catalog import BASES, CATALOG
from service.spec.component import Component, Json, find_components
from service.spec.datasets import DatasetBase
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment, resolve_nothing
from worker.trainer.plugin_check.own_data import OwnData

STEPS = 6  # the run is cut after half of them
CLASSES = {"dataset": {"kind": "iris"}, "loss": {"kind": "cross_entropy"}}
NUMBERS = {"dataset": {"kind": "diabetes"}, "loss": {"kind": "mse"}}
PIXELS = {"dataset": {"kind": "digits"}, "loss": {"kind": "cross_entropy"}}
TWO_CLASSES = {"dataset": {"kind": "breast_cancer"}, "loss": {"kind": "bce_with_logits"}}
COUNTS = {"dataset": {"kind": "diabetes", "target_scaling": "none"}, "loss": {"kind": "mse"}}
NO_DATA = {
    "dataset": {"kind": "none"},
    "loss": {"kind": "objective"},
    "model": {"kind": "rosenbrock"},
    "batch_size": "full",
}
MODELS: tuple[Json, ...] = (
    {"kind": "mlp", "hidden": [8]},
    {"kind": "gru"},
    {"kind": "cnn", "channels": [4]},
    {"kind": "transformer", "width": 16, "layers": 1},
)
USUAL: Json = {"model": MODELS[0], "optimizer": {"kind": "adamw"}, "steps": STEPS, "probes": [], "seeds": [11]}
LISTS = {"probe": "probes", "augmentation": "augment", "metric": "metrics"}  # family -> field of a spec
SMALL: Json = {"batch_size": 16, "evaluate": {"every_steps": 2}}


class NoSpec(Exception):
    """No spec fits the component."""


def spec_with(family: str, kind: str, own: OwnData | None = None) -> tuple[Experiment, Component]:
    """Return a valid spec with this component, and the component; raise `NoSpec`, which says what is missing.

    It trains on the data of the team's `own`, if they are given and the component is no dataset.
    """
    own = None if family == "dataset" else own
    member = CATALOG[BASES[family][0]][kind]
    wanted = [name for name, field in member.model_fields.items() if field.is_required()]
    example: Json = json.loads(json.dumps(member.example))
    if own is not None:
        example.pop("dataset", None)
    refused: list[str] = []
    for base in _bases(family, member) if own is None else own.bases():
        document = USUAL | SMALL | base
        if not _given(family, example):
            if wanted:
                raise NoSpec(
                    f"has the field {wanted[0]} without a default: give a value in the class attribute example"
                )
            document = _with(family, kind, document)
        try:
            spec = parse_experiment(document | example, own.resolve if own else resolve_nothing).spec
            return spec, next(part for part, _ in find_components(spec) if type(part) is member)
        except StopIteration:
            raise NoSpec("is not in the spec that its class attribute example describes") from None
        except (Invalid, Malformed) as error:
            refused.append("; ".join(_words(problem) for problem in error.problems) or str(error))
    chosen = min(refused, key=len)
    raise NoSpec(f"fits no spec that was tried ({chosen}): give the parts of one in the class attribute example")


def _given(family: str, example: Json) -> bool:
    within = {"init": "model", "preparation": "dataset"}.get(family)
    return LISTS.get(family, family) in example or within in example


def _with(family: str, kind: str, document: Json) -> Json:
    part: Json = {"kind": kind}
    if family == "init":
        return document | {"model": document["model"] | {"init": part}}
    if family == "preparation":
        return document | {"dataset": document["dataset"] | {"prepare": [part]}}
    if family in LISTS:
        return document | {LISTS[family]: [part]}
    return document | {family: part}


def _bases(family: str, member: type[Component]) -> Iterator[Json]:
    """Yield what surrounds the component, in the order to be tried."""
    if family == "dataset":
        assert issubclass(member, DatasetBase)
        for loss in ("cross_entropy", "mse", "kl_div"):
            yield from ({"loss": {"kind": loss}, "model": model} for model in MODELS)
        return
    data: Sequence[Json] = (CLASSES, NUMBERS, PIXELS, TWO_CLASSES, COUNTS, NO_DATA)
    if family == "optimizer":
        yield from (PIXELS | {"batch_size": "full"} if getattr(member, "full_batch_reason", "") else PIXELS, NO_DATA)
    elif family in ("schedule", "init"):
        yield from (CLASSES, PIXELS | {"model": MODELS[2]}, CLASSES | {"optimizer": {"kind": "sgd", "momentum": 0.9}})
    else:
        yield from data


def _words(problem: Problem) -> str:
    return f"{problem.pointer}: {problem.detail}"
