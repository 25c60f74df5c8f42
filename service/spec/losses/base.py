"""What every loss declares. A loss is a mean over the batch; likelihoods are in nats."""

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component

Task = Literal["classification", "distribution", "regression", "language", "objective"]
CLASS_TASKS: tuple[Task, ...] = ("classification", "distribution")  # one output per class: a label, or probabilities
REDUCTION = {
    "reduction": "the mean over the batch, always",
    "reduce": "torch's old name of reduction",
    "size_average": "torch's old name of reduction",
}
Weight = Annotated[float, Field(gt=0, le=1e6)]
Weights = Annotated[tuple[Weight, ...], Field(min_length=2, max_length=100_000)]
BALANCED: Literal["balanced"] = "balanced"
ClassWeights = Annotated[
    Weights | Literal["balanced"] | None,
    Field(
        description="one weight per class; balanced: training rows / (classes * those of the class); "
        "null: all classes weigh the same"
    ),
]
Margin = Annotated[float, Field(gt=0, le=1e6, description="margin at which the loss reaches 0")]
Power = Annotated[Literal[1, 2], Field(description="exponent of each margin violation")]
Full = Annotated[bool, Field(description="include the constant terms of the likelihood")]


class LossBase(Component):
    """A loss: the tasks it fits, how many outputs it needs from the model, and its minimum."""

    left_out = REDUCTION
    renamed = {
        "counts": "count_data",
        "end_misfits": "last_layer_problems",
        "ends": "refused_last_layers",
        "misfits": "task_problems",
        "needs_end": "required_last_layer",
        "per_value": "outputs_per_value",
        "tensors": "tensor_fields",
    }
    tasks: ClassVar[tuple[Task, ...]]
    binary: ClassVar[bool] = False  # one output, for exactly two classes
    outputs_per_value: ClassVar[int] = 1  # outputs for each value of a regression
    count_data: ClassVar[bool] = False  # whether targets are counts, which must not be negative
    zero_minimum: ClassVar[bool] = False  # whether its minimum over all outputs is 0
    tensor_fields: ClassVar[tuple[str, ...]] = ()  # fields that its target takes as tensors
    refused_last_layers: ClassVar[dict[str, str]] = {}  # torch class that a model must not end in -> why
    required_last_layer: ClassVar[str] = ""  # torch class that a model must end in; empty: any

    @property
    def in_nats(self) -> bool:
        """Whether it is the mean negative log-likelihood of every target, as bits per byte need it."""
        plain = {"weight": None, "ignore_index": -100, "label_smoothing": 0.0}
        return self.kind in ("cross_entropy", "nll") and all(getattr(self, k, v) == v for k, v in plain.items())

    def minimum(self, classes: int) -> float | None:
        """Return the minimum of the loss over all outputs; None if it depends on the data."""
        return 0.0 if self.zero_minimum else None

    def task_problems(self, task: Task, classes: int) -> Iterator[Problem]:
        """Yield settings that do not fit the dataset's task or classes; pointers start at this part."""
        weight = getattr(self, "weight", None)
        wanted = classes if task in CLASS_TASKS else 0
        if weight is not None and not wanted:
            detail = f"weights are for classes, and the task is {task}: remove them."
            yield Problem("/weight", "contradiction", detail)
        elif weight == BALANCED and task != "classification":
            detail = f"counts the rows of each class, and the task is {task}: give numbers."
            yield Problem("/weight", "contradiction", detail)
        elif weight is not None and weight != BALANCED and len(weight) != wanted:
            detail = f"{len(weight)} weights for {wanted} classes: give one for each."
            yield Problem("/weight", "wrong_length", detail, limit=wanted)

    def last_layer_problems(self, end: str, classes: int) -> Iterator[Problem]:
        """Yield why the loss does not fit a model whose last layer is torch's class `end`; pointers start here."""
        if end in self.refused_last_layers:
            floor = math.log(1 + (classes - 1) / math.e)
            yield Problem("/kind", "contradiction", self.refused_last_layers[end].format(floor=floor))
        elif self.required_last_layer and end != self.required_last_layer:
            fix = f'end /model (kind "sequential") with {self.required_last_layer}, or use cross_entropy'
            yield Problem("/kind", "contradiction", f"{self.kind} takes what {self.required_last_layer} gives: {fix}.")


Loss_ = LossBase  # the old name, kept for plug-ins until 0.3


def applied_inside(kind: str, function: str) -> str:
    """Return why a model must not end in `function`, which the loss `kind` applies itself."""
    return f"{kind} has the {function} inside, and /model ends in one: drop the model's last layer."
