"""The learning rates and momenta of several updates of every member, as tables."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from service.spec.experiment import Experiment
from service.spec.schedules import ScheduleBase
from worker.trainer.step.learning_rates import GroupDefaults, LearningRates

Table = npt.NDArray[np.float64]  # (K, R): K updates of R members


class RateTables:
    """The tables of R members whose schedules are of one kind and may differ in every number."""

    def __init__(self, specs: Sequence[Experiment], rates: Sequence[LearningRates]) -> None:
        self.specs, self.rates = specs, rates
        self._keys = [_schedule_key(spec) for spec in specs]

    def recorded(self, updates: range) -> Table:
        """Return the rate of /optimizer/lr at these updates, which is recorded."""
        bases = [spec.optimizer.lr for spec in self.specs]
        return self._table(updates, bases)

    def of_group(self, updates: range, at: int) -> Table:
        """Return the rate of a parameter group, by its position among all groups of a member."""
        return self._table(updates, [rates.groups[at].lr for rates in self.rates])

    def _table(self, updates: range, bases: Sequence[float]) -> Table:
        if self._keys[0] and len(set(self._keys)) == 1 and all(rates.plateau is None for rates in self.rates):
            return np.outer([self.specs[0].rate(update, 1.0) for update in updates], bases)
        scales: dict[str, Table] = {}
        columns = [self._column(slot, updates, base, scales) for slot, base in enumerate(bases)]
        return np.stack(columns, 1)

    def _column(self, slot: int, updates: range, base: float, scales: dict[str, Table]) -> Table:
        spec, rates, key = self.specs[slot], self.rates[slot], self._keys[slot]
        if rates.plateau is not None:
            return np.array([rates.rate_at(update, base) for update in updates])
        if not key:
            return np.array([spec.rate(update, base) for update in updates])
        if key not in scales:
            scales[key] = np.array([spec.rate(update, 1.0) for update in updates])
        return base * scales[key]

    def momenta(self, updates: range, at: int) -> Table | None:
        """Return the momentum, or first beta, of a group; None if no schedule cycles it."""
        if not any(rates.cycles for rates in self.rates):
            return None
        columns = [self._momenta(slot, updates, rates.groups[at]) for slot, rates in enumerate(self.rates)]
        return np.stack(columns, 1)

    def _momenta(self, slot: int, updates: range, own: GroupDefaults) -> Table:
        found = [self.specs[slot].momentum(update) for update in updates]
        return np.array([own.momentum if each is None else each for each in found])


def _schedule_key(spec: Experiment) -> str:
    """Return what members with the same factors have in common; empty if the rate is not base times factor."""
    if type(spec.schedule).rate is not ScheduleBase.rate:
        return ""
    return f"{spec.schedule.model_dump_json()} {spec.schedule_unit} {spec.schedule_total} {spec.steps_per_epoch}"
