"""The rows of the learnability probe: what its trainings fit, and what all of them are compared on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from service.spec.memory import output_numbers
from worker.trainer.data.batches import Batch, Batches
from worker.trainer.probes.inline.side_effect_free import sample_rows
from worker.trainer.probes.measurement import ProbedTraining

MAX_FITTED = 16_384  # rows
MAX_BYTES = 64 * 2**20  # of their x
MAX_COMPARED = 1024  # rows of a part
HELD_OUT = 0.1  # of the rows, where no row is drawn twice
LEAST = 32  # rows of a part that says something
GROUPS = 16  # of rows, whose losses show how uncertain a difference is
WHOLE_BYTES = 256 * 2**20  # of activations: a batch that needs less may be larger than the run's
BATCH = 32, 256  # rows of an update, where the run's are fewer or more


@dataclass(frozen=True)
class Rows:
    """Rows to fit, and the parts to compare on: "train", and "held_out" and "validation" where there are enough."""

    fitted: Batch
    parts: dict[str, Batch]
    batch: int  # rows of an update

    @property
    def judged(self) -> str:
        """The part that says most: rows that nothing was fitted to, like those of the run's own validation."""
        return next(name for name in ("validation", "held_out", "train") if name in self.parts)

    def batches(self, seed: int, shuffled_targets: bool = False) -> Batches:
        """Return the batches of a training; of the control the targets are permuted among the rows."""
        x, y = self.fitted
        if shuffled_targets:
            y = y.index_select(0, _order(len(y), 1).to(y.device))
        return Batches(x, y, min(self.batch, len(x)), seed)


def choose_rows(training: ProbedTraining, steps: int) -> Rows:
    """Return rows of the run's own parts, enough for `steps` updates where there are so many."""
    batch = batch_size(training)
    x, y = _collect(training, min(MAX_FITTED, max(steps * batch, 2 * MAX_COMPARED)))
    outputs, parts = output_numbers(training.spec), dict[str, Batch]()
    held = 0 if training.batches.draw or training.batches.shares is not None else int(HELD_OUT * len(x))
    if held >= LEAST:
        parts["held_out"] = x[-held:][:MAX_COMPARED], y[-held:][:MAX_COMPARED]
        x, y = x[:-held], y[:-held]
    if training.validation is not None and len(training.validation.x) >= LEAST:
        given, targets = sample_rows(training.validation, outputs)
        parts["validation"] = given[:MAX_COMPARED], targets[:MAX_COMPARED]
    parts["train"] = x[:MAX_COMPARED], y[:MAX_COMPARED]
    return Rows((x, y), parts, batch)


def batch_size(training: ProbedTraining) -> int:
    """Return the run's rows per update, within `BATCH`; no more than the run computes at once if these are large."""
    spec = training.spec
    per_row = spec.model.activations(spec.dataset.facts.shape, spec.outputs)
    whole = max(1, spec.rows_per_step // spec.accumulate)
    fits = per_row is not None and 4 * BATCH[0] * per_row < WHOLE_BYTES
    return min(BATCH[1], max(BATCH[0], whole) if fits else whole)


def _collect(training: ProbedTraining, most: int) -> Batch:
    """Return up to `most` training rows from whole batches, in random order, each row at most once."""
    batches = training.batches.copy()
    most = max(1, min(most, MAX_BYTES // max(1, 4 * math.prod(batches.x.shape[1:]))))
    found, rows = list[Batch](), 0
    for step in _order(batches.per_epoch, 0).tolist():
        found.append(batches.batch(step + 1))
        rows += len(found[-1][0])
        if rows >= most:
            break
    x, y = torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])
    order = _order(len(x), 2)[:most].to(x.device)
    return x.index_select(0, order), y.index_select(0, order)


def _order(n: int, number: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(number))


def group_losses(model: nn.Module, criterion: nn.Module, rows: Batch) -> list[float]:
    """Return the mean losses of up to 16 groups of rows, in evaluation mode."""
    was, (x, y) = model.training, rows
    model.eval()
    groups = min(GROUPS, len(x))
    with torch.no_grad():
        pairs = zip(torch.tensor_split(x, groups), torch.tensor_split(y, groups), strict=True)
        found = torch.stack([criterion(model(part), targets) for part, targets in pairs])
    model.train(was)
    return [float(value) for value in found.tolist()]


def mean(losses: Sequence[float]) -> float:
    """Return the mean, infinite if a loss is not finite."""
    value = sum(losses) / len(losses)
    return value if math.isfinite(value) else math.inf
