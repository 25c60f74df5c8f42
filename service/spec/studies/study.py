"""The study: the document that is posted to search a space of specs within a budget."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from service.errors import Problem
from service.spec.component import Integer, Json, Part
from service.spec.experiment import NewName, Seed
from service.spec.measures import Direction, RankedBy, SeriesName, better_direction, default_figure
from service.spec.studies import Dimension, Pruner, StudySampler
from service.spec.studies.pruners import NoPruner
from service.spec.studies.samplers import Tpe
from service.spec.text import normalise


class TrialObjective(Part):
    """What a trial is judged by: a figure of one series, averaged over the trial's seeds."""

    series: SeriesName = Field("val/loss", description="series; default: val/loss, or loss where nothing is validated")
    figure: RankedBy = Field(
        default_factory=lambda given: default_figure(given.get("series", "")),
        description="best value of the run or its last; default: best, of the loss of minibatches last",
    )
    direction: Direction = Field(
        default_factory=lambda given: better_direction(given.get("series", "")),
        description="the better direction; default: as the series has it",
    )

    @property
    def sign(self) -> int:
        """1 if lower is better, -1 if higher is."""
        return 1 if self.direction == "min" else -1


class Budget(Part):
    """What the study may use, all seeds of all trials together; it ends at the first limit."""

    trials: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="points to try")
    steps: Annotated[int, Field(ge=1, le=10**12)] | None = Field(None, description="optimizer updates")
    device_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = Field(None, description="seconds of training")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless there is a limit."""
        if all(getattr(self, name) is None for name in type(self).model_fields):
            yield Problem("", "missing", "give at least one of trials, steps and device_seconds.")


class Study(Part):
    """A search over a space of specs; every trial is an experiment with the same seeds."""

    name: NewName = "study"
    notes: Annotated[str, Field(max_length=4096), AfterValidator(normalise)] = ""
    base: Json = Field(description="the spec that every point changes: a document as for an experiment")
    space: dict[str, Dimension] = Field(
        min_length=1, max_length=50, description="the fields that are searched, by JSON pointer into the spec"
    )
    objective: TrialObjective = TrialObjective()
    sampler: StudySampler = Tpe()
    pruner: Pruner = NoPruner()
    budget: Budget
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="seeds of every trial, the same for all; null: the base's"
    )
    parallel: Annotated[int, Field(ge=1, le=1000)] = Field(4, description="trials in training at once, at most")
    seed: Integer = Field(0, description="seed of the search itself")

    def normalised(self) -> Json:
        """Return the document with every default filled in, as JSON."""
        return self.model_dump(mode="json")
