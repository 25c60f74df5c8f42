"""Initialisation of single parameters: rules like those of parameter groups, applied after the model's own."""

from collections.abc import Iterator, Sequence

from service.errors import Problem
from service.spec.component import Part, under
from service.spec.groups import Match, matches
from service.spec.inits import Init, InitBase
from service.spec.layout import Parameter


class InitRule(Part):
    """An initialisation for the parameters that match and that it can fill: biases by constants and distributions only.

    The first such rule applies to a parameter; the others keep what the model's `init` gave them.
    """

    match: Match
    init: Init

    def problems(self) -> Iterator[Problem]:
        """Yield problems within the rule."""
        yield from under("/match", self.match.problems())
        yield from under("/init", self.init.problems())
        if not self.init.target:
            detail = "parameters without a rule keep the model's initialisation: leave the rule out."
            yield Problem("/init/kind", "no_effect", detail)


def assign_inits(rules: Sequence[InitRule], layout: Sequence[Parameter]) -> list[tuple[Parameter, int]]:
    """Return the parameters that a rule initialises, in the layout's order, with the rule's position."""
    found = []
    for parameter in layout:
        fitting = (at for at, rule in enumerate(rules) if applies(rule, parameter))
        if (first := next(fitting, None)) is not None:
            found.append((parameter, first))
    return found


def applies(rule: InitRule, parameter: Parameter) -> bool:
    """Return whether the rule matches a parameter and can fill it."""
    return matches(rule.match, parameter) and rule.init.fills(parameter.shape)


def effective_init(rules: Sequence[InitRule], own: InitBase, parameter: Parameter) -> InitBase:
    """Return what initialises a weight of a model whose own initialisation is `own`."""
    return next((rule.init for rule in rules if applies(rule, parameter)), own)
