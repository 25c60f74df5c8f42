"""Runs trained alone and as a pack, to be compared."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from service.spec.experiment import Experiment
from worker.trainer.data.dataset_folders import NO_FOLDERS
from worker.trainer.loop import Training, begin_training, make_step, prepare, read_splits, train
from worker.trainer.numerics import set_numerics
from worker.trainer.pack.randomness import MemberRandom
from worker.trainer.pack.steps import PackedSteps

CPU = torch.device("cpu")


class Curves(NamedTuple):
    """Losses (steps, runs), and the trainings after the last step."""

    losses: Any
    trainings: list[Training]


def alone(specs: Sequence[Experiment], steps: int) -> Curves:
    """Train run i of these with seed i, one after the other."""
    trainings, columns = [], []
    for seed, spec in enumerate(specs):
        training = prepare(spec, seed, CPU)
        columns.append([float(step.loss) for _, step in zip(range(steps), train(training), strict=False)])
        trainings.append(training)
    return Curves(np.array(columns).T, trainings)


def stacked(specs: Sequence[Experiment]) -> tuple[PackedSteps, list[float]]:
    """Build the same runs, each with its first step made, as packed steps; also return the losses of that step."""
    set_numerics(specs[0].precision, specs[0].determinism, CPU)
    splits = read_splits(specs[0], 0, NO_FOLDERS)
    trainings, random, losses = [], [], []
    for seed, spec in enumerate(specs):
        training = prepare(spec, seed, CPU, splits=splits)
        if trainings:
            training.batches.x, training.batches.y = trainings[0].batches.x, trainings[0].batches.y
            training.validation = trainings[0].validation
        begin_training(training)
        losses.append(float(make_step(training, 1).loss))
        random.append(MemberRandom(CPU))
        trainings.append(training)
    return PackedSteps(trainings, random), losses


def together(specs: Sequence[Experiment], steps: int, blocks: int = 1) -> Curves:
    """Train the same runs as a pack."""
    packed, first = stacked(specs)
    counts = [len(part) for part in np.array_split(range(steps - 1), blocks)]
    losses = np.concatenate([[first], *(packed.run(count).losses for count in counts)])
    return Curves(losses, packed.trainings)


def difference(one: Curves, other: Curves) -> tuple[float, float]:
    """Return the largest difference of the losses, over the largest loss of its run, and of the weights."""
    scale = np.abs(one.losses).max(0) + np.finfo(np.float32).tiny
    losses = np.abs(one.losses - other.losses).max(0) / scale
    pairs = zip(one.trainings, other.trainings, strict=True)
    weights = [
        (a - b).abs().max().item()
        for ours, theirs in pairs
        for a, b in zip(ours.model.parameters(), theirs.model.parameters(), strict=True)
    ]
    return float(losses.max()), max(weights)
