"""The curve of a run that nothing disturbs, trained in this process."""

import json
from typing import Any

from service.spec.experiment import Experiment
from tests.fixtures.product import SPEC

Curve = tuple[list[int], list[float]]


def train_undisturbed(changes: dict[str, Any]) -> Curve:
    """Steps and losses of the spec with these changes, at its first seed."""
    import torch

    from worker.trainer.loop import prepare, train

    torch.set_num_threads(1)
    experiment = Experiment.model_validate_json(json.dumps(SPEC | changes))
    losses = [step.loss.item() for step in train(prepare(experiment, experiment.seeds[0], torch.device("cpu")))]
    return list(range(1, experiment.total_steps + 1)), losses
