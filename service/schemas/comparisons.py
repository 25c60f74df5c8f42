"""Comparisons: the question and the answer."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from service.errors import Problem
from service.schemas.common import Json, Utc, View
from service.schemas.confirmations import ConfirmationView
from service.schemas.rankings import EffortView, Ranking, TargetView
from service.schemas.statistics import CurveBand, Statistics
from service.spec.component import Part
from service.spec.experiment import Name
from service.spec.measures import Direction, RankedBy
from service.spec.text import normalise

Id = Annotated[str, Field(pattern="^(exp|run)_[0-9a-hjkmnp-tv-z]{26}$")]
Axis = Literal["step", "epoch", "samples", "gradient_evaluations", "wall_s", "device_s"]
FieldPath = Annotated[str, Field(min_length=1, max_length=200)]


class Target(Part):
    """The target that counts as good enough. Give `value` or `share`."""

    series: Name | None = Field(None, description="null: the question's first series")
    value: float | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="of the way from the median first value to the best trial's median over seeds, on each workload",
    )

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless exactly one of the two is given."""
        if (self.value is None) == (self.share is None):
            yield Problem("", "contradiction", "give exactly one of value and share.")


class Question(Part):
    """Which curves to compare. Give `experiments`, `runs` or `filter`.

    Of an experiment, the newest run of each seed counts; replays do not.
    """

    experiments: Annotated[tuple[Id, ...], Field(min_length=1, max_length=500)] | None = None
    runs: Annotated[tuple[Id, ...], Field(min_length=1, max_length=1000)] | None = None
    filter: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="of experiments, in the filter language; evaluated at every request, at most 500 then"
    )
    series: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)] | None = Field(
        None,
        description="the first one is ranked; null: those of val/loss, val/accuracy and loss that any of the runs has "
        "measured, in this order",
    )
    x: Axis = Field(
        "step",
        description="wall_s counts from the first start, device_s leaves out the time between attempts; both are exact "
        "at starts, checkpoints and ends, and in proportion to the steps between",
    )
    points: Annotated[int, Field(ge=2, le=2_000)] | None = Field(
        200, description="of a curve; null: no curves. A long curve is drawn by the last value of each stored bucket"
    )
    window: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = Field(
        None,
        description="first and last x of the curves, on the axis x: `points` then share this part; figures, ranking "
        "and target stay those of whole runs",
    )
    smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="weight of a bias-corrected exponential average, beside the raw curve; 0: none"
    )
    group: FieldPath | Annotated[tuple[FieldPath, ...], Field(min_length=1, max_length=5)] = Field(
        "experiment",
        description="experiment, run, or fields of the spec by dotted path: optimizer.kind. A group of several "
        "experiments is ranked by the one that did best",
    )
    figure: RankedBy | None = Field(
        None,
        description="which value of a run is ranked; null: the best, or of a series with one value per minibatch the "
        "last. `last` of such a series is the mean over the final stretch of the run: see `ranking.stretch`",
    )
    baseline: Annotated[str, Field(max_length=300), AfterValidator(normalise)] | None = Field(
        None, description="label of the group to hold the others against; null: the first of the ranking"
    )
    target: Target | None = None
    reference: Annotated[float, Field(ge=-1e12, le=1e12)] | None = Field(
        None, description="a value of the ranked figure: each group's mean is tested for being better than it"
    )


class GroupSeries(View):
    """One series of a group, over all of its runs."""

    direction: Direction = Field(description="which way is better")
    curve: CurveBand | None
    smoothed: CurveBand | None
    last: Statistics
    best: Statistics


class Group(View):
    """Runs that differ in nothing but the seed, a single one, or all with the same value of some fields."""

    label: str
    experiment_id: str = Field(description="of its first trial")
    trials: list[str] = Field(description="its experiments")
    trial_labels: list[str] = Field(description="their names, unique within the comparison")
    runs: list[str]
    diverged: int = Field(description="runs that failed as diverged, or went on after a loss that was not finite")
    incomplete: int = Field(description="runs that failed otherwise, or were cancelled: they have no value")
    unfinished: int = Field(description="runs that have not ended, nor come to the end of their schedule")
    effort: EffortView
    series: dict[str, GroupSeries]


class Differing(View):
    """A field in which the specs differ."""

    values: list[Any] = Field(description="one per experiment, in the order of the groups and of their trial_labels")
    missing: list[int] = Field(description="positions of experiments whose spec has nothing there")


class Mismatch(View):
    """An aspect in which the compared runs differ."""

    aspect: str
    severity: Literal["fatal", "unfair", "noted"] = Field(
        description="fatal: figures have no common scale; unfair: one side may be favoured; noted: maybe the question"
    )
    detail: str
    values: list[Any] = Field(description="one per group, in their order; several where a group is not of one kind")


class Comparability(View):
    """Whether the comparison is fair, and why not."""

    comparable: bool = Field(description="nothing fatal")
    fair: bool = Field(description="nothing fatal or unfair")
    mismatches: list[Mismatch]


class ComparisonView(View):
    """The answer to a comparison, from what is stored now."""

    id: str
    created_at: Utc
    question: Json
    groups: list[Group]
    difference: dict[str, Differing] = Field(description="JSON Pointer -> what the experiments have there")
    comparability: Comparability
    ranking: Ranking
    confirmation: ConfirmationView | None = Field(description="by fresh seeds; null: nobody has asked for one")
    target: TargetView | None
    warnings: list[str]
