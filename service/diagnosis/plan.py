"""What follows from a spec before it runs: sizes, layers, the minimum of the loss, planned rates."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from service.analysis.arrays import Values
from service.spec.checks.experiment import find_warnings
from service.spec.experiment import Experiment
from service.spec.init_rules import effective_init
from service.spec.inits import InitBase
from service.spec.models.leaf import Leaf
from service.spec.models.objectives import ObjectiveBase
from service.spec.schedules import plateau_of

PASSING = {"Identity", "Flatten", "Unflatten", "Dropout"}  # layers that do not change the values that reach the loss
SQUASHING = {"Sigmoid", "Tanh", "Hardsigmoid", "Hardtanh", "Softsign"}
OUTPUT_RANGES = {  # of layers whose outputs are bounded on one side or both
    **dict.fromkeys(("ReLU", "ReLU6", "Softplus"), (0.0, math.inf)),  # 6 is no bound of a logit that matters
    **dict.fromkeys(("Softmax", "Sigmoid", "Hardsigmoid"), (0.0, 1.0)),
    **dict.fromkeys(("Tanh", "Hardtanh", "Softsign"), (-1.0, 1.0)),
}
UNBOUNDED = (-math.inf, math.inf)
RELU_LIKE = {"ReLU", "ReLU6", "Hardswish"}


@dataclass(frozen=True)
class Plan:
    """A spec and what follows from it."""

    spec: Experiment

    @cached_property
    def document(self) -> dict[str, Any]:
        """The normalised spec, which patches apply to."""
        return self.spec.normalised()

    @cached_property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.spec.total_steps

    @property
    def loss(self) -> str:
        """The loss's kind."""
        return self.spec.loss.kind

    @property
    def classes(self) -> int:
        """The number of classes; 0 for regression."""
        facts = self.spec.dataset.facts
        return facts.vocabulary if facts.task == "language" else facts.classes

    @property
    def full_batch(self) -> bool:
        """Whether every update sees all training rows, so losses have no minibatch noise."""
        return self.spec.rows_per_step >= self.spec.dataset.counts[0]

    @property
    def second_moment(self) -> bool:
        """Whether the optimizer divides by the size of recent gradients."""
        return self.spec.optimizer.rate_scaling == "recent"

    @property
    def accumulates(self) -> bool:
        """Whether the optimizer divides by the sum of all squared gradients so far."""
        return self.spec.optimizer.rate_scaling == "sum"

    @cached_property
    def leaves(self) -> tuple[Leaf, ...]:
        """The model's modules without children; empty where only the model's library knows them."""
        return tuple(self.spec.model.leaves(self.spec.dataset.facts.shape, self.spec.outputs) or ())

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Every module's path, in the model's order."""
        return tuple(dict.fromkeys(leaf.name for leaf in self.leaves))

    @cached_property
    def weighted(self) -> tuple[str, ...]:
        """Paths of the layers with a matrix or a kernel, starting at the input."""
        having = (leaf.name for leaf in self.leaves if any(len(shape) > 1 for _, shape in leaf.own))
        return tuple(dict.fromkeys(having))

    @cached_property
    def logit_layer(self) -> tuple[str, int | None]:
        """The layer whose output the loss's softmax receives: its torch class, and its position in /model/layers.

        For a loss that takes log-probabilities, the softmax is the model's own last layer.
        """
        places = [place for place, leaf in enumerate(self.leaves) if leaf.module not in PASSING]
        if places and self.loss == "nll":
            places.pop()
        if not places:
            return "", None
        listed = self.spec.model.kind == "sequential"
        return self.leaves[places[-1]].module, places[-1] if listed else None

    @property
    def has_relu(self) -> bool:
        """Whether the model has units that can die."""
        return any(leaf.module in RELU_LIKE for leaf in self.leaves) or getattr(self.spec.model, "unit", "") == "relu"

    @property
    def squashes(self) -> bool:
        """Whether a hidden layer has a bounded activation."""
        nonlinearity = getattr(self.spec.model, "nonlinearity", "")
        return nonlinearity == "tanh" or any(leaf.module in SQUASHING for leaf in self.leaves)

    @property
    def normalises_batches(self) -> bool:
        """Whether the model has batch normalisation."""
        return any(leaf.module.startswith("BatchNorm") for leaf in self.leaves)

    @cached_property
    def inits(self) -> tuple[InitBase, ...]:
        """What initialises each matrix and kernel, starting at the input."""
        spec, layout = self.spec, self.spec.layout or ()
        weights = [parameter for parameter in layout if len(parameter.shape) > 1]
        return tuple(effective_init(spec.inits, spec.model.init, weight) for weight in weights)

    @cached_property
    def smallest_scale(self) -> float:
        """The least initial deviation x root of the inputs of a layer whose initialisation names one; else infinity."""
        weights = [each for each in self.spec.layout or () if len(each.shape) > 1]
        named = zip(weights, self.inits, strict=True)
        scales = (getattr(init, "std", math.inf) * math.prod(each.shape[1:]) ** 0.5 for each, init in named)
        return min(scales, default=math.inf)

    @property
    def starts_alike(self) -> bool:
        """Whether the initialisation makes all units of a hidden layer identical."""
        return len(self.weighted) > 1 and all(init.identical_units for init in self.inits)

    @cached_property
    def floor(self) -> float | None:
        """The minimum of the loss, or of the objective; None if it is not known."""
        if self.spec.dataset.facts.task == "objective":
            return self._objective_floor()
        return self.spec.loss.minimum(self.classes)

    def _objective_floor(self) -> float | None:
        model = self.spec.model
        return model.floor if isinstance(model, ObjectiveBase) else None

    @property
    def predictable(self) -> bool:
        """Whether the rate of each step is known before the run."""
        return plateau_of(self.spec.schedule) is None

    def planned_rates(self, steps: Any) -> Values:
        """Return the planned rates of these steps."""
        return np.array([self.spec.rate(int(step)) for step in steps], dtype=np.float64)

    @cached_property
    def spec_warnings(self) -> tuple[Any, ...]:
        """What is allowed in it and probably not meant."""
        return tuple(find_warnings(self.spec))
