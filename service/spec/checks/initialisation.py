"""Checks of the rules that initialise single parameters."""

from collections.abc import Iterator

from service.errors import Problem
from service.spec.checks.parameter_groups import nothing_matches, shown
from service.spec.component import under
from service.spec.experiment import Experiment
from service.spec.group_assignment import Layout
from service.spec.groups import matches
from service.spec.init_rules import assign_inits


def problems(experiment: Experiment, layout: Layout | None) -> Iterator[Problem]:
    """Yield what is wrong with the rules; without a layout, what is wrong with any model."""
    for at, rule in enumerate(experiment.inits):
        yield from under(f"/inits/{at}", rule.problems())
    if not layout:
        return
    used = {at for _, at in assign_inits(experiment.inits, layout)}
    for at, rule in enumerate(experiment.inits):
        if at in used:
            continue
        matched = [parameter for parameter in layout if matches(rule.match, parameter)]
        if not matched:
            yield nothing_matches(f"/inits/{at}/match", rule.match, layout)
        elif not any(rule.init.fills(parameter.shape) for parameter in matched):
            first = matched[0]
            detail = f"{rule.init.kind} cannot fill {first.name}, of shape {first.shape}: {rule.init.wants}."
            yield Problem(f"/inits/{at}/init/kind", "no_effect", detail)
        else:
            detail = f"earlier rules have all it matches ({shown(matched)}): move this rule forward."
            yield Problem(f"/inits/{at}/match", "matches_nothing", detail)
