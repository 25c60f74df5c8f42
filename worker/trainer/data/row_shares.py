"""The probability of drawing each training row, as the spec's sampler has it."""

import numpy as np
import torch
from torch import Tensor

from service.errors import Invalid
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.training import WeightedSampler
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import Split


def draw_shares(spec: Experiment, train: Split, files: DatasetFolders) -> Tensor | None:
    """Return the shares of the training rows, (N,) float64; None where each row is taken once an epoch."""
    if spec.sampler is None:
        return None
    if isinstance(spec.sampler, WeightedSampler):
        assert isinstance(spec.dataset, Upload), "the spec was checked"
        return weighted_shares(spec.dataset, train, files)
    assert isinstance(train.y, np.ndarray), "classes always fit in memory"
    return balanced_shares(torch.from_numpy(train.y), spec.dataset.facts.classes)


def balanced_shares(y: Tensor, classes: int) -> Tensor:
    """Return the probability of drawing each row, (N,) float64, that makes every class as likely as any other."""
    labels = y.reshape(-1).long().cpu()
    counts = torch.bincount(labels, minlength=classes).double()
    return 1 / (counts[labels] * (counts > 0).sum())


def weighted_shares(dataset: Upload, train: Split, files: DatasetFolders) -> Tensor:
    """Return the weights that the file has for these rows, (N,) float64, divided by the largest."""
    from service.ingest.splits.row_weights import row_weights  # noqa: PLC0415  loads pyarrow

    assert files.folder is not None
    assert train.numbers is not None
    try:
        weights = row_weights(files.folder / dataset.found.sha256 / "content", dataset)
    except Invalid as error:
        raise ValueError(f"the file has not the weights that it had: {error.problems[0].detail}") from error
    own = weights[train.numbers]
    return torch.from_numpy(own / own.max())
