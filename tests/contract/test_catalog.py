"""Every choosable part against the callable it names: a new torch release shows its differences here, by name."""

import inspect
import sys
from types import ModuleType
from typing import Any, get_args

import pytest
import torch
from pydantic_core import PydanticUndefined

from service.spec import (
    augmentations,
    datasets,
    inits,
    losses,
    metrics,
    models,
    optimizers,
    preparation,
    probes,
    schedules,
)
from service.spec.component import Component
from service.spec.datasets.base import RegressionBase
from service.spec.datasets.mounted import MountedBase
from service.spec.datasets.upload_base import UploadedBase
from service.spec.experiment import Experiment
from service.spec.models import model_kwargs
from service.spec.models.library import LibraryBase
from service.spec.models.objectives import ObjectiveBase
from worker.trainer.build import resolve
from worker.trainer.loop import prepare, train
from worker.trainer.probes.inline.effective_rates import RATES
from worker.trainer.probes.stability_limits import RULES

UNIONS: dict[str, tuple[ModuleType, Any]] = {
    "dataset": (datasets, datasets.Dataset),
    "model": (models, models.Model),
    "init": (inits, inits.Init),
    "loss": (losses, losses.Loss),
    "optimizer": (optimizers, optimizers.Optimizer),
    "schedule": (schedules, schedules.Schedule),
    "probe": (probes, probes.Probe),
    "augmentation": (augmentations, augmentations.Augmentation),
    "preparation": (preparation, preparation.PreparationStep),
    "metric": (metrics, metrics.Metric),
}
CALLED_WITH = {
    "dataset": 0,
    "model": 2,
    "init": 1,
    "loss": 0,
    "optimizer": 1,
    "augmentation": 0,
    "preparation": 0,
    "metric": 0,
}  # arguments that are not fields


def members(family: str) -> tuple[type[Component], ...]:
    found: tuple[type[Component], ...] = get_args(get_args(UNIONS[family][1])[0])
    return found


TARGETED = [(family, member) for family in CALLED_WITH for member in members(family) if member.target]
ids = {"ids": lambda value: value if isinstance(value, str) else value.__name__}


def chosen(member: type[Component]) -> dict[str, Any]:
    """The arguments that the spec sets by name, with their defaults."""
    required = {name: 1 for name, field in member.model_fields.items() if field.is_required()}
    made = member.model_construct(**required)
    names = model_kwargs(made) if isinstance(made, models.ModelBase) else made.kwargs()
    return {name: member.model_fields[name].get_default(call_default_factory=True) for name in names}


def parameters(family: str, member: type[Component]) -> dict[str, inspect.Parameter]:
    """Those of the target, without what the worker passes by position."""
    everything = list(inspect.signature(resolve(member.target)).parameters.values())
    passed = CALLED_WITH[family] + getattr(member, "stored", False)  # an uploaded dataset's takes the folder of files
    passed += getattr(member, "sized", False)  # a crop's takes the images' size
    passed += getattr(member, "takes_classes", False)  # a metric's takes the number of classes
    return {parameter.name: parameter for parameter in everything[passed:]}


@pytest.mark.parametrize(("family", "member"), TARGETED, **ids)
def test_fields_are_arguments_of_the_target_with_its_defaults(family: str, member: type[Component]) -> None:
    arguments = parameters(family, member)
    for name, default in chosen(member).items():
        assert name in arguments, f"{member.target} has no argument {name}"
        theirs = arguments[name].default
        if default is PydanticUndefined:
            assert theirs is inspect.Parameter.empty, f"{name} has the default {theirs} there and none here"
        else:
            assert theirs == default, f"{name} is {theirs} there and {default} here"


@pytest.mark.parametrize(("family", "member"), TARGETED, **ids)
def test_what_a_spec_does_not_choose_is_left_out_with_a_reason(family: str, member: type[Component]) -> None:
    rest = set(parameters(family, member)) - set(chosen(member))
    assert rest == set(member.left_out), (
        "arguments of the target that are neither a field nor in left_out, or the reverse"
    )
    assert all(reason.strip() for reason in member.left_out.values())


def everything(module: ModuleType) -> list[Any]:
    """What a module and the files of its folder hold."""
    inner = [each for name, each in sys.modules.items() if name.startswith(module.__name__ + ".")]
    return [value for each in (module, *inner) for value in vars(each).values()]


@pytest.mark.parametrize("family", UNIONS)
def test_no_component_is_left_out_of_its_union(family: str) -> None:
    module, _ = UNIONS[family]
    written = {
        value
        for value in everything(module)
        if inspect.isclass(value)
        and issubclass(value, Component)
        and (value.__module__ + ".").startswith(module.__name__ + ".")
        and not value.model_fields["kind"].is_required()
    }
    assert written == set(members(family))


@pytest.mark.parametrize("family", UNIONS)
def test_kinds_are_unique_and_every_member_says_what_it_is(family: str) -> None:
    kinds = [member.model_fields["kind"].default for member in members(family)]
    assert len(set(kinds)) == len(kinds)
    for member in members(family):
        assert get_args(member.model_fields["kind"].annotation) == (member.model_fields["kind"].default,)
        assert (member.__doc__ or "").strip().endswith(".")


@pytest.mark.parametrize("family", UNIONS)
def test_every_field_says_what_it_sets(family: str) -> None:
    silent = {
        member.__name__: [
            name for name, field in member.model_fields.items() if name != "kind" and not field.description
        ]
        for member in members(family)
    }
    assert {name: fields for name, fields in silent.items() if fields} == {}


def test_what_an_optimizer_says_of_its_rates_is_what_the_probes_read() -> None:
    scaled = {member.target.partition(":")[2]: member.rate_scaling for member in members("optimizer")}  # type: ignore[attr-defined]
    read = {name for name, scaling in scaled.items() if scaling in ("recent", "sum")}
    assert read | {"Adafactor", "LectureAdagrad"} >= set(RATES) >= read
    assert {name for name, rule in RULES.items() if not rule.adaptive} <= {
        name for name, scaling in scaled.items() if scaling == "shared"
    }


REQUIRED = {
    "step": {"step_size": 2},
    "multistep": {"milestones": (1, 3)},
    "exponential": {"gamma": 0.9},
    "warmup": {"steps": 2},
    "inverse_time": {"decay_steps": 2, "decay_rate": 0.5},
    "cosine_restarts": {"T_0": 2},
    "swa": {"swa_lr": 0.01},
    "cyclic": {"base_lr": 0.001, "max_lr": 0.01, "step_size_up": 2},
    "sequential": {"schedules": ({"kind": "constant"}, {"kind": "cosine"}), "milestones": (2,)},
    "pytorch_optimizer": {"name": "lion"},
    "kl_div": {"smoothing": 0.1},
    "chained": {"schedules": ({"kind": "constant"}, {"kind": "exponential", "gamma": 0.9})},
}
BASE: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": (8,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 4,
}


def document(family: str, member: type[Component]) -> dict[str, Any]:
    """An experiment with this member in it, its required fields filled."""
    kind = member.model_fields["kind"].default
    if family == "init":
        more = {"constant": {"val": 0.1}, "sparse": {"sparsity": 0.5}, "values": {"values": (0.5, -0.5) * 40}}.get(
            kind, {}
        )
        return BASE | {"model": {"kind": "mlp", "hidden": (8,), "init": {"kind": kind} | more}}
    if kind == "cnn1d":
        return BASE | {"dataset": {"kind": "iris"}, "model": {"kind": kind}}
    if (family, kind) == ("model", "sequential"):
        layers = ({"layer": "Flatten"}, {"layer": "Linear", "out_features": 10})
        return BASE | {"model": {"kind": kind, "layers": layers}}
    if kind in ("none", "objective") or (isinstance(member, type) and issubclass(member, ObjectiveBase)):
        model = {"kind": kind} if family == "model" else {"kind": "rosenbrock"}
        none = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}, "batch_size": "full"}
        return BASE | none | {"model": model, "optimizer": {"kind": "sgd", "lr": 1e-3}}
    if family == "probe":
        return BASE | {"probes": ({"kind": kind},)}
    if family == "metric":
        more = {"accuracy": {"top_k": 2}}.get(kind, {})
        task = {"dataset": {"kind": "diabetes"}, "loss": {"kind": "mse"}} if "regression" in member.tasks else {}  # type: ignore[attr-defined]
        return BASE | task | {"metrics": ({"kind": kind} | more,)}
    required = REQUIRED.get(kind, {}) if family in ("schedule", "optimizer", "loss") else {}
    made = BASE | {family: {"kind": kind} | required}
    if kind == "muon":
        made |= {"groups": ({"match": {"dim_lt": 2}, "optimizer": {"kind": "adamw"}},)}
    if issubclass(member, RegressionBase):
        made |= {"loss": {"kind": "mse"}, "optimizer": {"kind": "sgd", "lr": 1e-4}}
    if family == "loss" and "regression" in getattr(member, "tasks", ()):
        scaling = "none" if getattr(member, "count_data", False) else "standardise"
        made |= {"dataset": {"kind": "diabetes", "target_scaling": scaling}}
    if getattr(member, "binary", False):
        made |= {"dataset": {"kind": "breast_cancer"}}
    return made


FROM_TOKENS = optimizers.SparseAdam | metrics.classification.Perplexity
AWAY = LibraryBase | UploadedBase | MountedBase | FROM_TOKENS  # a library, a file, or tokens from a file
ELSEWHERE = ("augmentation", "preparation")  # tests.worker.trainer.augment and .prepare train with each
HERE = [(f, m) for f in UNIONS if f not in ELSEWHERE for m in members(f) if not issubclass(m, AWAY)]


@pytest.mark.parametrize(("family", "member"), HERE, **ids)
def test_four_steps_with_it_stay_finite(family: str, member: type[Component]) -> None:
    spec = Experiment.model_validate(document(family, member))
    steps = list(train(prepare(spec, 0, torch.device("cpu"))))
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert all(torch.isfinite(step.loss) for step in steps)


@pytest.mark.parametrize("member", members("probe"), ids=lambda m: m.__name__)
def test_a_probe_names_a_class_and_says_what_a_look_costs(member: type[probes.ProbeBase]) -> None:
    assert inspect.isclass(resolve(member.target))
    assert member.costs
    assert member.formula
