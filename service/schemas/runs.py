"""Runs, their attempts, their history and their log."""

from typing import Literal

from pydantic import Field

from service.lifecycle import TERMINAL, Relation, State
from service.schemas.common import Json, Number, Utc, View


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


class PlaceView(View):
    """The place of a waiting run in the queue."""

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
    fold: int | None = Field(None, description="that it validates on; null: its dataset has no folds")
    state: State
    displayed: str = Field(description="state, or where it is going: pausing, cancelling")
    desired: str
    step: int = Field(description="the last step whose points can be read")
    total_steps: int
    progress: float = Field(description="0 to 1")
    attempt: int
    checkpoint_step: int
    pool: str
    needs: list[str] = Field(description="packages that its worker must have, and devices=n if n train it together")
    priority: int
    pause_at: int | None = Field(None, description="step after which it pauses by itself, as runs of a study do")
    waiting: PlaceView | None = Field(description="null: it does not wait, or this answer does not say")
    trained_s: float = Field(description="seconds of the attempts that have ended")
    limit_s: float | None = Field(description="longest training time; null: none")
    worker: str | None
    request_id: str | None = Field(
        description="of the request that queued it, which every log names; null: the server did"
    )
    failure: Json | None = Field(description="why it failed: code, detail, step, evidence")
    diverged: bool = Field(description="it failed as such, or went on after a loss that was not finite")
    created_at: Utc
    started_at: Utc | None
    finished_at: Utc | None
    series: dict[str, SummaryView]

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.state in TERMINAL


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


class AttemptsView(View):
    """A run's history, oldest first."""

    items: list[AttemptView]


class EventView(View):
    """An event of a run; `data` says by whom and why, and depends on the kind."""

    id: int
    kind: str
    data: Json
    at: Utc


class HistoryView(View):
    """Events of a run, oldest first, and where the next ones begin."""

    items: list[EventView]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this was the last")


class LogLineView(View):
    """A line of a run's log; ATTEMPT.NUMBER is its place."""

    attempt: int
    number: int = Field(description="within the attempt, from 1")
    at: Utc
    source: Literal["saddle", "output"] = Field(description="output: the training itself wrote it")
    level: Literal["info", "warning", "error"]
    text: str


class LogView(View):
    """Lines of a run's log, oldest first, and where the next ones begin."""

    items: list[LogLineView]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: no more lines now")


class ProbesView(View):
    """A run's probe jobs, oldest first; their results are among the run's readings."""

    items: list[RunView]
