"""Checks of parameter groups, and of the parameters that each optimizer updates."""

from collections.abc import Iterator
from dataclasses import replace

from pydantic import ValidationError

from service.errors import Problem
from service.spec.component import under
from service.spec.experiment import Experiment
from service.spec.group_assignment import Layout, apply_rule, assign_groups, group_members
from service.spec.groups import Match, Rule, matches
from service.spec.optimizers import OptimizerBase
from service.spec.validation_errors import closest, problems_from

MAX_NAMES = 5  # that a problem lists


def problems(experiment: Experiment, layout: Layout | None) -> Iterator[Problem]:
    """Yield what the rules and the model's parameters do not allow; without a layout, what is wrong with any model."""
    alone = [*_rules_alone(experiment), *_late(experiment)]
    yield from alone
    if alone or not layout:
        return
    unmatched = list(_unmatched(experiment, layout))
    yield from unmatched
    if not unmatched:
        yield from _refused(experiment, layout)
        yield from _without_statistics(experiment)


def _rules_alone(experiment: Experiment) -> Iterator[Problem]:
    """Yield the problems that do not depend on the model's parameters."""
    labels = [_settings_label(rule, at) for at, rule in enumerate(experiment.groups)]
    for at, rule in enumerate(experiment.groups):
        inside = list(under(f"/groups/{at}", rule.problems()))
        yield from inside
        if labels[at] in labels[:at]:
            yield Problem(f"/groups/{at}/name", "repeated", f"another rule is called {labels[at]} already.")
        if not inside and rule.optimizer is None:
            yield from under(f"/groups/{at}", _override_problems(experiment.optimizer, rule))
    if experiment.no_decay and "weight_decay" not in type(experiment.optimizer).model_fields:
        detail = f"/optimizer/kind {experiment.optimizer.kind} has no weight_decay to leave out: set this to false."
        yield Problem("/no_decay", "contradiction", detail)
    yield from _searching(experiment)


def _settings_label(rule: Rule, at: int) -> str:
    return rule.name or f"group{at}"


def _override_problems(optimizer: OptimizerBase, rule: Rule) -> Iterator[Problem]:
    """Yield fields that the optimizer lacks, and values it does not take."""
    fields = [name for name in type(optimizer).model_fields if name != "kind"]
    unknown = [name for name in rule.overrides if name not in fields]
    for name in unknown:
        detail = f"/optimizer/kind {optimizer.kind} has no such field; it has {', '.join(fields)}."
        yield Problem(rule.pointer(name), "unknown_field", detail, None, closest(name, fields))
    if unknown:
        return
    try:
        changed = apply_rule(optimizer, rule)
    except ValidationError as error:
        found = problems_from(error, type(optimizer))
    else:
        found = list(changed.problems()) if rule.overrides else []
    for problem in found:
        _, field, *rest = problem.pointer.split("/")
        yield replace(problem, pointer="/".join([rule.pointer(field), *rest]))


def _searching(experiment: Experiment) -> Iterator[Problem]:
    """Yield rules that an optimizer with a line search, which moves all parameters at once, cannot follow."""
    for at, rule in enumerate(experiment.groups):
        own = rule.optimizer
        if own is not None and own.needs_closure:
            detail = f"{own.kind} moves all parameters together, along one line: put it into /optimizer."
            yield Problem(f"/groups/{at}/optimizer/kind", "contradiction", detail)
        elif experiment.optimizer.needs_closure and not rule.stays_frozen:
            detail = f"/optimizer/kind {experiment.optimizer.kind} has one group: a rule can only freeze."
            yield Problem(f"/groups/{at}", "contradiction", detail)
    if experiment.optimizer.needs_closure and experiment.layer_decay is not None:
        detail = f"/optimizer/kind {experiment.optimizer.kind} takes all parameters in one group: leave this out."
        yield Problem("/layer_decay", "contradiction", detail)


def _late(experiment: Experiment) -> Iterator[Problem]:
    """Yield rules whose parameters would be trained after the last update."""
    total = experiment.total_steps
    for at, rule in enumerate(experiment.groups):
        if rule.unfreeze_at is not None and rule.unfreeze_at > total > 0:
            detail = f"the run has {total} updates: choose an earlier one, or leave this out to freeze to the end."
            yield Problem(f"/groups/{at}/unfreeze_at", "contradiction", detail, limit=total)


def _without_statistics(experiment: Experiment) -> Iterator[Problem]:
    """Yield rules that freeze the statistics of no layer; a library's are looked for when its model is built."""
    for at, rule in enumerate(experiment.groups):
        if rule.norm_statistics == "frozen" and experiment.layout is not None:
            owners = {member.module for member in group_members(experiment, experiment.layout)[at + 1]}
            if not any(owner.startswith("BatchNorm") for owner in owners):
                yield no_statistics(at)


def no_statistics(at: int) -> Problem:
    """Return the problem of a rule that freezes statistics, and has no batch normalisation."""
    detail = "the group has no parameter of a batch normalisation: match them too, or leave this out."
    return Problem(f"/groups/{at}/norm_statistics", "no_effect", detail)


def _unmatched(experiment: Experiment, layout: Layout) -> Iterator[Problem]:
    """Yield rules that no parameter falls under."""
    for at, members in enumerate(group_members(experiment, layout)[1 : len(experiment.groups) + 1]):
        if members:
            continue
        pointer, match = f"/groups/{at}/match", experiment.groups[at].match
        theirs = [parameter for parameter in layout if matches(match, parameter)]
        if theirs:
            detail = f"earlier rules have all it matches ({shown(theirs)}): move this rule forward."
            yield Problem(pointer, "matches_nothing", detail)
            continue
        yield nothing_matches(pointer, match, layout)


def nothing_matches(pointer: str, match: Match, layout: Layout) -> Problem:
    """Return the problem of conditions that no parameter of a model fulfils."""
    detail = f"no parameter of the model is like that; it has {shown(layout)}."
    modules = sorted({parameter.module for parameter in layout})
    close = closest(match.module or "", modules) or closest(match.name or "", [p.name for p in layout])
    return Problem(pointer, "matches_nothing", detail, None, close)


def _refused(experiment: Experiment, layout: Layout) -> Iterator[Problem]:
    """Yield parameters that their optimizer cannot update, and optimizers with nothing to update."""
    groups = assign_groups(experiment, layout)
    if all(group.optimizer is None for group in groups):
        yield Problem("/groups", "contradiction", "every parameter is frozen: nothing would be trained.")
    elif (first := min(group.first for group in groups if group.optimizer)) > 1:
        detail = f"every parameter is frozen before update {first}: nothing would be trained until then."
        yield Problem("/groups", "contradiction", detail)
    elif all(group.optimizer is None or group.owner for group in groups):
        detail = "the rules give every parameter to another optimizer: put one of those here, and drop its rule."
        yield Problem("/optimizer", "no_effect", detail)
    known = {parameter.name: parameter for parameter in layout}
    for group in groups:
        if group.optimizer is None:
            continue
        pointer = f"/groups/{group.owner - 1}/optimizer/kind" if group.owner else "/optimizer/kind"
        refused = {name: why for name in group.names if (why := group.optimizer.refusal(known[name]))}
        if refused:
            name, why = next(iter(refused.items()))
            others = f" ({len(refused) - 1} more like it)" if len(refused) > 1 else ""
            yield Problem(pointer, "wrong_parameter", f"{name}{others}: {why}.")


def shown(layout: Layout) -> str:
    """Return the first few names of a layout, and how many there are."""
    names = ", ".join(parameter.name for parameter in layout[:MAX_NAMES])
    return f"{names}, ... ({len(layout)} in all)" if len(layout) > MAX_NAMES else names


def warnings(experiment: Experiment) -> Iterator[Problem]:
    """Yield what the rules and the optimizers allow and is probably a mistake."""
    yield from _optimizer_warnings(experiment)
    layout = experiment.layout
    if experiment.no_decay and layout is not None:
        if getattr(experiment.optimizer, "weight_decay", None) == 0:
            yield Problem("/no_decay", "no_effect", "/optimizer/weight_decay is 0: nothing decays anyway.")
        elif not group_members(experiment, layout)[-1]:
            yield Problem("/no_decay", "no_effect", "no parameter with fewer than two dimensions is left for it.")


def _optimizer_warnings(experiment: Experiment) -> Iterator[Problem]:
    """Yield batches and schedules that do not suit an optimizer."""
    owners = [("/optimizer", experiment.optimizer)]
    owners += [(f"/groups/{i}/optimizer", rule.optimizer) for i, rule in enumerate(experiment.groups) if rule.optimizer]
    for pointer, optimizer in owners:
        yield from under(pointer, optimizer.warnings())
        if optimizer.full_batch_reason and experiment.rows_per_step < experiment.dataset.counts[0]:
            detail = f'{optimizer.kind} is for whole batches: {optimizer.full_batch_reason}; set /batch_size to "full".'
            yield Problem(f"{pointer}/kind", "noisy_gradient", detail)
        if optimizer.constant_rate_reason and experiment.schedule.kind != "constant":
            detail = f"/schedule is probably not meant with {optimizer.kind}: {optimizer.constant_rate_reason}."
            yield Problem(f"{pointer}/kind", "schedule_not_meant", detail)
