"""What a trainer does before it says `ready`, so that the first step of a run costs what every step costs."""

import torch

from service.spec.datasets import DatasetBase
from service.spec.datasets.bundled import BreastCancer, Diabetes, Digits, Iris, Wine
from service.spec.experiment import Experiment
from service.spec.losses import MSE, CrossEntropy, LossBase
from service.spec.models import ModelBase
from service.spec.models.convolutional import CNN
from service.spec.models.feedforward import MLP
from service.spec.optimizers import SGD, AdamW, OptimizerBase
from worker.trainer.data.split import load
from worker.trainer.loop import prepare, train


def warm_up(device: torch.device) -> None:
    """Read the bundled data and take real steps: torch imports and sets up much of itself on first use."""
    datasets: list[DatasetBase] = [Digits(), BreastCancer(), Wine(), Iris(), Diabetes()]
    for dataset in datasets:
        load(dataset)
    for experiment in _tiny(datasets):
        for step in train(prepare(experiment, 0, device)):
            step.loss.item()


def _tiny(datasets: list[DatasetBase]) -> list[Experiment]:
    parts: list[tuple[ModelBase, OptimizerBase]] = [
        (MLP(hidden=(8,)), AdamW()),
        (CNN(channels=(2,)), SGD(momentum=0.9)),
    ]
    digits, diabetes = datasets[0], datasets[-1]
    loss: LossBase = CrossEntropy()
    tiny = [
        Experiment.model_validate({"dataset": digits, "model": model, "loss": loss, "optimizer": optimizer, "steps": 2})
        for model, optimizer in parts
    ]
    regression = {"dataset": diabetes, "model": MLP(), "loss": MSE(), "optimizer": AdamW(), "steps": 1}
    return [*tiny, Experiment.model_validate(regression)]
