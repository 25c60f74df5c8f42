"""The construction of the torch objects that a spec names."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from pkgutil import resolve_name
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from service.errors import Problem, RunFailure
from service.spec.checks import initialisation, normalisation, parameter_groups
from service.spec.component import Component
from service.spec.experiment import Experiment
from service.spec.group_assignment import Group, assign_groups, group_members
from service.spec.init_rules import assign_inits
from service.spec.inits import InitBase
from service.spec.layout import Parameter
from service.spec.models import ModelBase, model_kwargs
from worker.trainer.environment import optimizer_policy
from worker.trainer.models.norms import freeze_statistics, has_statistics
from worker.trainer.optim.fast_step import skip_dynamo_wrappers
from worker.trainer.optional_imports import import_optional

INITIALISED_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # layers whose weights are initialised


@cache
def resolve(target: str) -> Callable[..., Any]:
    """Return the callable "module:name"; targets are class attributes, so no request can set them."""
    import_optional(target.partition(":")[0])
    found: Callable[..., Any] = resolve_name(target)
    return found


def build(component: Component, *args: Any, **policy: Any) -> Any:
    """Call the component's target with `args`, the component's own fields, and what the worker's policy adds.

    A model is initialised as its spec says.
    """
    if isinstance(component, ModelBase):
        model = resolve(component.target)(*args, **model_kwargs(component), **policy)
        initialise(model, component.init)
        return model
    arguments = component.kwargs()
    for name in getattr(component, "tensor_fields", ()):
        if arguments[name] is not None:
            arguments[name] = torch.tensor(arguments[name])
    return resolve(component.target)(*args, **arguments, **policy)


def read_spec(document: dict[str, Any]) -> Experiment:
    """Return the spec of a stored document."""
    return Experiment.model_validate_json(json.dumps(document))  # JSON mode: strict, yet arrays are tuples


def build_model(spec: Experiment) -> nn.Module:
    """Build and initialise the model of a run, on the CPU, from torch's current random state."""
    model: nn.Module = build(spec.model, spec.dataset.facts.shape, spec.outputs)
    if spec.inits:
        layout = layout_of(model)
        _raise(initialisation.problems(spec, layout))
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for parameter, at in assign_inits(spec.inits, layout):
                build(spec.inits[at].init, parameters[parameter.name])
    freeze_group_statistics(spec, model)
    return model


def freeze_group_statistics(spec: Experiment, model: nn.Module) -> None:
    """Freeze the running statistics of the batch normalisations in groups whose rule says so."""
    wanted = [at for at, rule in enumerate(spec.groups) if rule.norm_statistics == "frozen"]
    members = group_members(spec, layout_of(model)) if wanted else []
    for at in wanted:
        owners = dict.fromkeys(parameter.name.rpartition(".")[0] for parameter in members[at + 1])
        found = [layer for owner in owners if has_statistics(layer := model.get_submodule(owner))]
        if not found:
            _raise([parameter_groups.no_statistics(at)])
        for layer in found:
            freeze_statistics(layer)


def check_batch_norm(spec: Experiment, model: nn.Module) -> None:
    """Raise if a library's model, whose layers are known only now, would normalise a batch of one row."""
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm):
            named = f"{spec.model.kind}'s {name} ({type(layer).__name__})"
            if problem := normalisation.single_row(spec, named):
                raise RunFailure("spec_cannot_build", f"{problem.pointer}: {problem.detail}")
            return


def initialise(model: nn.Module, init: InitBase) -> None:
    """Initialise weight matrices and kernels, and set their biases to 0; normalisations stay unchanged.

    A recurrent cell's matrix, which holds a block per gate, is initialised as one matrix.
    """
    if not init.target:
        return
    for layer in model.modules():
        if isinstance(layer, INITIALISED_LAYERS) and init.fits(tuple(layer.weight.shape)):
            build(init, layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.RNNBase) and init.fits((1, 1)):
            for name, tensor in layer.named_parameters():
                if name.startswith("weight"):
                    build(init, tensor)
                else:
                    nn.init.zeros_(tensor)


def build_optimizers(experiment: Experiment, model: nn.Module, device: torch.device) -> list[Optimizer]:
    """Build the optimizers with their groups, the one of /optimizer first; freeze the parameters without optimizer."""
    skip_dynamo_wrappers()
    groups = _assign_parameters(experiment, model)
    parameters = dict(model.named_parameters())
    for name in (name for group in groups if group.optimizer is None for name in group.names):
        parameters[name].requires_grad_(False)
    optimizers = []
    for owner in sorted({group.owner for group in groups if group.optimizer is not None}):
        own = [group for group in groups if group.owner == owner and group.optimizer is not None]
        optimizer = experiment.groups[owner - 1].optimizer if owner else experiment.optimizer
        assert optimizer is not None
        arguments: list[Any] = [_parameter_group(group, parameters) for group in own]
        if len(groups) == 1 or optimizer.needs_closure:
            arguments = arguments[0]["params"]
        policy = optimizer_policy(optimizer, device, has_sparse_gradients(model))
        optimizers.append(build(optimizer, arguments, **policy))
    return optimizers


def _assign_parameters(experiment: Experiment, model: nn.Module) -> list[Group]:
    """Assign parameters to groups; check the layout of a library's model, which is known only now."""
    if experiment.layout is not None:
        return assign_groups(experiment)
    layout = layout_of(model)
    _raise(parameter_groups.problems(experiment, layout))
    return assign_groups(experiment, layout)


def _raise(problems: Iterable[Problem]) -> None:
    """Raise if there are problems that only a built model can show."""
    if found := list(problems):
        raise RunFailure("spec_cannot_build", "; ".join(f"{problem.pointer}: {problem.detail}" for problem in found))


def _parameter_group(group: Group, parameters: dict[str, nn.Parameter]) -> dict[str, Any]:
    """Return a parameter group as torch takes it."""
    assert group.optimizer is not None
    own: dict[str, Any] = {"label": group.label, "params": [parameters[name] for name in group.names]}
    return own | ({"first": group.first} if group.first > 1 else {}) | group.optimizer.group()


def layout_of(model: nn.Module) -> tuple[Parameter, ...]:
    """Return a model's parameters; depth counts modules that own parameters, in torch's order."""
    found: list[Parameter] = []
    owners = [(path, owner) for path, owner in model.named_modules() if list(owner.parameters(recurse=False))]
    places = {path: depth for depth, (path, _) in enumerate(owners)}
    classes = {path: type(owner).__name__ for path, owner in owners}
    sparse = {path for path, owner in owners if getattr(owner, "sparse", False)}
    for name, parameter in model.named_parameters():
        path = name.rpartition(".")[0]
        owner = classes[path] if path else ""
        found.append(Parameter(name, tuple(parameter.shape), owner, places[path], path in sparse))
    return tuple(found)


def has_sparse_gradients(model: nn.Module) -> bool:
    """Whether a layer of the model yields sparse gradients."""
    return any(getattr(layer, "sparse", False) for layer in model.modules())


def optimizer_policies(experiment: Experiment, model: nn.Module, device: torch.device) -> dict[str, Any]:
    """Return the switches of /optimizer, and those of each group's own optimizer by its position."""
    sparse = has_sparse_gradients(model)
    policies: dict[str, Any] = optimizer_policy(experiment.optimizer, device, sparse)
    own = ((at, rule.optimizer) for at, rule in enumerate(experiment.groups) if rule.optimizer)
    return policies | {f"groups/{at}": optimizer_policy(each, device, sparse) for at, each in own}
