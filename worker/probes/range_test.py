"""Learning-rate range test on a throw-away copy (Smith 2017, arXiv:1506.01186, section 3.3)."""

import math
from typing import Any

from worker.probes.copying import advance, copy_of
from worker.probes.look import Look, Subject, document, rounded, undisturbed

SMOOTHING = 0.95  # of the bias-corrected exponential mean
STOP = 4.0  # times the best smoothed loss, above the best
SKIPPED = 0.1  # of the tested rates at the low end, where the mean has not settled


class RangeTest:
    """The rate grows geometrically from step to step; the loss falls, then flattens, then rises.

    Everything but the rate is as the run would do it next. Suggested: where the smoothed loss falls steepest, and a
    tenth of where it is least. Cost: one training step a rate.
    """

    def __init__(self, component: Any) -> None:
        self.lowest: float = component.lowest
        self.highest: float = component.highest
        self.steps: int = component.steps

    def look(self, training: Subject) -> Look:
        """Rates, losses, the two suggestions, and the rate where it stopped."""
        factor = (self.highest / self.lowest) ** (1 / (self.steps - 1))
        rates, losses, smooth = list[float](), list[float](), list[float]()
        with undisturbed(training.device):
            other = copy_of(training)
            mean = 0.0
            for i in range(self.steps):
                rate = self.lowest * factor**i
                loss = float(advance(other, training.step + 1 + i, rate))
                mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
                rates.append(rate)
                losses.append(loss)
                smooth.append(mean / (1 - SMOOTHING ** (i + 1)))
                if not math.isfinite(loss) or _risen(smooth):
                    break
        steepest, tenth = suggestions(rates, smooth)
        data = document(
            rates=rounded(rates),
            losses=rounded(losses),
            smoothed=rounded(smooth),
            steepest=steepest,
            tenth_of_minimum=tenth,
            stopped_at=rates[-1],
            complete=len(rates) == self.steps,
            lr=float(training.spec.optimizer.lr),
        )
        return Look({"range_test/steepest": steepest} if steepest is not None else {}, data)


def _risen(smooth: list[float]) -> bool:
    """Four times the best, for a loss that is positive; for others as far above the best as the fall was, thrice."""
    best, first = min(smooth), smooth[0]
    return smooth[-1] > (STOP * best if best > 0 else best + (STOP - 1) * max(first - best, abs(first), 1e-12))


def suggestions(rates: list[float], smooth: list[float]) -> tuple[float | None, float | None]:
    """(steepest fall over the logarithm of the rate, a tenth of the rate at the least loss); None: it never fell."""
    first = int(SKIPPED * len(rates))
    finite = [i for i in range(first, len(rates)) if math.isfinite(smooth[i])]
    if len(finite) < 3:
        return None, None
    falls = {i: smooth[i + 1] - smooth[i - 1] for i in finite[1:-1]}
    best = min(finite, key=smooth.__getitem__)
    least = min(falls, key=falls.__getitem__)
    if falls[least] >= 0:
        return None, None
    return rates[least], rates[best] / 10
