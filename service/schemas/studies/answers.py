"""Studies as they are sent."""

from typing import Any

from pydantic import Field

from service.schemas.common import Json, Utc, View
from service.schemas.confirmations import ConfirmationView
from service.schemas.experiments import DurationView
from service.schemas.problems import ProblemItem
from service.spec.measures import Direction


class UseView(View):
    """How much of one limit is used."""

    used: int | float
    limit: int | float | None = Field(description="null: the budget has none")


class BudgetView(View):
    """What all seeds of all trials used so far, and may use."""

    trials: UseView = Field(description="points given out; one that is given out again is still one")
    steps: UseView
    device_seconds: UseView
    saved_steps: int = Field(description="that pruned trials would have trained to their ends")


class TrialView(View):
    """A point of the space and what became of it."""

    number: int
    point: Json = Field(description="JSON pointer -> value, of the active dimensions")
    state: str = Field(description="running, waiting (at a rung), finished, pruned or failed")
    by_hand: bool
    repeats: int | None = Field(description="the failed trial whose point was given out again")
    experiment_id: str | None = Field(description="null: its point makes no valid spec, or it is no longer here")
    total_steps: int = Field(description="of each of its runs")
    rung_steps: list[int] = Field(description="where its runs pause and wait for a decision")
    rungs: list[float | None] = Field(description="the objective at each rung reached; null: it diverged, or nothing")
    value: float | None = Field(description="the objective at its end, mean over the seeds; null: none, or diverged")
    seed_values: list[float | None] = Field(description="in the order of the study's seeds; null: diverged, or none")
    steps: int = Field(description="trained so far, over all seeds")
    device_s: float = Field(description="seconds of a device so far")
    why: str | None = Field(description="why it ended so")
    created_at: Utc
    ended_at: Utc | None


class TrialsPage(View):
    """Trials by number."""

    items: list[TrialView]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this was the last")


class BestView(View):
    """The best finished trial, as the search sees it: chosen for its value, so that value flatters it."""

    number: int
    experiment_id: str | None
    point: Json
    value: float
    interval: tuple[float, float] | None = Field(
        description="95 %, Student's t over the seeds; null: one seed. It knows nothing of the choice among trials"
    )
    patch: list[Json] = Field(description="JSON Patch (RFC 6902) of the study's base")


class SearchClaim(View):
    """What the search alone would have said, on the seeds that chose the trials."""

    best: float
    runner_up: float | None = Field(description="null: the best is held against the base, which the search did not try")
    difference: float | None = Field(description="best less runner-up, in units of the objective")
    seeds: list[int]
    trials: int = Field(description="that the best was chosen from")


class FreshResult(View):
    """A contestant on the seeds that no trial used."""

    number: int | None = Field(description="of the trial; null: this is the base")
    experiment_id: str = Field(description="trains the trial from the fresh seeds")
    n: int = Field(description="runs with a value so far")
    mean: float | None
    interval: tuple[float, float] | None = Field(description="95 %, Student's t; null: fewer than two values")


class StudyConfirmation(View):
    """The claim of the search beside the result of fresh seeds."""

    comparison_id: str
    state: str = Field(description="running or done")
    claim: SearchClaim
    fresh: list[FreshResult] = Field(description="in the order of the search's ranking")
    report: str = Field(description="both in a sentence or two")
    confirmation: ConfirmationView


class StudyItem(View):
    """A study in a list."""

    id: str
    name: str
    owner: str
    state: str = Field(description="running, paused, finished, stopped or failed")
    why: str | None = Field(description="what it waits for, or why it ended")
    trials: dict[str, int] = Field(description="how many are in each state")
    created_at: Utc
    finished_at: Utc | None


class StudiesPage(View):
    """Studies, newest first."""

    items: list[StudyItem]
    next_cursor: str | None


class StudyView(StudyItem):
    """A study: its document, how far it is, and its best trial."""

    cloned_from: str | None
    document: Json = Field(description="with every default filled in; the budget as extended since")
    series: str = Field(description="of the objective")
    direction: Direction = Field(description="which way is better")
    budget: BudgetView
    best: BestView | None = Field(description="null: no trial has finished with a value")
    confirmation: StudyConfirmation | None = Field(description="null: nobody has asked for one")
    warnings: list[ProblemItem] = Field([], description="of a study that was just posted")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("finished", "stopped", "failed")


class StudyPreview(View):
    """The answer to a dry run, which stores nothing."""

    document: Json
    points: list[dict[str, Any]] = Field(description="that it would try first; later ones depend on the results")
    trials: int | None = Field(description="that the budget reaches for, if each is trained to its end; null: unknown")
    steps_per_trial: int = Field(description="of the base, over all seeds")
    rung_steps: list[int] = Field(description="where each run would wait for a decision")
    duration: DurationView | None = Field(
        description="device seconds of all trials, each trained to its end; null: nothing like it was trained here yet"
    )
    warnings: list[ProblemItem]
