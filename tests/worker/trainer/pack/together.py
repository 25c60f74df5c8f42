"""Runs trained alone and as a pack, to be compared."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch

from service.spec.experiment import Experiment
from worker.trainer.data.dataset_folders import NO_FOLDERS
from worker.trainer.loop import Training, begin_training, make_step, prepare, read_splits, train
from worker.trainer.metrics import Metrics
from worker.trainer.numerics import set_numerics
from worker.trainer.pack.probes import PackedProbes
from worker.trainer.pack.randomness import MemberRandom
from worker.trainer.pack.steps import PackedSteps

CPU = torch.device("cpu")
PROBED = ("grad_norm", "update_ratio", "underflow_share", "cosine", "activation", "dead_", "saturated_", "rate")


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


Probed = list[dict[int, dict[str, float]]]  # by run and step, from step 2 on


def probed_alone(specs: Sequence[Experiment], steps: int) -> Probed:
    """What the probes of each run measure alone."""
    found: Probed = []
    for seed, spec in enumerate(specs):
        made = zip(range(steps), train(prepare(spec, seed, CPU)), strict=False)
        found.append({step.step: _numbers(step.metrics or {}) for _, step in made if step.step > 1})
    return found


def probed_together(specs: Sequence[Experiment], steps: int, keep: dict[int, list[int]] | None = None) -> Probed:
    """What they measure in a pack, which after the steps in `keep` goes on with these slots."""
    packed, _ = stacked(specs)
    probes = PackedProbes(packed)
    found: dict[int, dict[int, dict[str, float]]] = {training.seed: {} for training in packed.trainings}
    for step in range(2, steps + 1):
        block = packed.run(1, probes)
        for slot, training in enumerate(packed.trainings):
            metrics: Metrics = {} if block.measured is None else block.measured[slot]
            if training.probes.next_step == step:
                metrics |= training.probes.after_packed_update(training, step, nullcontext)
            if block.norms is not None:
                metrics["grad_norm"] = block.norms[0, slot]
            found[training.seed][step] = _numbers(metrics)
        if slots := (keep or {}).get(step):
            packed.keep(slots)
            probes.keep(slots)
    return list(found.values())


def _numbers(metrics: Metrics) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if name.startswith(PROBED)}


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
