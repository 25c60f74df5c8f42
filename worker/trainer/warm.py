"""The warm-up: tiny runs before `Ready`, so that the first step of a real run is as fast as the others."""

import tempfile

import torch

from service.spec.datasets import DatasetBase
from service.spec.datasets.bundled import BreastCancer, Diabetes, Digits, Iris, Wine
from service.spec.experiment import Experiment
from service.spec.losses import MSE, CrossEntropy, LossBase
from service.spec.models import ModelBase
from service.spec.models.convolutional import CNN
from service.spec.models.feedforward import MLP
from service.spec.optimizers import SGD, AdamW, OptimizerBase
from worker.protocol import Frame, Stop, TrainRequest
from worker.trainer.data.split import load
from worker.trainer.requests import run_request


class NoSupervisor:
    """Drops the frames of the tiny runs."""

    stop: Stop | None = None

    def send(self, frame: Frame) -> None:
        """Drop the frame."""


def warm_up(device: torch.device) -> None:
    """Load the bundled data and train tiny runs, because torch and our modules initialise much on first use."""
    datasets: list[DatasetBase] = [Digits(), BreastCancer(), Wine(), Iris(), Diabetes()]
    for dataset in datasets:
        load(dataset)
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        for experiment in _tiny_experiments(datasets):
            spec = experiment.normalised()
            request = TrainRequest(spec=spec, seed=0, threads=threads, flush_s=1.0, checkpoint_s=60.0, folder=folder)
            run_request(request, device, NoSupervisor())


def _tiny_experiments(datasets: list[DatasetBase]) -> list[Experiment]:
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
