"""Whether a training can be part of a packed step; what its spec says of it is in `service.spec.packs`."""

import json
from collections.abc import Sequence

from torch import nn

from service.spec.experiment import Experiment
from worker.trainer.loop import Training
from worker.trainer.pack.affine import AffineChain
from worker.trainer.pack.optimizers import RULES

OURS = ("torch.nn.", "worker.trainer.")  # modules whose forward pass is known to be a function of their tensors
UNSTACKED = (nn.LSTM, nn.RReLU)  # a fused kernel that is as fast for each run alone, and own random numbers
FEW = 3  # runs
FREE = {"init", "dropout", "spread", "start", "noise"}  # fields of a model that only its tensors and draws depend on


def cannot_pack(training: Training) -> str:
    """Return why the steps of this training are its own; empty if they can be made with those of others."""
    spec, pipeline = training.spec, training.pipeline
    reasons = {
        "an optimizer has no stacked form": any(type(each).__name__ not in RULES for each in training.optimizers),
        "the optimizer evaluates the gradient several times": spec.optimizer.needs_closure,
        "weights are averaged": pipeline.average is not None,
        "batches are computed in parts": spec.accumulate > 1,
        "the precision scales the loss or rounds the forward pass": spec.precision not in ("fp64", "fp32", "tf32"),
        "batches take time": training.batches.takes_time or training.batches.on_disk,
        "a stop rule looks at every step": pipeline.stopping.needs_norm,
        "the loss has a state": pipeline.gradients.switches_loss,
        "several devices train": spec.resources.devices > 1,
        "the loss has no stacked form": not all(_is_known(each) for each in training.criterion.modules()),
        "its steps are compiled": spec.compile,
        "a module has no stacked form": not all(_is_known(each) for each in training.model.modules()),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def pays(trainings: Sequence[Training]) -> bool:
    """Whether common steps take less time than own ones.

    On a CPU two models that are batched by `vmap` lose up to a third, three most often some, and four gain
    (docs/decisions.md).
    """
    first = trainings[0]
    if len(trainings) > FEW or first.device.type != "cpu":
        return len(trainings) > 1
    models, criteria = [each.model for each in trainings], [each.criterion for each in trainings]
    return len(trainings) > 1 and AffineChain.of(models, criteria) is not None


def common_part(spec: Experiment) -> str:
    """Return what members stacked together have in common beyond a pack's key: constants inside model and loss."""
    model = {name: value for name, value in spec.model.model_dump(mode="json").items() if name not in FREE}
    loss = {name: value for name, value in spec.loss.model_dump(mode="json").items() if name != "label_smoothing"}
    return json.dumps([model, loss], sort_keys=True)


def _is_known(module: nn.Module) -> bool:
    return type(module).__module__.startswith(OURS) and not isinstance(module, UNSTACKED)
