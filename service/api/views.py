"""What answers look like: runs, experiments and their pages. No stored object is ever sent as it is."""

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from service.analysis.result import Outcome, diverged
from service.analysis.student import t_quantile
from service.api.preconditions import etag
from service.api.problems import ProblemItem
from service.db.events import Event
from service.db.experiments import Standing, StoredExperiment
from service.db.figures import Figures
from service.db.lists import ListedExperiment
from service.db.metrics import Summary
from service.db.pace import Pace
from service.db.queueing import Place
from service.db.runs import Attempt, StoredRun
from service.db.workers import StoredWorker
from service.lifecycle import Relation, State, displayed
from service.nonfinite import dumps
from service.spec.assign import assign
from service.spec.effective import effective
from service.spec.experiment import Experiment
from service.spec.measures import Direction, RankedBy, better, default_figure
from service.spec.memory import memory_bytes

T = TypeVar("T")
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}
Number = Annotated[float, WithJsonSchema(NUMBER)]  # JSON has no NaN: it and the infinities are sent as texts
Utc = Annotated[datetime, AfterValidator(lambda time: time.astimezone(UTC))]
Json = dict[str, Any]


class View(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(ser_json_inf_nan="strings", frozen=True)


class Page(View, Generic[T]):
    """Some items, newest first, and where the next ones begin."""

    items: list[T]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this was the last")


class SummaryView(View):
    """A series without its points; min and max are over the finite values."""

    n: int
    last: Number | None
    last_step: int | None
    final: Number | None = Field(
        description="of a series with one value per minibatch the mean over the final stretch; null: `last` speaks"
    )
    final_from: int | None = Field(description="the first step of that stretch; it ends at last_step")
    min: Number | None
    min_step: int | None
    max: Number | None
    max_step: int | None
    nonfinite: int

    @classmethod
    def of(cls, summary: Summary) -> "SummaryView":
        """From what is stored."""
        return cls(**{name: getattr(summary, name) for name in cls.model_fields})


class PlaceView(View):
    """Where a waiting run stands."""

    before: int = Field(description="runs of its pool that are before it; with several projects each has its turn")
    reason: str = Field(description="why it has not started")


class RunView(View):
    """One training."""

    id: str
    experiment_id: str
    parent_run_id: str | None = Field(description="the run it was made from")
    relation: Relation | None = Field(description="what it is to its parent")
    origin_step: int = Field(description="it starts from its parent's state at this step; 0: from the beginning")
    task: Json | None = Field(description="of a probe job: the instruments it looks with; null: it trains")
    seed: int
    state: State
    displayed: str = Field(description="state, or where it is going: pausing, cancelling")
    desired: str
    step: int = Field(description="the last step whose points can be read")
    total_steps: int
    progress: float = Field(description="0 to 1")
    attempt: int
    checkpoint_step: int
    pool: str
    needs: list[str] = Field(description="packages that its worker must have")
    priority: int
    waiting: PlaceView | None = Field(description="null: it does not wait, or this answer does not say")
    trained_s: float = Field(description="seconds of the attempts that have ended")
    limit_s: float | None = Field(description="longest training time; null: none")
    worker: str | None
    failure: Json | None = Field(description="why it failed: code, detail, step, evidence")
    diverged: bool = Field(description="it failed as such, or went on after a loss that was not finite")
    created_at: Utc
    started_at: Utc | None
    finished_at: Utc | None
    series: dict[str, SummaryView]

    @classmethod
    def of(cls, run: StoredRun, summaries: Sequence[Summary] = (), place: Place | None = None) -> "RunView":
        """From what is stored."""
        return cls(
            **{name: value for name, value in run.__dict__.items() if name in cls.model_fields and name != "desired"},
            desired=run.desired.value,
            displayed=displayed(run.state, run.desired),
            waiting=place and PlaceView(before=place.before, reason=place.reason),
            diverged=diverged(run, {summary.name: summary for summary in summaries}),
            progress=_progress(run),
            series={summary.name: SummaryView.of(summary) for summary in summaries},
        )


def _progress(run: StoredRun) -> float:
    """A probe job trains no step, so it has looked or not."""
    if run.task is not None:
        return float(run.state is State.SUCCEEDED)
    return min(run.step / run.total_steps, 1.0) if run.total_steps else 0.0


def run_views(
    runs: Sequence[StoredRun], summaries: Mapping[str, Sequence[Summary]], places: Mapping[str, Place]
) -> list[RunView]:
    """Several runs, each with its series and its place in the queue."""
    return [RunView.of(run, summaries[run.id], places.get(run.id)) for run in runs]


class AttemptView(View):
    """One execution of a run by one worker; points beyond `cut_step` are superseded by a later attempt."""

    attempt: int
    worker: str
    start_step: int
    cut_step: int | None
    environment: Json | None
    started_at: Utc
    ended_at: Utc | None
    ending: str | None
    detail: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> "AttemptView":
        """From what is stored."""
        return cls(**attempt.__dict__)


class AttemptsView(View):
    """A run's history, oldest first."""

    items: list[AttemptView]


class EventView(View):
    """One thing that happened to a run; `data` says by whom and why, and what belongs to the kind."""

    id: int
    kind: str
    data: Json
    at: Utc

    @classmethod
    def of(cls, event: Event) -> "EventView":
        """From what is stored."""
        return cls(id=event.id, kind=event.kind, data=event.data, at=event.at)


class HistoryView(View):
    """Events of a run, oldest first, and where the next ones begin."""

    items: list[EventView]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this was the last")


class WorkerView(View):
    """One slot of a worker."""

    name: str
    pool: str
    host: str
    pid: int
    version: str
    device: Json = Field(description="kind, name, memory_bytes, threads")
    packages: dict[str, str] = Field(description="what a spec can need of it: name and version; of c++ the compiler")
    state: str = Field(description="starting, idle, busy, draining, unhealthy or gone")
    detail: str | None
    run_id: str | None = Field(description="what it trains")
    started_at: Utc
    beat_s: float = Field(description="seconds since it last said something, by the database's clock")

    @classmethod
    def of(cls, worker: StoredWorker) -> "WorkerView":
        """From what is stored."""
        return cls(**worker.__dict__)


class WorkersView(View):
    """The workers, by pool and name."""

    items: list[WorkerView]


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

    @classmethod
    def of(cls, figures: Figures) -> "FiguresView":
        """From what is stored."""
        return cls(
            **{name: value for name, value in figures.__dict__.items() if name in cls.model_fields},
            direction=better(figures.series),
            stretch=figures.stretch,
            ranked_by=default_figure(figures.series),
            last_interval=_interval(figures.last, figures.last_spread, figures.n),
            best_interval=_interval(figures.best, figures.best_spread, figures.best_n),
        )


def _interval(mean: float | None, spread: float | None, n: int) -> tuple[float, float] | None:
    if mean is None or spread is None or not math.isfinite(mean) or not math.isfinite(spread):
        return None
    half = t_quantile(0.975, n - 1) * spread / math.sqrt(n)
    return mean - half, mean + half


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
    values: Json = Field(description="of the fields that `columns` names; null: it has no such field")

    @classmethod
    def of(
        cls, stored: ListedExperiment, standing: Standing, main: Figures | None, also: Sequence[str] = ()
    ) -> "ExperimentItem":
        """From what is stored."""
        return cls(
            id=stored.id,
            name=stored.name,
            owner=stored.owner,
            hash=stored.spec_hash,
            tags=stored.tags,
            created_at=stored.created_at,
            runs=standing.counts,
            progress=standing.progress,
            steps=standing.longest,
            main=main and FiguresView.of(main),
            values=dict(zip(also, stored.columns, strict=True)),
        )


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


def etag_of(stored: StoredExperiment) -> str:
    """The ETag of what can be changed of an experiment."""
    return etag(stored.name, stored.tags, stored.notes)


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
    created_at: Utc
    spec: Json = Field(
        description="normalised: with every default filled in, as posted; labels may say otherwise since"
    )
    runs: list[RunView]
    superseded: list[str] = Field(
        description="of the runs, those that count in no comparison: retried ones, replays, probe jobs"
    )
    main: FiguresView | None = Field(description="over the runs that count; null: there are no points yet")
    restarts: RestartsView | None = Field(description="what the seeds came to; null until two of them have ended")

    @classmethod
    def of(
        cls,
        stored: StoredExperiment,
        runs: list[RunView],
        counting: Collection[str],
        main: Figures | None = None,
        restarts: RestartsView | None = None,
    ) -> "ExperimentView":
        """From what is stored."""
        return cls(
            id=stored.id,
            name=stored.name,
            owner=stored.owner,
            hash=stored.spec_hash,
            tags=stored.tags,
            notes=stored.notes,
            etag=etag_of(stored),
            archived_at=stored.archived_at,
            created_at=stored.created_at,
            spec=Experiment.model_validate_json(dumps(stored.spec)).normalised(),
            runs=runs,
            superseded=[run.id for run in runs if run.id not in counting],
            main=main and FiguresView.of(main),
            restarts=restarts,
        )


class Derived(View):
    """What follows from a spec."""

    parameters: int | None = Field(description="trainable numbers of the model; null: only its library knows")
    memory_bytes: int | None = Field(description="estimated within a factor of two; null: only its library knows")
    groups: list[Json] | None = Field(description="which settings each parameter gets; null: only its library knows")
    effective: Json = Field(description="what the settings come to together")
    steps_per_epoch: int
    total_steps: int

    @classmethod
    def of(cls, spec: Experiment) -> "Derived":
        """Computed, nothing is read."""
        memory = memory_bytes(spec)
        return cls(
            parameters=spec.parameters,
            memory_bytes=memory and memory.total,
            groups=None if spec.layout is None else [group.document() for group in assign(spec)],
            effective=effective(spec),
            steps_per_epoch=spec.steps_per_epoch,
            total_steps=spec.total_steps,
        )


class DurationView(View):
    """Training seconds of one run, from the pace of earlier ones with the same data, model and batch."""

    seconds: float
    low: float = Field(description="eight in ten of the earlier runs would lie between low and high")
    high: float
    runs: int = Field(description="that it rests on")

    @classmethod
    def of(cls, pace: Pace | None, steps: int) -> "DurationView | None":
        """None: nothing like it has been trained here yet."""
        if pace is None:
            return None
        return cls(seconds=pace.middle * steps, low=pace.low * steps, high=pace.high * steps, runs=pace.runs)


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
