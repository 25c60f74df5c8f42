"""The model of a run as it was before its first update, for trainings beside the run."""

import torch
from torch import nn

from worker.trainer.build import build_model
from worker.trainer.probes.measurement import ProbedTraining
from worker.trainer.start_weights import load_start


def fresh_model(training: ProbedTraining, seed: int) -> nn.Module:
    """Return the run's model at the first weights of its spec and this seed, in which everything learns."""
    torch.manual_seed(seed)
    model = build_model(training.spec)
    load_start(model, training.spec, training.files)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = False  # which Adam does not take
    return model.to(training.device)
