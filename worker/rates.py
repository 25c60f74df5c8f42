"""The rate and the momentum of each update: planned by the step alone, or lowered by what was measured."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from service.spec.experiment import Experiment
from service.spec.schedules import Plateau, PlateauState, plateau_of


class Rates:
    """A run's schedule at work. Only a plateau has a state, and it changes at evaluations alone."""

    def __init__(self, spec: Experiment) -> None:
        self.spec, self.cycles = spec, bool(spec.schedule.cycles)
        found = plateau_of(spec.schedule)
        self.plateau: Plateau | None = found[0] if found else None
        self.begins = found[1] if found else 0
        self._set(PlateauState())

    def _set(self, state: PlateauState) -> None:
        self.state = state
        base = self.spec.optimizer.lr
        self.lowered = base if self.plateau is None else self.plateau.rate_of(state, base)

    def apply(self, optimizer: Optimizer, step: int) -> float:
        """Set the rate, and a cycling momentum, of update `step`; returns the rate."""
        lr = self.lowered if self._listens(step) else self.spec.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        if self.cycles:
            self._momentum(optimizer, step)
        return lr

    def _listens(self, step: int) -> bool:
        """Whether update `step` has its rate from the plateau: not while a warmup in front of it rises."""
        return self.plateau is not None and self.spec.schedule_passed(step) >= self.begins

    def _momentum(self, optimizer: Optimizer, step: int) -> None:
        """Where the schedule of the moment does not cycle it, the optimizer's own comes back."""
        momentum, own = self.spec.momentum(step), self.spec.optimizer
        for group in optimizer.param_groups:
            if "betas" in group:
                first = getattr(own, "betas", group["betas"])[0] if momentum is None else momentum
                group["betas"] = (first, *group["betas"][1:])
            elif "momentum" in group:
                group["momentum"] = getattr(own, "momentum", group["momentum"]) if momentum is None else momentum

    def listen(self, step: int, measured: Mapping[str, float | Tensor]) -> None:
        """Hear what was measured after update `step`; the rate of later ones may fall."""
        if self.plateau is not None and self._listens(step):
            self._set(self.plateau.advance(self.state, float(measured[self.plateau.watch])))

    def document(self) -> dict[str, Any] | None:
        """The state as JSON can hold it; None where the step alone decides."""
        return None if self.plateau is None else self.state.document()

    def load(self, document: dict[str, Any] | None) -> None:
        """The reverse of `document`."""
        if document is not None:
            self._set(PlateauState.of(document))
