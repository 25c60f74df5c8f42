"""Settings of the training loop: precision, determinism, clipping, averages, stop rules, non-finite losses, devices."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Count, Part, under
from service.spec.measures import SeriesName, better_direction

Precision = Literal["fp64", "fp32", "tf32", "bf16", "fp16"]
Determinism = Literal["strict", "warn", "off"]
Limit = Annotated[float, Field(ge=-1e12, le=1e12)]
Norm = Annotated[float, Field(gt=0, le=1e9)]
AtStep = Count
AtShare = Annotated[float, Field(gt=0, lt=1)]


class Clip(Part):
    """Gradient clipping. The norm before clipping is recorded as grad_norm.

    Each evaluation records clipped_share: the share of the updates so far that were clipped.
    """

    norm: Norm | None = Field(None, description="maximum 2-norm of the whole gradient")
    value: Norm | None = Field(None, description="maximum absolute value of each gradient entry")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless exactly one of the two is given."""
        if (self.norm is None) == (self.value is None):
            yield Problem("", "contradiction", "give exactly one of norm and value.")


class BalancedSampler(Part):
    """Draw training rows with replacement, so that every class is as likely as any other.

    An epoch has as many draws as there are rows; they depend on the seed and the epoch alone.
    """

    kind: Literal["balanced"] = "balanced"


class WeightedSampler(Part):
    """Draw training rows with replacement, in proportion to their weights: the column /dataset/weights of a table.

    Otherwise as `balanced`. A row of weight 0 is never drawn.
    """

    kind: Literal["weighted"] = "weighted"


Sampler = Annotated[BalancedSampler | WeightedSampler, Field(discriminator="kind")]


class EMA(Part):
    """Exponential moving average of the weights after each update: a <- decay a + (1 - decay) p, starting at a = p.

    Batch normalisation uses the model's own running statistics.
    """

    kind: Literal["ema"] = "ema"
    decay: Beta = Field(0.999, description="share of the average that each update keeps")


class SWA(Part):
    """Stochastic weight averaging: the mean of the weights from `start` on (Izmailov et al. 2018, arXiv:1803.05407).

    Each evaluation recomputes the statistics of batch normalisation on the training part.
    """

    kind: Literal["swa"] = "swa"
    start: AtStep | AtShare = Field(0.75, description="first update to average, or its share of the run")
    every_steps: Count | None = Field(None, description="average every so many updates; null: once per epoch")

    def first(self, total: int) -> int:
        """Return the first update that is averaged, of a run of `total` updates."""
        return self.start if isinstance(self.start, int) else max(1, round(self.start * total))


class OptimizerAverage(Part):
    """The average that the optimizer asgd keeps of its weights after update `t0` (Polyak & Juditsky 1992).

    Parameters of other optimizers and statistics of batch normalisation are the model's own.
    """

    kind: Literal["asgd"] = "asgd"


Average = Annotated[EMA | SWA | OptimizerAverage, Field(discriminator="kind")]


class StopTarget(Part):
    """Stop at the first evaluation whose value passes the target."""

    series: SeriesName
    below: Limit | None = Field(None, description="stop below this value")
    above: Limit | None = Field(None, description="stop above this value")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless exactly one side is given."""
        if (self.below is None) == (self.above is None):
            yield Problem("", "contradiction", "give exactly one of below and above.")


class Patience(Part):
    """Early stopping: stop after so many evaluations in a row without a new best value. NaN is never best."""

    series: SeriesName = "val/loss"
    evaluations: Count = Field(description="evaluations without a new best value")
    min_delta: Annotated[float, Field(ge=0, le=1e12)] = Field(0.0, description="smallest improvement that counts")

    @property
    def sign(self) -> int:
        """1 if lower is better, -1 if higher is."""
        return 1 if better_direction(self.series) == "min" else -1


class Stop(Part):
    """Rules that end a run early, as succeeded. The attempt records the rule that ended it."""

    target: StopTarget | None = None
    grad_norm_below: Norm | None = Field(
        None, description="stop when the gradient norm before clipping is below this; synchronises with the device"
    )
    patience: Patience | None = None
    seconds: Annotated[float, Field(gt=0, le=1e8)] | None = Field(
        None, description="maximum training time over all attempts; makes the length of the run depend on the machine"
    )

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if no rule is given, and the problems of the rules."""
        if all(getattr(self, name) is None for name in type(self).model_fields):
            yield Problem("", "missing", f"give one of {', '.join(type(self).model_fields)}, or null for no rule.")
        if self.target is not None:
            yield from under("/target", self.target.problems())

    @property
    def watched(self) -> dict[str, str]:
        """The watched series by the pointer that names each."""
        rules = {"/target/series": self.target, "/patience/series": self.patience}
        return {pointer: rule.series for pointer, rule in rules.items() if rule is not None}


class StopAfter(Part):
    """Fail the run after so many consecutive non-finite losses."""

    stop_after: Count = Field(description="consecutive non-finite losses")


Nonfinite = Literal["fail", "continue"] | StopAfter


def allowed_nonfinite(policy: Nonfinite) -> int | None:
    """Return how many consecutive losses may be non-finite; None: any number."""
    if isinstance(policy, StopAfter):
        return policy.stop_after - 1
    return 0 if policy == "fail" else None


class Resources(Part):
    """What a run needs of its worker."""

    devices: int = Field(
        1, ge=1, le=16, description="devices that train the run together, each a part of every batch (data parallel)"
    )
    memory_mb: Literal["auto"] | Annotated[int, Field(ge=1, le=10**7)] = Field(
        "auto", description='memory of a device in MiB, reserved where runs share one; "auto": as estimated'
    )
    loader_processes: Literal["auto"] | Annotated[int, Field(ge=0, le=16)] = Field(
        "auto",
        description="processes that augment images on the CPU ahead of the updates, which changes no value; "
        '"auto": one per core, 4 at most; one where there are only flips, crops and mixtures',
    )
