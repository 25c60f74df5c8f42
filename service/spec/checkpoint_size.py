"""How much a run's checkpoints take on disk, estimated before anything is built."""

from service.spec.experiment import Experiment
from service.spec.memory import estimate_memory

ROLLING = 2  # the newest ones, kept whatever the spec says


def kept_checkpoints(experiment: Experiment) -> int:
    """Return how many checkpoints a run keeps at its end."""
    asked = experiment.checkpoint
    multiples = 0 if asked.keep_every is None else experiment.total_steps // asked.keep_every
    return ROLLING + (asked.best is not None) + multiples


def checkpoint_bytes(experiment: Experiment) -> int | None:
    """Return the bytes that the checkpoints of one run take: weights and the optimizer's state, each time.

    None if only the model's library knows how large it is.
    """
    memory = estimate_memory(experiment)
    return None if memory is None else kept_checkpoints(experiment) * (memory.weights + memory.optimizer)
