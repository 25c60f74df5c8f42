"""What a comparison asks and what it answers."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.api.views import Json, Number, Utc, View
from service.spec.component import Part
from service.spec.experiment import Name

Id = Annotated[str, Field(pattern="^(exp|run)_[0-9a-hjkmnp-tv-z]{26}$")]
Direction = Literal["min", "max"]
Verdict = Literal["distinguishable", "indistinguishable", "unknown"]


class Question(Part):
    """Which curves to compare. Give `experiments` or `runs`."""

    experiments: Annotated[tuple[Id, ...], Field(min_length=1, max_length=50)] | None = None
    runs: Annotated[tuple[Id, ...], Field(min_length=1, max_length=200)] | None = None
    series: Annotated[tuple[Name, ...], Field(min_length=1, max_length=20)] = ("loss", "val/loss")
    x: Literal["step", "epoch"] = "step"
    points: Annotated[int, Field(ge=2, le=2_000)] = 200
    group: Literal["experiment", "run"] = "experiment"


class Statistics(View):
    """Of one value per run; null where too few are finite. The interval is for the mean, at 95 %."""

    n: int = Field(description="finite values")
    diverged: int = Field(description="values that are not finite; in no other figure")
    mean: Number | None
    sd: Number | None
    median: Number | None
    min: Number | None
    max: Number | None
    ci_low: Number | None
    ci_high: Number | None


class CurveBand(View):
    """The same at each x; null where no run of the group has a finite value."""

    x: list[float]
    n: list[int]
    mean: list[Number | None]
    sd: list[Number | None]
    median: list[Number | None]
    min: list[Number | None]
    max: list[Number | None]
    ci_low: list[Number | None]
    ci_high: list[Number | None]


class GroupSeries(View):
    """One series of a group."""

    direction: Direction = Field(description="which way is better")
    curve: CurveBand
    last: Statistics
    best: Statistics


class Group(View):
    """Runs that differ in nothing but the seed, or a single one."""

    label: str
    experiment_id: str
    runs: list[str]
    diverged: int = Field(description="runs that failed as diverged, or recorded a value that is not finite")
    series: dict[str, GroupSeries]


class Rank(View):
    """A group's place."""

    rank: int
    label: str
    best: Statistics


class Ranking(View):
    """Groups by their best value of the first series."""

    series: str
    direction: Direction
    verdict: Verdict = Field(description="whether the first can be told from the second")
    note: str
    items: list[Rank]


class Differing(View):
    """A place at which the groups' specs are not all equal."""

    values: list[Any] = Field(description="one per group, in their order")
    missing: list[int] = Field(description="positions of groups whose spec has nothing there")


class ComparisonView(View):
    """The question, answered with what is stored now."""

    id: str
    created_at: Utc
    question: Json
    groups: list[Group]
    difference: dict[str, Differing] = Field(description="JSON Pointer -> what the groups have there")
    ranking: Ranking
    warnings: list[str]
