"""Assigning parameters to groups, before anything is built."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from service.spec.component import Json
from service.spec.experiment import Experiment
from service.spec.groups import Match, Rule, matches
from service.spec.layout import Parameter
from service.spec.optimizers import OptimizerBase

Layout = Sequence[Parameter]
NO_DECAY = Rule(match=Match(dim_lt=2), name=None, weight_decay=0.0)  # what no_decay is short for


@dataclass(frozen=True)
class Group:
    """Parameters that share an optimizer and its settings."""

    label: str
    optimizer: OptimizerBase | None  # with the group's own settings; None: frozen
    names: tuple[str, ...]
    owner: int = 0  # which optimizer of the experiment: 0 is /optimizer, i + 1 that of /groups/i
    first: int = 1  # the first update that trains it, if any does

    def document(self) -> Json:
        """Return the group as JSON for an answer."""
        settings = None if self.optimizer is None else self.optimizer.model_dump(mode="json")
        late = {"unfreeze_at": self.first} if self.first > 1 else {}
        shown = {"label": self.label, "optimizer": settings, "frozen": settings is None}
        return shown | late | {"parameters": list(self.names)}


def assign_groups(experiment: Experiment, layout: Layout | None = None) -> list[Group]:
    """Return the groups, the default group first; each parameter is in exactly one, and empty groups are left out.

    `layout` is for models that only the worker knows; the experiment must have no problems.
    """
    layout = layout if layout is not None else experiment.layout or ()
    deepest = max((parameter.depth for parameter in layout), default=0)
    found: list[Group] = []
    for at, members in enumerate(group_members(experiment, layout)):
        label, optimizer, owner = _settings(experiment, at)
        first = (all_rules(experiment)[at - 1].unfreeze_at if at else None) or 1
        if experiment.layer_decay is None or optimizer is None:
            found.append(Group(label, optimizer, tuple(member.name for member in members), owner, first))
            continue
        for depth in sorted({member.depth for member in members}):
            lr = optimizer.lr * experiment.layer_decay ** (deepest - depth)
            names = tuple(member.name for member in members if member.depth == depth)
            found.append(Group(f"{label}@{depth}", optimizer.model_copy(update={"lr": lr}), names, owner, first))
    return [group for group in found if group.names]


def all_rules(experiment: Experiment) -> tuple[Rule, ...]:
    """Return the rules of the document, then the one that no_decay is short for."""
    return (*experiment.groups, NO_DECAY) if experiment.no_decay else experiment.groups


def group_members(experiment: Experiment, layout: Layout) -> list[list[Parameter]]:
    """Return the parameters of the default group, then of each rule."""
    found: list[list[Parameter]] = [[] for _ in range(len(all_rules(experiment)) + 1)]
    for parameter in layout:
        first = next((at for at, rule in enumerate(all_rules(experiment)) if matches(rule.match, parameter)), -1)
        found[first + 1].append(parameter)
    return found


def _settings(experiment: Experiment, at: int) -> tuple[str, OptimizerBase | None, int]:
    """Return label, optimizer and owner of group `at`: 0 is the default group, then come the rules'."""
    if at == 0:
        return "default", experiment.optimizer, 0
    rule = all_rules(experiment)[at - 1]
    label = rule.name or ("no_decay" if at > len(experiment.groups) else f"group{at - 1}")
    if rule.stays_frozen:
        return label, None, 0
    if rule.optimizer is not None:
        return label, rule.optimizer, at
    return label, apply_rule(experiment.optimizer, rule), 0


def apply_rule(optimizer: OptimizerBase, rule: Rule) -> OptimizerBase:
    """Return the optimizer with the rule's changes; raise `ValidationError` for values it does not take."""
    if not rule.overrides:
        return optimizer
    document = optimizer.model_dump(mode="json") | rule.model_dump(mode="json", include={"set"})["set"]
    document |= {name: value for name, value in rule.overrides.items() if name in ("lr", "weight_decay")}
    return type(optimizer).model_validate_json(json.dumps(document))
