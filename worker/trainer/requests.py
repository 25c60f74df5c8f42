"""Requests to the trainer: train a run, look at one of its states, predict rows with it, or preview its images."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from service.errors import RunFailure
from service.spec.experiment import Experiment
from worker.protocol import TrainRequest
from worker.trainer.build import read_spec
from worker.trainer.channel import SupervisorLink
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import Splits
from worker.trainer.device_memory import PeakMemory
from worker.trainer.divergence_replay import replay_divergence
from worker.trainer.failures import run_failure_of
from worker.trainer.loop import Training, prepare
from worker.trainer.predict.job import PredictionJob
from worker.trainer.probe_job import ProbeJob
from worker.trainer.session import Session


class OtherRanks(Protocol):
    """The interface of the other ranks of a trainer with several devices."""

    size: int  # ranks, this one included

    def begin(self, request: TrainRequest, training: Training) -> None:
        """Have them take part in the steps of `training`, from its current state."""

    def end(self, error: Exception | None = None) -> None:
        """Have them wait for the next run; where one of them caused `error`, do not return."""


class NoOtherRanks:
    """A trainer with one device."""

    size = 1

    def begin(self, request: TrainRequest, training: Training) -> None:
        """Do nothing."""

    def end(self, error: Exception | None = None) -> None:
        """Do nothing."""


def run_request(
    request: TrainRequest, device: torch.device, supervisor: SupervisorLink, others: OtherRanks | None = None
) -> None:
    """Handle a request: train, probe, predict or preview, to its end or a stop; raise `RunFailure` if it fails."""
    torch.set_num_threads(request.threads)
    others, peak = others or NoOtherRanks(), PeakMemory(device)
    if request.task is not None and "rows" in request.task:
        run_predictions(request, device, supervisor)
        return
    if request.task is not None and "spec" in request.task:
        run_preview(request, supervisor)
        return
    try:
        training = prepare_request(request, device)
    except Exception as error:
        raise run_failure_of(error, None, building=True) from error
    session = None
    try:
        if request.task is not None:
            ProbeJob(request, training, supervisor).run()
            return
        check_devices(training.spec, others.size)
        session = Session(request, training, supervisor, peak)
        if training.spec.resources.devices > 1:
            others.begin(request, training)
        ended = session.run()
        others.end()
        supervisor.send(ended)
    except Exception as error:
        others.end(error)
        failure = run_failure_of(error, training.step)
        if session is not None:
            session.finish_failed()
            if failure.kind == "diverged":
                unprobed = replace(request, spec=request.spec | {"probes": []})
                replay_divergence(
                    partial(prepare_request, unprobed, device),
                    session.history(),
                    failure,
                    request.autopsy_s,
                    supervisor,
                )
        raise failure from error


def run_predictions(request: TrainRequest, device: torch.device, supervisor: SupervisorLink) -> None:
    """Handle a request that predicts rows; raise `RunFailure` where the model cannot be loaded."""
    try:
        job = PredictionJob(request, device, supervisor)
    except Exception as error:
        raise run_failure_of(error, None, building=True) from error
    try:
        job.run()
    except Exception as error:
        raise run_failure_of(error, job.stored.step) from error


def run_preview(request: TrainRequest, supervisor: SupervisorLink) -> None:
    """Handle a request that draws augmented samples; raise `RunFailure` where the data cannot be read."""
    from worker.trainer.preview_job import preview  # noqa: PLC0415  loads Pillow

    try:
        preview(request, folders_of(request), supervisor)
    except Exception as error:
        raise run_failure_of(error, None, building=True) from error


def check_devices(spec: Experiment, devices: int) -> None:
    """Raise if the run needs another number of devices than the trainer has; one device is always there."""
    if (wanted := spec.resources.devices) not in (1, devices):
        detail = f"/resources/devices is {wanted}, and this trainer has {devices}"
        raise RunFailure("spec_cannot_build", detail)


def prepare_request(request: TrainRequest, device: torch.device, splits: Splits | None = None) -> Training:
    """Build the training of a request, at step 0; it reads `splits` unless they are given."""
    return prepare(read_spec(request.spec), request.seed, device, folders_of(request), splits)


def folders_of(request: TrainRequest) -> DatasetFolders:
    """Return where the request's datasets are."""
    datasets, mounted = (Path(path) if path else None for path in (request.datasets, request.mounted))
    return DatasetFolders(datasets, request.resident_bytes, mounted)
