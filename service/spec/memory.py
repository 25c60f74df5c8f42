"""The memory that a training needs, estimated within a factor of two before anything is built."""

import math
from dataclasses import dataclass

from service.spec.experiment import Experiment
from service.spec.group_assignment import assign_groups

FLOAT, INTEGER = 4, 8  # bytes
EVALUATED_AT_ONCE = 4096  # rows of the validation part, at most


@dataclass(frozen=True)
class Memory:
    """Bytes by use. The rows are on the device with the model."""

    weights: int
    gradients: int
    optimizer: int
    activations: int  # of one batch, or of a chunk of the validation part where that needs more
    data: int

    @property
    def total(self) -> int:
        """The sum, reached at the end of a forward pass."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.data


def estimate_memory(experiment: Experiment) -> Memory | None:
    """Return the estimate; None if only the model's library knows how large it is."""
    shape, outputs, model = experiment.dataset.facts.shape, experiment.outputs, experiment.model
    layout, per_row = model.layout(shape, outputs), model.activations(shape, outputs)
    if layout is None or per_row is None:
        return None
    counts = {parameter.name: parameter.count for parameter in layout}
    trained = [(group.optimizer, sum(counts[name] for name in group.names)) for group in assign_groups(experiment)]
    averaged = 1 if experiment.average is None else 2
    return Memory(
        weights=averaged * FLOAT * sum(counts.values()),
        gradients=FLOAT * sum(count for optimizer, count in trained if optimizer is not None),
        optimizer=int(FLOAT * sum(o.state_size() * count for o, count in trained if o is not None)),
        activations=FLOAT * max(_training(experiment, per_row), _evaluation(experiment)),
        data=_data(experiment),
    )


def _training(experiment: Experiment, per_row: int) -> int:
    """Return how many numbers a piece of a batch keeps for the backward pass."""
    return per_row * -(-experiment.rows_per_step // experiment.accumulate)


def _evaluation(experiment: Experiment) -> int:
    """Return how many numbers the two largest consecutive tensors hold, which coexist when nothing is kept."""
    facts = experiment.dataset.facts
    leaves = experiment.model.leaves(facts.shape, experiment.outputs)
    sizes = [math.prod(leaf.out) for leaf in leaves or ()]
    at_once = EVALUATED_AT_ONCE // (facts.shape[0] if facts.task == "language" else 1)
    rows = min(experiment.dataset.counts[1], max(at_once, 1))
    return rows * max((a + b for a, b in zip([0, *sizes], sizes, strict=False)), default=0)


def _data(experiment: Experiment) -> int:
    """Return the bytes of the training and validation parts with their targets."""
    facts, (train, validation, _) = experiment.dataset.facts, experiment.dataset.counts
    row = math.prod(facts.shape) * (INTEGER if facts.vocabulary else FLOAT)
    targets = {"language": row, "classification": INTEGER, "distribution": FLOAT * facts.classes}
    return (train + validation) * (row + targets.get(facts.task, FLOAT))
