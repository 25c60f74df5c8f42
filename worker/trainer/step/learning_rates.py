"""The learning rate and momentum of each update: planned by the step alone, or lowered on a plateau."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.optim import Optimizer

from service.spec.experiment import Experiment
from service.spec.schedules import plateau_of
from service.spec.schedules.feedback import Plateau, PlateauState
from worker.trainer.metrics import Metrics


class GroupDefaults(NamedTuple):
    """A parameter group's values before any schedule, which torch's group loses at the first update."""

    optimizer: Optimizer
    at: int
    label: str
    lr: float
    momentum: float
    first: int = 1  # the first update that trains the group

    @classmethod
    def of(cls, optimizer: Optimizer, at: int) -> "GroupDefaults":
        """Return those of a new optimizer."""
        group = optimizer.param_groups[at]
        momentum = group["betas"][0] if "betas" in group else group.get("momentum", 0.0)
        return cls(optimizer, at, group.get("label", "default"), group["lr"], momentum, group.get("first", 1))

    @property
    def group(self) -> dict[str, Any]:
        """torch's group, a new object after a checkpoint is loaded."""
        return self.optimizer.param_groups[self.at]


class LearningRates:
    """Applies a run's schedule. Only a plateau has a state, which changes at evaluations."""

    def __init__(self, spec: Experiment, optimizers: Sequence[Optimizer]) -> None:
        self.spec, self.cycles = spec, bool(spec.schedule.momentum_pointer)
        self.groups = [
            GroupDefaults.of(optimizer, at) for optimizer in optimizers for at in range(len(optimizer.param_groups))
        ]
        self.differ = len({(own.lr, own.first) for own in self.groups}) > 1
        found = plateau_of(spec.schedule)
        self.plateau: Plateau | None = found[0] if found else None
        self.begins = found[1] if found else 0
        self._set(PlateauState())

    def _set(self, state: PlateauState) -> None:
        self.state = state
        self.lowered = self._lowered(self.spec.optimizer.lr)

    def _lowered(self, base: float) -> float:
        return base if self.plateau is None else self.plateau.rate_of(self.state, base)

    def apply(self, step: int) -> float:
        """Set each group's rate, and a cycling momentum, for update `step`; return the rate of /optimizer/lr."""
        on_plateau, base = self._uses_plateau(step), self.spec.optimizer.lr
        lr = self.lowered if on_plateau else self.spec.rate(step)
        for own in self.groups:
            rate = lr
            if own.lr != base:
                rate = self._lowered(own.lr) if on_plateau else self.spec.rate(step, own.lr)
            own.group["lr"] = rate
        if self.cycles:
            self._momentum(step)
        return lr

    def rate_at(self, step: int, base: float) -> float:
        """Return the rate of update `step` for the base rate `base`, as far as the evaluations so far decide it."""
        return self._lowered(base) if self._uses_plateau(step) else self.spec.rate(step, base)

    def metrics(self, step: int) -> Metrics:
        """Return the rate of each group at step `step`: 0 while it is frozen."""
        return {f"lr/{own.label}": own.group["lr"] if step >= own.first else 0.0 for own in self.groups}

    def _uses_plateau(self, step: int) -> bool:
        """Whether the plateau sets the rate of update `step`: not during a warmup before it."""
        return self.plateau is not None and self.spec.schedule_passed(step) >= self.begins

    def _momentum(self, step: int) -> None:
        """Set the momentum; where the current schedule does not cycle it, the group's default."""
        momentum = self.spec.momentum(step)
        for own in self.groups:
            group, chosen = own.group, own.momentum if momentum is None else momentum
            if "betas" in group:
                group["betas"] = (chosen, *group["betas"][1:])
            elif "momentum" in group:
                group["momentum"] = chosen

    def observe(self, step: int, measured: Mapping[str, float | Tensor]) -> None:
        """Pass on what was measured after update `step`; it may lower later rates."""
        if self.plateau is not None and self._uses_plateau(step):
            self._set(self.plateau.advance(self.state, float(measured[self.plateau.watch])))

    def document(self) -> dict[str, Any] | None:
        """Return the state as JSON; None where there is none."""
        return None if self.plateau is None else self.state.document()

    def load(self, document: dict[str, Any] | None) -> None:
        """Restore the state."""
        if document is not None:
            self._set(PlateauState.of(document))
