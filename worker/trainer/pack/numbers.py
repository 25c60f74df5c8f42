"""Numbers of an update that differ from member to member, as the update takes them: one float, or a column (R, 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.trainer.pack.rates import Table

Number = float | Tensor  # of all members, or (R, 1): one of each
Coefficients = Mapping[str, Number]  # of one update


@dataclass(frozen=True)
class Hyperparameters:
    """What K updates of R members depend on; every array is (K, R), or (1, R) where it does not change."""

    groups: Sequence[Mapping[str, Any]]  # the parameter group of each member's optimizer
    lr: Table
    t: Table  # counts updates from 1
    cycled: Table | None  # the momentum, or first beta, where a schedule sets it

    def __getitem__(self, name: str) -> Table:
        """Return a field of the groups."""
        return np.array([[float(group[name]) for group in self.groups]])

    @property
    def momentum(self) -> Table:
        """The momentum."""
        return self["momentum"] if self.cycled is None else self.cycled

    @property
    def betas(self) -> tuple[Table, Table]:
        """Both betas."""
        first, second = (np.array([[float(group["betas"][at]) for group in self.groups]]) for at in (0, 1))
        return (first if self.cycled is None else self.cycled), second


def coefficients(tables: Mapping[str, Table], count: int, like: Tensor) -> list[Coefficients]:
    """Return the numbers of each of `count` updates; a column has the type and device of `like`."""
    columns = {name: _numbers(np.broadcast_to(table, (count, table.shape[1])), like) for name, table in tables.items()}
    return [{name: numbers[at] for name, numbers in columns.items()} for at in range(count)]


def _numbers(table: Table, like: Tensor) -> Sequence[Number]:
    if (table == table[:, :1]).all():
        return [float(each) for each in table[:, 0]]
    return torch.tensor(table).to(like).unsqueeze(2).unbind()


def subtract(p: Tensor, update: Tensor, size: Number) -> None:
    """p -= size * update."""
    if isinstance(size, Tensor):
        p.addcmul_(update, size, value=-1)
    else:
        p.sub_(update, alpha=size)


def added(g: Tensor, other: Tensor, factor: Number) -> Tensor:
    """g + factor * other; g itself where the factor is 0."""
    if isinstance(factor, Tensor):
        return torch.addcmul(g, other, factor)
    return g.add(other, alpha=factor) if factor else g
