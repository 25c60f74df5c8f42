"""Learning-rate range test on a throw-away copy (Smith 2017, arXiv:1506.01186, section 3.3)."""

import math
import statistics
from typing import Any

from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, rounded, undisturbed
from worker.trainer.probes.scratch_training import scratch_copy, train_step

SMOOTHING = 0.95  # of the bias-corrected exponential mean that says when to stop
STOP = 4.0  # times the best smoothed loss, above the best
EITHER_SIDE = 0.05  # of the tested rates: a running median has so many neighbours on each side, and lags behind nothing
NOISE = 2.0  # standard deviations around the medians; of 25 tests of 100 losses that are pure noise one falls by more


class RangeTest:
    """The rate grows geometrically from step to step; the loss falls, then flattens, then rises.

    Everything but the rate is as the run would do it next. Suggested: where the smoothed loss falls steepest before it
    is least, and a tenth of where it is least; neither where it never fell by more than its noise. Cost: one training
    step a rate.
    """

    def __init__(self, component: Any) -> None:
        self.lowest: float = component.lowest
        self.highest: float = component.highest
        self.steps: int = component.steps

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return rates, losses, the two suggestions, and the rate where it stopped."""
        factor = (self.highest / self.lowest) ** (1 / (self.steps - 1))
        rates, losses, trailing = list[float](), list[float](), list[float]()
        with undisturbed(training.device):
            other = scratch_copy(training)
            mean = 0.0
            for i in range(self.steps):
                rate = self.lowest * factor**i
                loss = float(train_step(other, training.step + 1 + i, rate))
                mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
                rates.append(rate)
                losses.append(loss)
                trailing.append(mean / (1 - SMOOTHING ** (i + 1)))
                if not math.isfinite(loss) or _risen(trailing):
                    break
        smooth = smoothed(losses, max(1, round(EITHER_SIDE * self.steps)))
        steepest, tenth = suggestions(rates, losses, smooth)
        data = document(
            rates=rounded(rates),
            losses=rounded(losses),
            smoothed=rounded(smooth),
            steepest=steepest,
            tenth_of_minimum=tenth,
            stopped_at=rates[-1],
            complete=len(rates) == self.steps,
            why="" if steepest is not None else "the loss never fell by more than its noise",
            lr=float(training.spec.optimizer.lr),
        )
        return Measurement({"range_test/steepest": steepest} if steepest is not None else {}, data)


def _risen(smooth: list[float]) -> bool:
    """Four times the best, for a loss that is positive; for others as far above the best as the fall was, thrice."""
    best, first = min(smooth), smooth[0]
    return smooth[-1] > (STOP * best if best > 0 else best + (STOP - 1) * max(first - best, abs(first), 1e-12))


def smoothed(losses: list[float], side: int) -> list[float]:
    """Return the running median with `side` neighbours on each side, fewer at the ends: one spike moves none."""
    return [statistics.median(losses[max(0, i - side) : i + side + 1]) for i in range(len(losses))]


def suggestions(rates: list[float], losses: list[float], smooth: list[float]) -> tuple[float | None, float | None]:
    """Return where the loss falls steepest over the logarithm of the rate, and a tenth of the rate where it is least.

    None, None: it never fell by more than its noise.
    """
    known = [i for i in range(len(rates)) if math.isfinite(losses[i]) and math.isfinite(smooth[i])]
    if len(known) < 3:
        return None, None
    best = min(known, key=smooth.__getitem__)
    before = [i for i in known if i < best]
    noise = 1.4826 * statistics.median(abs(losses[i] - smooth[i]) for i in before) if before else 0.0
    if not before or smooth[known[0]] - smooth[best] <= NOISE * noise:
        return None, None
    steepest = max(before, key=lambda i: smooth[i] - smooth[i + 1])
    return rates[steepest], rates[best] / 10
