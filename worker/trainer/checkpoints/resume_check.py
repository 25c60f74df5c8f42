"""Whether a run that is cut by a real save and load equals the same run uncut: every loss, rate, reading and weight."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import Training, train

Trace = list[tuple[Any, ...]]


def trace(training: Training, until: int | None = None) -> Trace:
    """Train, and return everything that is recorded, exactly: NaN too equals itself as text.

    But the cosine with the gradient before, which no checkpoint holds: after a cut the first one is left out.
    """
    seen: Trace = []
    for step in train(training):
        found = {name: value for name, value in (step.metrics or {}).items() if name != "cosine/gradient"}
        readings = {name: float(value).hex() for name, value in found.items()}
        seen.append((step.step, step.lr.hex(), float(step.loss).hex(), readings))
        if step.step == until:
            break
    return seen


def weights(training: Training) -> dict[str, bytes]:
    """Return parameters and buffers by name."""
    return {name: value.cpu().numpy().tobytes() for name, value in training.model.state_dict().items()}


def train_in_pieces(prepare: Callable[[], Training], cuts: Sequence[int], folder: Path) -> tuple[Training, Trace]:
    """Train a run that is cut at these steps; return its last training, and what was recorded."""
    training, seen = prepare(), Trace()
    for cut in cuts:
        seen += trace(training, cut)
        if training.ended:
            break
        saved = checkpoint.save(folder, training, {})
        torch.manual_seed(cut)  # another run in the process drew
        training = prepare()
        checkpoint.load(saved.folder, saved.sha256, training)
    return training, seen + trace(training)


def difference(one: tuple[Training, Trace], other: tuple[Training, Trace]) -> str | None:
    """Return the first difference between two ended trainings; None: there is none, to the last bit."""
    (ours, expected), (theirs, seen) = one, other
    for before, after in zip(expected, seen, strict=False):
        if before != after:
            return f"step {before[0]}: {before[1:]} became {after[1:]}"
    if len(expected) != len(seen):
        return f"{len(expected)} steps became {len(seen)}"
    whole, cut = weights(ours), weights(theirs)
    return next((f"weight {name}" for name in whole if whole[name] != cut[name]), None)
