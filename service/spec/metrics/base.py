"""What every metric declares: which direction is better, the tasks it fits, and the series it records."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from service.errors import Problem
from service.spec.component import Component
from service.spec.losses.base import Task

Direction = Literal["min", "max"]  # the better one
MAX_SERIES = 100  # of a metric of each class, or of each value


class MetricBase(Component):
    """A measure of a model's outputs on a whole part of the data, accumulated batch by batch.

    Its target makes an object with `update(outputs, targets)`, which is called for each batch, and `compute()`, which
    returns a value for each name of `names`, as torchmetrics' classes do. Class tasks pass scores before the softmax
    (N, K) and labels (N,); regressions pass predictions and targets (N, D) in the target's own unit.
    """

    direction: ClassVar[Direction]
    tasks: ClassVar[tuple[Task, ...]]
    takes_classes: ClassVar[bool] = False  # the target's first argument is the number of classes
    keeps_scores: ClassVar[bool] = False  # of every row, until the end of the part

    def names(self, classes: int) -> tuple[str, ...]:
        """Return the names of its series without the part, such as f1_macro; each begins with its kind.

        `classes`: of a regression the number of values to predict.
        """
        return (self.kind,)

    def class_problems(self, classes: int) -> Iterator[Problem]:
        """Yield settings that do not fit the number of classes, or of values; pointers start at this part."""
        yield from ()
