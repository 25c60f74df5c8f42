"""The memory that a training needs, estimated within a factor of two before anything is built."""

import math
from dataclasses import dataclass

from service.spec.experiment import Experiment
from service.spec.group_assignment import assign_groups

INTEGER = DOUBLE = 8  # bytes
RANKED = 64  # labels, a class's scores in order, their places and ranks
HALF = {"bf16": 0.6, "fp16": 0.6}  # of the bytes that fp32 takes: norms, losses and inputs stay fp32
CHUNK_BYTES = 16 * 2**20  # of a chunk of an evaluation that has more rows than a training step; 64 MiB is no faster
MAX_CHUNK_ROWS = 4096  # or positions of a language
RESIDENT_BYTES = 2 * 2**30  # rows of a stored dataset that take more stay on disk; a worker may be set to another limit
NOT_IN_EVALUATION = {"Dropout", "LSTM"}  # layers that make what the backward pass needs in training only
BESIDE = 1.5  # alive in a forward pass, over its two largest consecutive tensors: residuals, attention's inputs
ESTIMATE_FACTOR = 2.0  # the estimate was between 0.52 and 2.05 of what 54 trainings took
CUDA_CONTEXT_BYTES = 600 * 2**20  # of a process on a GPU, with its libraries' workspaces; not measured on a GPU yet


@dataclass(frozen=True)
class Memory:
    """Bytes by use. The rows are on the device with the model."""

    weights: int
    gradients: int
    optimizer: int
    activations: int  # of a piece of a batch and its loss, or of an evaluation where that needs more
    data: int

    @property
    def total(self) -> int:
        """The sum, reached early in a backward pass."""
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
    size = float_bytes(experiment)
    weights = size * sum(counts.values())
    cast = weights // 2 if experiment.precision in HALF else 0  # a copy for matrix products
    evaluated = min(max(experiment.dataset.counts[1:]), evaluation_rows(experiment))
    return Memory(
        weights=averaged * weights,
        gradients=size * sum(count for optimizer, count in trained if optimizer is not None),
        optimizer=int(size * sum(o.state_size() * count for o, count in trained if o is not None)),
        activations=cast
        + max(
            _training(experiment, per_row),
            evaluated * (evaluation_bytes(experiment) or 0) + _kept_scores(experiment),
        ),
        data=_data(experiment),
    )


def float_bytes(experiment: Experiment) -> int:
    """Return the bytes of a weight, and of a number in a row."""
    return 8 if experiment.precision == "fp64" else 4


def piece_rows(experiment: Experiment) -> int:
    """Return the rows that one forward and backward pass of a training step computes."""
    return -(-experiment.rows_per_step // experiment.accumulate)


def _rows_at_once(experiment: Experiment) -> int:
    """Return the rows of a piece that one device computes."""
    return -(-piece_rows(experiment) // experiment.resources.devices)


def evaluation_rows(experiment: Experiment) -> int:
    """Return the rows of one forward pass of an evaluation.

    As many as fit in `CHUNK_BYTES`, or as many as a piece of a training step, which needs more memory for as many rows.
    """
    needed = evaluation_bytes(experiment)
    fitting = 0 if needed is None else CHUNK_BYTES // max(needed, 1)
    return max(1, min(MAX_CHUNK_ROWS // _positions(experiment), max(fitting, _rows_at_once(experiment))))


def evaluation_bytes(experiment: Experiment) -> int | None:
    """Return the bytes per row that a forward pass without gradients takes, with its loss; None if unknown."""
    shape = experiment.dataset.facts.shape
    leaves = experiment.model.leaves(shape, experiment.outputs)
    if leaves is None:
        return None
    largest = before = math.prod(shape)
    for leaf in leaves:
        size = math.prod(leaf.out)
        largest = max(largest, before + size + (0 if leaf.module in NOT_IN_EVALUATION else leaf.extra))
        before = size
    return _bytes(experiment, int(BESIDE * largest) + 2 * output_numbers(experiment))


def _training(experiment: Experiment, per_row: int) -> int:
    """Return the bytes that a piece of a batch keeps for the backward pass, with its rows, loss and one gradient."""
    shape = experiment.dataset.facts.shape
    gradient = max(
        (math.prod(leaf.out) for leaf in experiment.model.leaves(shape, experiment.outputs) or ()), default=0
    )
    numbers = math.prod(shape) + per_row + gradient + 3 * output_numbers(experiment)
    return _rows_at_once(experiment) * _bytes(experiment, numbers)


def _kept_scores(experiment: Experiment) -> int:
    """Return the bytes of the scores of a part that metrics rank: kept once for all metrics, then copied to be ranked.

    Ranking a class takes `RANKED` bytes a row besides. Measured on a CPU, with 2 and 20 classes: 0.95 to 1.1 of it.
    """
    if not any(metric.keeps_scores for metric in experiment.metrics):
        return 0
    parts = experiment.dataset.counts if experiment.evaluate.train else experiment.dataset.counts[1:]
    return max(parts) * (experiment.dataset.facts.classes * 2 * (float_bytes(experiment) + DOUBLE) + RANKED)


def _bytes(experiment: Experiment, numbers: int) -> int:
    return int(float_bytes(experiment) * HALF.get(experiment.precision, 1.0) * numbers)


def _positions(experiment: Experiment) -> int:
    """Return the predictions per row."""
    facts = experiment.dataset.facts
    return facts.shape[0] if facts.task == "language" else 1


def output_numbers(experiment: Experiment) -> int:
    """Return the numbers per row that the loss is computed from; it keeps a copy and makes their gradient."""
    return experiment.outputs * _positions(experiment)


def _data(experiment: Experiment) -> int:
    """Return the bytes of the training and validation parts with their targets."""
    facts, (train, validation, _) = experiment.dataset.facts, experiment.dataset.counts
    number = float_bytes(experiment)
    row = math.prod(facts.shape) * (INTEGER if facts.vocabulary else number)
    targets = {"language": row, "classification": INTEGER, "distribution": number * facts.classes}
    on_disk = experiment.dataset.stored and facts.rows * row > RESIDENT_BYTES
    return (train + validation) * ((0 if on_disk else row) + targets.get(facts.task, number))


def required_memory(experiment: Experiment) -> int | None:
    """Return the bytes that a run reserves on a device it shares: as the spec says, else the estimate."""
    if experiment.resources.memory_mb != "auto":
        return experiment.resources.memory_mb * 2**20
    estimate = estimate_memory(experiment)
    return None if estimate is None else estimate.total
