"""A job that draws augmented samples of a spec as its run would: with its rows, seed and draws, and without a model."""

import torch

from service.nonfinite import dumps
from worker.protocol import OUTCOMES, Ended, Reading, Started, TrainRequest
from worker.trainer.augment.augment import CPU, Augment
from worker.trainer.augment.preview import KIND, augmented_samples
from worker.trainer.build import read_spec
from worker.trainer.channel import SupervisorLink
from worker.trainer.data.batches import Batches
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.row_shares import draw_shares
from worker.trainer.environment import environment
from worker.trainer.loop import read_splits
from worker.trainer.numerics import set_numerics
from worker.trainer.step.evaluation import to_device


def preview(request: TrainRequest, files: DatasetFolders, supervisor: SupervisorLink) -> None:
    """Send the picture as a reading, and the end, unless a stop request was first."""
    spec, seed = read_spec(request.spec), request.seed
    set_numerics(spec.precision, spec.determinism, CPU)
    torch.manual_seed(seed)
    splits = read_splits(spec, seed, files)
    augment = Augment.of(spec, splits.scales.get("features"), seed, CPU)
    assert augment is not None, "previews without augmentation are refused"
    shares = draw_shares(spec, splits.train, files)
    batches = Batches.of(spec, *to_device(splits.train, spec.loss, CPU, augment), seed, shares, augment)
    here = environment(CPU, request.threads, spec)
    supervisor.send(Started(from_step=0, total_steps=0, rows_per_step=spec.rows_per_step, environment=here))
    if supervisor.stop is not None:
        supervisor.send(Ended(outcome=OUTCOMES[supervisor.stop], step=0))
        return
    payload = dumps(augmented_samples(batches, augment)).encode()
    supervisor.send(Reading(step=0, name=KIND, payload=payload))
    supervisor.send(Ended(outcome="succeeded", step=0))
