"""Confirmations: the request and the answer."""

from typing import Annotated, Literal

from pydantic import Field

from service.schemas.common import Number, Utc, View
from service.schemas.rankings import Ranking, Verdict
from service.spec.component import Part

MAX_CONTESTANTS = 10
MAX_FRESH_SEEDS = 1000  # of a confirmation, however often it is extended
Label = Annotated[str, Field(min_length=1, max_length=1000)]


class ConfirmRequest(Part):
    """How a comparison's contestants are trained again with fresh seeds."""

    seeds: Annotated[int, Field(ge=2, le=100)] | None = Field(
        None, description="fresh ones for each contestant; null: `fresh_seeds` of the first two groups, 5 to 20"
    )
    groups: Annotated[tuple[Label, ...], Field(min_length=2, max_length=MAX_CONTESTANTS)] | None = Field(
        None, description=f"labels of the groups whose contestants are trained; null: all, up to {MAX_CONTESTANTS}"
    )


class MoreSeedsRequest(Part):
    """How many further fresh seeds each contestant of a confirmation is trained from."""

    seeds: Annotated[int, Field(ge=1, le=100)] = Field(description="for each contestant")
    after: Annotated[int, Field(ge=2, le=MAX_FRESH_SEEDS)] | None = Field(
        None, description="fresh seeds that it has so far; 409 if it has others, so that a repeated request adds none"
    )


class ContestantView(View):
    """A group's contestant, as chosen when the confirmation was requested."""

    label: str
    trial_id: str = Field(description="the experiment that was chosen")
    trials: int = Field(description="it was chosen from")
    experiment_id: str = Field(description="trains the same from the fresh seeds, the first of them")
    experiment_ids: list[str] = Field(description="all of them: that one, and one for each time it was extended")
    runs: list[str]
    ended: int = Field(description="runs that count: succeeded, or diverged")
    diverged: int
    left_out: int = Field(description="runs that were cancelled or failed otherwise; a retry of one counts again")


class SequentialView(View):
    """The first contestant against the second, by a test that may be looked at after every seed.

    It errs in 1 % of confirmations and the verdict of the planned seeds in 4 %, so both together in 5.
    Both contestants are those of the beginning, so nothing was chosen by these seeds. See `service.analysis.sequential`
    for the two processes and what they assume.
    """

    first: str = Field(description="label of the contestant that was ranked first when it was chosen")
    second: str
    seeds: int = Field(
        description="that count: in their order, up to the first whose runs have not both ended; finite in both"
    )
    difference: Number | None = Field(description="mean of the first's value less the second's")
    low: Number | None = Field(
        description="99 % confidence sequence of that mean, whenever one looks, for differences that are about normal; "
        "null: not bounded yet"
    )
    high: Number | None
    e: Number = Field(description="evidence against no difference, now; 100 or more at any time decides")
    p: float = Field(description="valid whenever one looks: 1 over the greatest evidence so far")
    decided: str | None = Field(
        description="label of the better one, where p is at most 0.01 and it did not diverge more often; final"
    )
    more_seeds: int | None = Field(
        description="that would decide it in 4 of 5 cases, if the difference is the one seen; null: it is decided, "
        "by this test or the planned seeds, or no number up to 200 would"
    )
    note: str


class ConfirmationView(View):
    """The contestants compared by fresh seeds alone, which had no part in choosing them."""

    state: Literal["running", "done"]
    seeds: list[int] = Field(description="no run of any group had used them; in the order in which they count")
    extended: int = Field(description="how often seeds were added since it began")
    contestants: list[ContestantView] = Field(description="in the order in which they were ranked")
    verdict: Verdict | None = Field(
        description="of the first against the second by these seeds; null: not all ended. Once it is extended, only "
        "`sequential` tells, because it may be looked at and extended at any time"
    )
    confirmed: bool | None = Field(description="the first when it was chosen is the first again, and better")
    sequential: SequentialView | None = Field(
        None, description="null: runs validate on folds, which are not independent, or one contestant is left"
    )
    note: str
    ranking: Ranking = Field(description="by what the fresh runs have come to; provisional until all have ended")
    created_at: Utc
