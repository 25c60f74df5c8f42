"""Parameter groups that are frozen before some update: they have no gradient, and their optimizer skips them."""

from copy import deepcopy
from typing import Any

from worker.trainer.step.learning_rates import GroupDefaults, LearningRates

LASTING = ("params", "train_mode")  # entries of a group that do not start over


class Unfreezing:
    """Decides by the update's number alone which parameters learn, so a resumed run needs no state of it."""

    def __init__(self, rates: LearningRates) -> None:
        self.late = [own for own in rates.groups if own.first > 1]
        self._fresh = [_entries(own) for own in self.late]
        self.show(1)

    def show(self, step: int) -> bool:
        """Let exactly the parameters learn that update `step` trains; return whether that changes any."""
        changed = False
        for own in self.late:
            parameters, learns = own.group["params"], step >= own.first
            if parameters[0].requires_grad != learns:
                changed = True
                for parameter in parameters:
                    parameter.requires_grad_(learns)
        return changed

    def begin(self, step: int) -> bool:
        """Prepare update `step`; return whether other parameters learn than before.

        A group begins as a new one of its optimizer: what some count in a group, not for each parameter, starts over.
        """
        for own, fresh in zip(self.late, self._fresh, strict=True):
            if own.first == step:
                lasting = {name: own.group[name] for name in LASTING if name in own.group}
                own.group.clear()
                own.group.update(deepcopy(fresh) | lasting)
        return self.show(step)


def _entries(own: GroupDefaults) -> dict[str, Any]:
    """Return a copy of a group's entries that start over."""
    return deepcopy({name: value for name, value in own.group.items() if name not in LASTING})
