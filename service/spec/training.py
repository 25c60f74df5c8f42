"""Settings of the training loop: clipping, averaged weights, stop rules, non-finite losses."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Count, Part, under
from service.spec.measures import better_direction

Precision = Literal["fp32", "bf16", "fp16"]
WatchedSeries = Literal["loss", "val/loss", "val/accuracy", "average/val/loss", "average/val/accuracy"]
Limit = Annotated[float, Field(ge=-1e12, le=1e12)]
Norm = Annotated[float, Field(gt=0, le=1e9)]
AtStep = Count
AtShare = Annotated[float, Field(gt=0, lt=1)]


class Clip(Part):
    """Gradient clipping before the update; the norm before clipping is recorded as grad_norm.

    The share of the updates so far that were clipped is recorded as clipped_share at each evaluation.
    """

    norm: Norm | None = Field(None, description="largest total 2-norm")
    value: Norm | None = Field(None, description="largest absolute entry")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless exactly one of the two is given."""
        if (self.norm is None) == (self.value is None):
            yield Problem("", "contradiction", "give exactly one of norm and value.")


class EMA(Part):
    """An exponential moving average of the weights, after every update: a <- decay a + (1 - decay) p; first a <- p.

    Statistics of a batch normalisation are the model's own.
    """

    kind: Literal["ema"] = "ema"
    decay: Beta = 0.999


class SWA(Part):
    """The plain mean of the weights from `start` on (Izmailov et al. 2018, arXiv:1803.05407).

    Statistics of a batch normalisation are measured anew on the training part at each evaluation.
    """

    kind: Literal["swa"] = "swa"
    start: AtStep | AtShare = Field(0.75, description="the first averaged update, or its share of the run")
    every_steps: Count | None = Field(None, description="updates between two averaged ones; null: an epoch")

    def first(self, total: int) -> int:
        """Return the first update that is averaged, of a run of `total` updates."""
        return self.start if isinstance(self.start, int) else max(1, round(self.start * total))


class OptimizerAverage(Part):
    """The mean that the optimizer asgd keeps by itself, of its weights after update `t0` (Polyak & Juditsky 1992).

    Parameters that another optimizer steps are the model's own, and so are statistics of a batch normalisation.
    """

    kind: Literal["asgd"] = "asgd"


Average = Annotated[EMA | SWA | OptimizerAverage, Field(discriminator="kind")]


class StopTarget(Part):
    """Ends the run at the first evaluation whose value is beyond the target."""

    series: WatchedSeries
    below: Limit | None = None
    above: Limit | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless exactly one side is given."""
        if (self.below is None) == (self.above is None):
            yield Problem("", "contradiction", "give exactly one of below and above.")


class Patience(Part):
    """Ends the run after so many evaluations in a row without a new best; NaN is never one."""

    series: WatchedSeries = "val/loss"
    evaluations: Count
    min_delta: Annotated[float, Field(ge=0, le=1e12)] = Field(0.0, description="a smaller gain is none")

    @property
    def sign(self) -> int:
        """1 if lower is better, -1 if higher is."""
        return 1 if better_direction(self.series) == "min" else -1


class Stop(Part):
    """Ends a run early, as succeeded; the first rule that holds is recorded with the attempt."""

    target: StopTarget | None = None
    grad_norm_below: Norm | None = Field(None, description="at any step, before clipping; waits for the device")
    patience: Patience | None = None
    seconds: Annotated[float, Field(gt=0, le=1e8)] | None = Field(
        None, description="of training, over all attempts; makes the length of the run depend on the machine"
    )

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if no rule is given, and the problems of the rules."""
        if all(getattr(self, name) is None for name in type(self).model_fields):
            yield Problem("", "missing", f"give one of {', '.join(type(self).model_fields)}, or null for no rule.")
        if self.target is not None:
            yield from under("/target", self.target.problems())

    @property
    def watched(self) -> dict[str, WatchedSeries]:
        """The watched series by the pointer that names each."""
        rules = {"/target/series": self.target, "/patience/series": self.patience}
        return {pointer: rule.series for pointer, rule in rules.items() if rule is not None}


class StopAfter(Part):
    """Fails the run after so many consecutive losses that are not finite."""

    stop_after: Count


Nonfinite = Literal["fail", "continue"] | StopAfter


def allowed_nonfinite(policy: Nonfinite) -> int | None:
    """Return how many consecutive losses may be non-finite; None: any number."""
    if isinstance(policy, StopAfter):
        return policy.stop_after - 1
    return 0 if policy == "fail" else None
