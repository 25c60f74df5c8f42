"""Learning-rate range test on a scratch copy (Smith 2017, arXiv:1506.01186, section 3.3)."""

import math
import statistics

from service.spec.probes import on_demand
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    rounded,
    side_effect_free,
)
from worker.trainer.probes.scratch_training import scratch_copy, train_step

SMOOTHING = 0.95  # of the bias-corrected exponential mean that says when to stop
STOP = 4.0  # times the best smoothed loss
NEIGHBOURS = 0.05  # of the tested rates, on each side of a running median, which does not lag
NOISE = 2.0  # standard deviations around the medians; pure noise exceeds it in one of 25 tests of 100 losses


class RangeTest(Instrument[on_demand.RangeTest]):
    """The rate grows geometrically from step to step; the loss falls, then flattens, then rises.

    Everything else is as in the run's next steps. Two rates are suggested: where the smoothed loss falls steepest
    before its minimum, and a tenth of the rate at the minimum; none if it never fell by more than its noise. Cost: one
    training step per rate.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return rates, losses, the two suggested rates, and the rate at which the test stopped."""
        factor = (self.component.highest / self.component.lowest) ** (1 / (self.component.steps - 1))
        rates, losses, trailing = list[float](), list[float](), list[float]()
        with side_effect_free(training.device):
            other = scratch_copy(training)
            mean = 0.0
            for i in range(self.component.steps):
                rate = self.component.lowest * factor**i
                loss = float(train_step(other, training.step + 1 + i, rate))
                mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
                rates.append(rate)
                losses.append(loss)
                trailing.append(mean / (1 - SMOOTHING ** (i + 1)))
                if not math.isfinite(loss) or _has_risen(trailing):
                    break
        smooth = running_median(losses, max(1, round(NEIGHBOURS * self.component.steps)))
        steepest, tenth = suggest_rates(rates, losses, smooth)
        data = as_json(
            rates=rounded(rates),
            losses=rounded(losses),
            smoothed=rounded(smooth),
            steepest=steepest,
            tenth_of_minimum=tenth,
            stopped_at=rates[-1],
            complete=len(rates) == self.component.steps,
            why="" if steepest is not None else "the loss never fell by more than its noise",
            lr=float(training.spec.optimizer.lr),
        )
        return Measurement({"range_test/steepest": steepest} if steepest is not None else {}, data)


def _has_risen(smooth: list[float]) -> bool:
    """Whether the loss is 4 times its best; where that is not positive, 3 times the fall above the best."""
    best, first = min(smooth), smooth[0]
    return smooth[-1] > (STOP * best if best > 0 else best + (STOP - 1) * max(first - best, abs(first), 1e-12))


def running_median(losses: list[float], side: int) -> list[float]:
    """Return the running median with `side` neighbours on each side, fewer at the ends; a single spike vanishes."""
    return [statistics.median(losses[max(0, i - side) : i + side + 1]) for i in range(len(losses))]


def suggest_rates(rates: list[float], losses: list[float], smooth: list[float]) -> tuple[float | None, float | None]:
    """Return the rate of the steepest fall over log(rate), and a tenth of the rate at the minimum.

    None, None if the loss never fell by more than its noise.
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
