"""Experiments: posting, listing, reading."""

from pydantic import Field

from service.schemas.common import Json, Number, Utc, View
from service.schemas.problems import ProblemItem
from service.schemas.runs import RunView
from service.spec.measures import Direction, Outcome, RankedBy


class FiguresView(View):
    """The mean over the runs that count, one for each seed, of one series."""

    series: str = Field(description="val/loss, or val/accuracy or loss where that is not measured")
    direction: Direction = Field(description="which way is better")
    ranked_by: RankedBy = Field(description="last where each value is of another minibatch: its best one is luck")
    run_id: str = Field(description="of the first seed: its curve stands for the others'")
    n: int = Field(description="runs that have a value")
    diverged: int = Field(description="runs that failed as such, or went on after a loss that was not finite: no value")
    incomplete: int = Field(description="runs that failed otherwise, or were cancelled: no value")
    provisional: int = Field(description="of the n, those that have not ended")
    stretch: tuple[int, int] | None = Field(
        description="first and last step that each run's `last` is a mean over; null: it is one value"
    )
    last: Number | None
    best: Number | None = Field(description="of the best value of each run")
    last_interval: tuple[Number, Number] | None = Field(description="95 %, Student's t; null: fewer than two seeds")
    best_interval: tuple[Number, Number] | None


class ExperimentItem(View):
    """An experiment in a list."""

    id: str
    name: str
    owner: str
    hash: str = Field(description="of everything that decides the training: equal hashes train equally")
    tags: tuple[str, ...]
    created_at: Utc
    runs: dict[str, int] = Field(description="how many runs are in each state")
    progress: float = Field(description="0 to 1, over all runs")
    steps: int = Field(description="of the run that is furthest")
    main: FiguresView | None = Field(description="null: there are no points yet")
    study_id: str | None = Field(None, description="the study whose trial it is; null: none")
    trial: int | None = Field(None, description="its number in the study")
    values: Json = Field(description="of the fields that `columns` names; null: it has no such field")
    project: str = Field(description="another than the reader's where it is shared")
    comments: int = Field(description="on it and its runs, by the reader's project")


class RestartView(View):
    """One run's final value."""

    run: str
    seed: int
    value: Number | None = Field(description="null: it diverged, failed or was cancelled")
    outcome: Outcome


class RestartsView(View):
    """The last values of an experiment's seeds; those that have none are counted apart."""

    series: str = Field(description="val/loss, or val/accuracy or loss where that is not measured")
    n: int = Field(description="runs that have a value")
    diverged: int = Field(description="failed as such, or went on after a loss that was not finite")
    incomplete: int = Field(description="failed otherwise, or cancelled")
    best: Number | None
    median: Number | None
    quartiles: tuple[Number, Number] | None
    expected_best: tuple[Number, ...] = Field(description="of k of these runs, for k = 1, 2, ... n")
    values: list[RestartView]


class ExperimentView(View):
    """An experiment with its runs."""

    id: str
    name: str
    owner: str
    hash: str
    tags: tuple[str, ...]
    notes: str
    etag: str = Field(description="of name, tags and notes, for If-Match; the header ETag says the same")
    archived_at: Utc | None = Field(description="since when lists leave it out")
    study_id: str | None = Field(None, description="the study whose trial it is; null: none")
    trial: int | None = Field(None, description="its number in the study")
    project: str
    shared: bool = Field(description="by another project, to read: nothing of it can be changed")
    created_at: Utc
    spec: Json = Field(
        description="normalised: with every default filled in, as posted; labels may say otherwise since"
    )
    runs: list[RunView]
    superseded: list[str] = Field(
        description="of the runs, those that count in no comparison: retried ones, replays, probe jobs"
    )
    main: FiguresView | None = Field(description="over the runs that count; null: there are no points yet")
    restarts: RestartsView | None = Field(description="the results of the seeds; null until two of them have ended")

    @property
    def over(self) -> bool:
        """Whether every run has ended."""
        return all(run.over for run in self.runs)


class Derived(View):
    """What is computed from a spec."""

    parameters: int | None = Field(description="trainable numbers of the model; null: only its library knows")
    memory_bytes: int | None = Field(description="estimated within a factor of two; null: only its library knows")
    checkpoint_bytes: int | None = Field(description="of what one run keeps at its end, estimated; null: likewise")
    groups: list[Json] | None = Field(description="which settings each parameter gets; null: only its library knows")
    effective: Json = Field(description="what the settings amount to together")
    alone: str | None = Field(description="why its runs train alone; null: with runs that differ only in values")
    steps_per_epoch: int
    total_steps: int


class DurationView(View):
    """Training seconds of one run, from the pace of earlier ones with the same data, model and batch."""

    seconds: float
    low: float = Field(description="eight in ten of the earlier runs would lie between low and high")
    high: float
    runs: int = Field(description="that it rests on")


class PostedExperiment(View):
    """The answer to a posted spec; a dry run has neither id nor runs."""

    id: str | None
    name: str
    owner: str
    hash: str
    created_at: Utc | None
    spec: Json = Field(description="normalised: with every default filled in")
    runs: list[RunView]
    warnings: list[ProblemItem] = Field(description="what is allowed and probably not meant")
    derived: Derived
    duration: DurationView | None = Field(
        None, description="of a dry run; null: nothing like it has been trained here yet"
    )

    @property
    def over(self) -> bool:
        """Whether every run has ended."""
        return all(run.over for run in self.runs)
