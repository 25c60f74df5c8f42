"""Confirmations: the request and the answer."""

from typing import Annotated, Literal

from pydantic import Field

from service.schemas.common import Utc, View
from service.schemas.rankings import Ranking, Verdict
from service.spec.component import Part

MAX_CONTESTANTS = 10
Label = Annotated[str, Field(min_length=1, max_length=1000)]


class ConfirmRequest(Part):
    """How a comparison's contestants are trained again with fresh seeds."""

    seeds: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None, description="fresh ones for each contestant; null: `fresh_seeds` of the first two groups, 5 to 20"
    )
    groups: Annotated[tuple[Label, ...], Field(min_length=2, max_length=MAX_CONTESTANTS)] | None = Field(
        None, description=f"labels of the groups whose contestants are trained; null: all, up to {MAX_CONTESTANTS}"
    )


class ContestantView(View):
    """A group's contestant, as chosen when the confirmation was requested."""

    label: str
    trial_id: str = Field(description="the experiment that was chosen")
    trials: int = Field(description="it was chosen from")
    experiment_id: str = Field(description="trains the same from the fresh seeds")
    runs: list[str]
    ended: int = Field(description="runs that count: succeeded, or diverged")
    diverged: int
    left_out: int = Field(description="runs that were cancelled or failed otherwise; a retry of one counts again")


class ConfirmationView(View):
    """The contestants compared by fresh seeds alone, which had no part in choosing them."""

    state: Literal["running", "done"]
    seeds: list[int] = Field(description="no run of any group had used them")
    contestants: list[ContestantView] = Field(description="in the order in which they were ranked")
    verdict: Verdict | None = Field(description="of the first against the second by these seeds; null: not all ended")
    confirmed: bool | None = Field(description="the first when it was chosen is the first again, and better")
    note: str
    ranking: Ranking = Field(description="by what the fresh runs have come to; provisional until all have ended")
    created_at: Utc
