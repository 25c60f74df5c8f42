"""A training on fresh weights under Adam at one rate, and the search for the rate by successive halving."""

import math
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from worker.trainer.optim.fast_step import fast_step
from worker.trainer.probes.learnability.rows import MAX_COMPARED, Rows, group_losses, mean
from worker.trainer.probes.measurement import rounded

RATES = (3e-4, 3e-3, 3e-2)  # around Adam's usual rates
BUSY = 3.0  # times the seconds that are allowed, on a machine that is busy with something else
UPDATES = 16  # updates between two whose length is measured
Levels = dict[str, list[float]]  # losses of groups of rows, by part


class Clock:
    """The time that is left, and whether somebody wants it to end.

    It counts the thread's own processor time, so that a busy machine does not shorten what is trained; by the clock on
    the wall it may be three times as much.
    """

    def __init__(self, seconds: float, stopped: Callable[[], bool], latest: float = math.inf) -> None:
        self.stopped, self.ends = stopped, time.thread_time() + seconds
        self.latest = min(latest, time.monotonic() + BUSY * seconds)

    @property
    def left(self) -> float:
        """Seconds; 0 if none are left."""
        if self.stopped() or time.monotonic() >= self.latest:
            return 0.0
        return max(0.0, self.ends - time.thread_time())

    def part(self, share: float) -> "Clock":
        """Return a clock for a share of the seconds that are left."""
        return Clock(share * self.left, self.stopped, self.latest)


class Trial:
    """A model, its optimizer and its batches; `best` are its losses at the evaluation that was lowest."""

    def __init__(
        self,
        model: nn.Module,
        criterion: nn.Module,
        rows: Rows,
        rate: float,
        control: bool = False,
        unit: float = 1.0,
    ) -> None:
        self.model, self.criterion, self.rows, self.rate = model, deepcopy(criterion), rows, rate
        self.unit = unit  # of the loss: gradients far below Adam's eps would not train
        self.batches = rows.batches(0, control)
        x, y = self.batches.x[:MAX_COMPARED], self.batches.y[:MAX_COMPARED]
        self.parts = rows.parts | {"train": (x, y)}  # of a control with its own targets
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, rate)
        self.optimizer_step = fast_step(self.optimizer)
        self.step, self.legs, self.ratios = 0, list[tuple[int, float, float]](), list[float]()
        self.best: Levels = {}
        self.broken = False

    def advance(self, to: int, clock: Clock) -> bool:
        """Train to step `to` and evaluate; return whether it got there in time."""
        self.model.train()
        while self.step < to and clock.left and not self.broken:
            self._update()
        self._evaluate()
        return self.step >= to or self.broken

    def _update(self) -> None:
        x, y = self.batches.batch(self.step + 1)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.criterion(self.model(x), y)
        torch.autograd.backward(loss / self.unit)
        measured = self.step % UPDATES == UPDATES - 1
        before = [p.detach().clone() for p in self.parameters] if measured else []
        self.optimizer_step()
        self.step += 1
        if measured:
            moved = torch._foreach_norm(torch._foreach_sub([p.detach() for p in self.parameters], before))
            self.ratios.append(float(_root(moved) / _root(torch._foreach_norm(before)).clamp(min=1e-30)))
            self.broken = not bool(loss.isfinite())

    def _evaluate(self) -> None:
        levels = {name: group_losses(self.model, self.criterion, part) for name, part in self.parts.items()}
        judged, train = mean(levels[self.rows.judged]), mean(levels["train"])
        self.legs.append((self.step, train, judged))
        if not self.best or judged < mean(self.best[self.rows.judged]):
            self.best = levels

    @property
    def train_loss(self) -> float:
        """The latest loss of training rows."""
        return self.legs[-1][1]

    def as_json(self) -> dict[str, Any]:
        """Return what a reading holds of it."""
        update = statistics.median(self.ratios) if self.ratios else None
        legs = [[step, *rounded([train, judged])] for step, train, judged in self.legs]
        return {"rate": self.rate, "steps": self.step, "update_ratio": update, "legs": legs} | levels_as_json(self.best)


def levels_as_json(levels: Levels) -> dict[str, Any]:
    """Return mean losses by part, and those of groups of rows."""
    losses = dict(zip(levels, rounded([mean(each) for each in levels.values()]), strict=True))
    return {"loss": losses, "groups": {name: rounded(each) for name, each in levels.items()}}


def _root(norms: Any) -> Tensor:
    return torch.stack(list(norms)).square().sum().sqrt()


def search_rate(build: Callable[[float], Trial], steps: int, clock: Clock) -> tuple[Trial, list[Trial], bool]:
    """Return the best trial after `steps`, all trials, and whether time sufficed.

    Successive halving: all rates for a quarter of the steps, the better two to half, the best to the end.
    """
    trials = [build(rate) for rate in RATES]
    standing, enough = trials, True
    legs = ((0.25, 0.25), (0.5, 0.25), (1.0, 0.5))  # where one ends, and its length, in shares of the steps
    work = sum(length * (len(RATES) - number) for number, (_, length) in enumerate(legs))
    for end, length in legs:
        for trial in standing:
            enough = trial.advance(max(1, round(end * steps)), clock.part(length / work)) and enough
            work = max(length, work - length)
        standing = sorted(standing, key=lambda trial: trial.train_loss)[: max(1, len(standing) - 1)]
    return standing[0], trials, enough and standing[0].step >= steps
