"""The start of a fork from its parent's checkpoint: every part that means the same in the changed spec is restored.

Weights must fit, or the fork cannot be built. Other parts are restored if their kind is the same; settings (rates,
momenta, decays, ...) are the new spec's. The position is the count of updates: update s of the fork takes the rows that
the new spec gives to update s, so another batch size continues at that row, not at that share of the epoch.
"""

import inspect
from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from service.errors import RunFailure
from worker.trainer.checkpoints import optimizer_state
from worker.trainer.loop import Training
from worker.trainer.optim.load_state import SWITCHES, load_optimizer

Tensors = dict[str, Tensor]
Taken = dict[str, Any]  # part -> True, or why it starts fresh
DERIVED = {"label", "base_lr", "initial_lr"}  # group entries derived from settings
COMPUTED = {*SWITCHES, "maximize"}  # how an update is computed, not what it is


class HasModel(Protocol):
    """A training, or a model that was stored by one."""

    model: nn.Module
    optimizers: list[Optimizer]


def layout(training: HasModel) -> list[dict[str, Any]]:
    """Return which class updates which parameters in which groups: what a fork compares."""
    names = {id(parameter): name for name, parameter in training.model.named_parameters()}
    return [
        {
            "optimizer": type(optimizer).__name__,
            "groups": [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups],
        }
        for optimizer in training.optimizers
    ]


def restore_fork(training: Training, tensors: Tensors, document: dict[str, Any]) -> Taken:
    """Restore a new `training` from its parent as far as it fits; the caller sets the random states."""
    parent, own = document.get("spec", {}), training.spec.normalised()
    load_weights(training, under("model", tensors))
    training.step, training.evaluations = document["step"], document.get("evaluations", 0)
    taken: Taken = {"model": True}
    if loss := under("loss", tensors):
        equal = all(parent.get(part) == own[part] for part in ("loss", "dataset"))  # balanced weights are of the data
        taken["loss"] = equal or "the parent had another loss, or other data"
        if equal:
            training.criterion.load_state_dict(loss)
    found = [restore_optimizer(training, at, tensors, document) for at in range(len(training.optimizers))]
    taken["optimizer"] = next((each for each in found if each is not True), True)
    if training.rates.plateau is not None:
        same = [watched(each.get("schedule")) for each in (parent, own)]
        taken["schedule"] = same[0] == same[1] or "the parent's plateau watched something else, or there was none"
        training.rates.load(document["schedule"] if taken["schedule"] is True else None)
    return taken | _restore_pipeline(training, tensors, document, parent, own)


def under(part: str, tensors: Tensors) -> Tensors:
    """Return the tensors of one part, by their names within it."""
    return {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}


def load_weights(training: HasModel, saved: Tensors) -> None:
    """Load every parameter and buffer; raise `RunFailure` at the first that does not fit."""
    for name, own in training.model.state_dict().items():
        if name not in saved:
            raise _misfit(f"the parent has no parameter {name}")
        if saved[name].shape != own.shape:
            raise _misfit(f"parameter {name} is {tuple(saved[name].shape)} there and {tuple(own.shape)} here")
    if extra := next((name for name in saved if name not in training.model.state_dict()), None):
        raise _misfit(f"the parent's parameter {extra} has no place here")
    training.model.load_state_dict(saved)


def _misfit(what: str) -> RunFailure:
    detail = f"/model does not fit the weights that the fork starts from: {what}"
    return RunFailure("spec_cannot_build", f"{detail}. A fork keeps the parent's model.")


def restore_optimizer(training: HasModel, at: int, tensors: Tensors, document: dict[str, Any]) -> bool | str:
    """Restore optimizer `at`; return True, or why it starts fresh."""
    if "layout" not in document:
        return "the checkpoint is of a release that did not say what its optimizer was"
    there, here = document["layout"], layout(training)
    if len(there) != len(here):
        return f"the parent had {len(there)} optimizers, this run has {len(here)}"
    if there[at]["optimizer"] != here[at]["optimizer"]:
        return f"the parent's was {there[at]['optimizer']}, this run's is {here[at]['optimizer']}"
    if there[at]["groups"] != here[at]["groups"]:
        return "its parameter groups are others"
    part, optimizer = part_of(at), training.optimizers[at]
    saved = optimizer_state.unflatten_state(document[part], part, tensors)
    fresh = optimizer.state_dict()["param_groups"]
    settings = _settings(optimizer)
    for group, other in zip(fresh, saved["param_groups"], strict=True):
        if changed := next(_state_bearing(group, other, settings), None):
            return f"{changed} decides what its state holds, and was changed"
    groups = [
        other | {name: value for name, value in group.items() if name in settings}
        for group, other in zip(fresh, saved["param_groups"], strict=True)
    ]
    load_optimizer(optimizer, {"state": saved["state"], "param_groups": groups})
    return True


def part_of(at: int) -> str:
    """Return the name of optimizer `at` in a checkpoint; the first has no number, for compatibility."""
    return f"optimizer-{at}" if at else "optimizer"


def _settings(optimizer: Optimizer) -> set[str]:
    """Return its constructor's arguments; other group entries are state (a schedule-free average's k)."""
    return set(inspect.signature(type(optimizer).__init__).parameters) | DERIVED


def _state_bearing(own: dict[str, Any], saved: dict[str, Any], settings: set[str]) -> Iterator[str]:
    """Yield changed settings that change the state's tensors: switches, and momentum turned on or off."""
    for name in sorted(settings & set(own) - COMPUTED - DERIVED):
        before, after = saved.get(name), own[name]
        worded = any(isinstance(value, bool | str) or value is None for value in (before, after))
        if (worded and before != after) or (name == "momentum" and (before == 0) != (after == 0)):
            yield name


def watched(schedule: Any) -> tuple[str, str] | None:
    """Return the series and direction of the plateau within a schedule; None where there is none."""
    if isinstance(schedule, dict):
        if schedule.get("kind") == "plateau":
            return schedule["watch"], schedule["mode"]
        schedule = list(schedule.values())
    if isinstance(schedule, list):
        return next((found for each in schedule if (found := watched(each))), None)
    return None


def _restore_pipeline(training: Training, tensors: Tensors, saved: dict[str, Any], parent: Any, own: Any) -> Taken:
    """Restore averaged weights, loss scale and stop rules; the count of clipped updates continues."""
    pipeline, document, state = training.pipeline, saved.get("mechanics"), under("mechanics", tensors)
    taken: Taken = {}
    if document is None:  # a checkpoint from before there was any of this
        return taken
    pipeline.clipping.clipped.copy_(state["clipped"])
    if pipeline.average is not None:
        kinds = [(each.get("average") or {}).get("kind") for each in (parent, own)]
        taken["average"] = kinds[0] == kinds[1] or f"the parent's was {kinds[0] or 'none'}"
        if taken["average"] is True:
            pipeline.average.load(under("average", state))
    if pipeline.precision.scaler is not None:
        taken["precision"] = document["precision"] is not None or "the parent did not train in fp16"
        pipeline.precision.load(document["precision"])
    if own["stop"] is not None:
        taken["stop"] = parent.get("stop") == own["stop"] or "its rules are others"
        if taken["stop"] is True:
            pipeline.stopping.load(document["stopping"])
    return taken
