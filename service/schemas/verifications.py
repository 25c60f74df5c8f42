"""Verifications of remedies."""

from typing import Literal

from pydantic import Field

from service.schemas.common import Json, Number, Utc, View
from service.schemas.runs import RunView

Series = Literal["val/loss", "val/accuracy", "loss"]
Result = Literal["helped", "did_not_help", "symptom_gone", "undecided"]


class LevelView(View):
    """The final level of a run: the mean of the last tenth of its values, the standard error, and the best value."""

    last: Number
    error: Number
    best: Number


class SeedView(View):
    """One seed with and without the remedy."""

    seed: int
    result: Result
    why: str
    control: LevelView | None
    patched: LevelView | None
    margin: Number | None = Field(description="a difference within it is none")


class MeasuredView(View):
    """The measurements behind the outcome."""

    series: Series | None = Field(description="null: the remedy changes what the loss means, so the symptom decides")
    control: LevelView | None = Field(description="of the first seed")
    patched: LevelView | None
    seeds: list[SeedView]


class Judgement(View):
    """What a finished verification shows, as it is stored."""

    measured: MeasuredView
    outcome: Result
    why: str


class PairView(View):
    """The runs of one seed; null: not begun, or deleted since."""

    seed: int
    control: RunView | None
    patched: RunView | None


class VerificationView(View):
    """The verification of a remedy."""

    id: str
    run_id: str
    finding: str
    verdict: str
    text: str
    remedy: Literal["patch", "escape"] = Field(description="escape: goes on from the way out of a saddle")
    patch: list[Json] | None
    from_step: int = Field(description="both go on from the run's state at this step; 0: from the beginning")
    job: RunView | None = Field(description="the probe job that looks for the way out")
    control: RunView | None = Field(description="without the remedy, the first seed; null: deleted since")
    patched: RunView | None = Field(description="with the remedy; null: it waits for the job, or cannot be tried")
    pairs: list[PairView]
    state: Literal["looking", "running", "done", "failed"]
    outcome: Result | None = Field(description="symptom_gone: and the loss is the same; null: it is not known yet")
    why: str | None
    measured: MeasuredView | None
    created_at: Utc

    @property
    def over(self) -> bool:
        """Whether its outcome is known, or will never be."""
        return self.state in ("done", "failed")


class VerificationsView(View):
    """The verifications of a finding's remedy, oldest first."""

    items: list[VerificationView]
