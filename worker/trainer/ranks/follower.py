"""A rank above 0: prepares what rank 0 prepares, and makes the steps that rank 0 names.

It evaluates and reports nothing: probes, validation, averaged weights and stop rules are rank 0's alone.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save as pack_tensors

from worker.pipe import read_frame, write_frame
from worker.protocol import Failed, Frame, NextStep, RankStates, RunOver, SendStates, TrainRequest
from worker.trainer.channel import PARENT_GONE
from worker.trainer.checkpoints import checkpoint
from worker.trainer.device_memory import give_back
from worker.trainer.failures import describe_error, run_failure_of
from worker.trainer.loop import Training, descend
from worker.trainer.optim.schedule_free import train_mode
from worker.trainer.ranks.divided import digest, divide, state_tensors, stream_seed
from worker.trainer.ranks.group import Group
from worker.trainer.requests import prepare_request


class LeaderLink:
    """The pipe to rank 0; the process exits when it closes."""

    def __init__(self, inward: int, outward: int) -> None:
        self._inward, self._outward = os.fdopen(inward, "rb"), os.fdopen(outward, "wb")

    def receive(self) -> Frame:
        """Wait for the next frame."""
        if (frame := read_frame(self._inward)) is None:
            os._exit(PARENT_GONE)
        return frame

    def send(self, frame: Frame) -> None:
        """Send a frame."""
        write_frame(self._outward, frame)


def follow(link: LeaderLink, group: Group, device: torch.device) -> None:
    """Take part in one run after another; return after a failure."""
    while True:
        training: Training | None = None
        give_back(device)
        request = link.receive()
        if not isinstance(request, TrainRequest):
            continue  # a run that ended before it began here
        try:
            training = join_run(request, group, device)
            take_steps(training, link)
        except Exception as error:
            failure = run_failure_of(error, training.step if training else None)
            sys.excepthook(*sys.exc_info())
            kind, evidence = failure.kind, failure.evidence
            link.send(Failed(kind=kind, detail=describe_error(error), evidence=evidence, trainer_usable=False))
            return


def join_run(request: TrainRequest, group: Group, device: torch.device) -> Training:
    """Prepare the training of a request in the state that rank 0 continues from."""
    torch.set_num_threads(request.threads)
    training = prepare_request(replace(request, spec=request.spec | {"probes": []}), device)
    training.rank = group.rank
    torch.manual_seed(stream_seed(training.seed, group.rank))
    if resume := request.resume:
        load = checkpoint.load_fork if request.fork else checkpoint.load
        load(Path(resume["folder"]), resume["sha256"], training)
    training.validation = training.training_part = training.pipeline.average = None
    divide(training, group)
    return training


def take_steps(training: Training, link: LeaderLink) -> None:
    """Make the steps that rank 0 names until the run is over."""
    training.model.train()
    train_mode(training.optimizers)
    while not isinstance(command := link.receive(), RunOver):
        if isinstance(command, NextStep):
            training.begin_step(command.step)
            training.rates.load(command.schedule)
            training.rates.apply(command.step - training.pipeline.precision.skipped)
            descend(training, command.step, probed=False)
            training.step = command.step
        elif isinstance(command, SendStates):
            states = checkpoint.random_states(training.device)
            payload = pack_tensors({name.removeprefix("random/"): state for name, state in states.items()})
            link.send(RankStates(digest=digest(state_tensors(training)), payload=payload))
