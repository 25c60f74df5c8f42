"""Rankings, verdicts, times to a target, and the tuning effort behind them."""

from typing import Any, Literal

from pydantic import Field

from service.schemas.common import Number, View
from service.schemas.statistics import Statistics
from service.spec.measures import Direction, RankedBy

Verdict = Literal["better", "worse", "unconfirmed", "indistinguishable", "not_comparable"]


class ContrastView(View):
    """A group against another, paired by seed; differences are the group's value less the other's."""

    against: str
    verdict: Verdict = Field(
        description="better or worse only where the bootstrap interval excludes 0, the paired t test holds at 0.05 "
        "after both corrections (see p_adjusted), and the better one did not diverge more often; unconfirmed where "
        "only the correction for its choice among several trials stands against that: confirm with fresh seeds"
    )
    provisional: bool = Field(description="some of the runs have not ended: the order may still turn")
    seeds: int = Field(description="shared and finite in both")
    diverged: tuple[int, int] = Field(description="of the shared seeds, in this group and in the other")
    difference: Number | None
    sd: Number | None
    ci_low: Number | None
    ci_high: Number | None
    bootstrap_low: Number | None
    bootstrap_high: Number | None
    wins: float | None = Field(description="share of the seeds on which the group is better; a tie counts half")
    p: float | None = Field(description="paired t test; Fisher's test of how often they diverged where that is all")
    overlap: float | None = Field(
        None,
        description="validation rows over training rows of the folds that the values are of. Training parts of folds "
        "overlap, so intervals and tests take the variance of the mean as s2 (1/n + overlap) (Nadeau and Bengio 2003); "
        "null: the runs differ in their seeds only",
    )
    choices: int = Field(description="trials that the better one was chosen from by these same seeds")
    p_adjusted: float | None = Field(
        description="p times choices, since the best of many is better by luck alone; then Holm's correction. "
        "Intervals and difference are not corrected"
    )
    more_seeds: int | None = Field(
        description="that would tell them apart in 4 of 5 cases, if the difference is the one seen; null: told apart, "
        "no number up to 1,000 would, or the seeds are those of a confirmation, to which none are added"
    )
    fresh_seeds: int = Field(description="suggested for a confirmation: 5 to 20, by the difference seen")
    note: str


class ReferenceView(View):
    """A group's mean against the question's reference: a one-sided t test, over its seeds."""

    verdict: Literal["better", "not_shown"] = Field(
        description="better where p_adjusted is below 0.05 and no seed diverged; not_shown does not mean worse"
    )
    difference: float | None = Field(description="the mean less the reference")
    bound: float | None = Field(description="one-sided 95 % confidence bound of the mean, on the side of the reference")
    p: float | None = Field(description="of a mean that is not better; null below two finite values")
    p_adjusted: float | None = Field(
        description="p times the trials that the group's was chosen from, then Holm's correction for the groups"
    )
    note: str


class Rank(View):
    """The rank of a group."""

    rank: int
    label: str
    experiment_id: str = Field(description="the trial that is ranked: of several the one that did best")
    trials: int = Field(description="it was chosen from; more tries find better values by luck alone")
    best: Statistics = Field(description="of the ranked figure of that trial's runs")
    contrast: ContrastView | None = Field(description="against the baseline; null: this is the baseline")
    reference: ReferenceView | None = Field(description="against the question's reference; null: it has none")


class Ranking(View):
    """Groups by the mean of the ranked figure of the first series; those that mostly diverged come last."""

    series: str
    figure: RankedBy
    stretch: tuple[int, int] | None = Field(
        description="first and last step that each run's `last` is a mean over; null: it is one value"
    )
    direction: Direction
    baseline: str | None
    tests: int = Field(description="that Holm's correction counts: against a baseline chosen before, or of all pairs")
    verdict: Verdict = Field(description="of the first against the second")
    note: str
    items: list[Rank]


class SensitivityView(View):
    """How much is lost on average by a rate within a factor 31.6 of the best one."""

    best_lr: float
    value: Number
    rates: int
    covered: float = Field(description="share of that reach that the rates tried span")


class EffortView(View):
    """The cost of a group, and what was tuned in it."""

    trials: int
    runs: int
    steps: int
    device_s: float
    tuned: dict[str, list[Any]] = Field(description="JSON Pointer -> the values tried, where trials differ")
    border: list[str] = Field(description="those tuned fields whose best value is the least or greatest tried")
    expected_best: list[Number] = Field(description="at k - 1: the best of k of the trials, chosen at random")
    sensitivity: SensitivityView | None = Field(description="to optimizer.lr; null below three rates")


class WorkloadView(View):
    """A task to learn: the same data, loss and, unless groups differ in it, model."""

    label: str
    target: Number | None = Field(description="null: nothing has been measured")


class TargetView(View):
    """Time to the target, in the unit of x, and what AlgoPerf makes of it. Rows are groups, columns workloads.

    A workload's time is the median over seeds of the least over trials; infinite where the target was not reached.
    Ratios, profiles and scores depend on who competes: adding or removing a group can reorder the others.
    """

    series: str
    direction: Direction
    x: str
    workloads: list[WorkloadView]
    left_out: list[str] = Field(description="workloads that not every group was run on")
    times: list[list[Number]]
    open: list[list[int]] = Field(description="runs that have not reached the target and have not ended")
    ratios: list[list[Number]]
    tau: list[float]
    profiles: list[list[float]] = Field(description="share of the workloads on which a ratio is at most tau")
    scores: list[float] = Field(description="area under the profile from 1 to 4")
    speedups: list[float | None] = Field(description="geometric mean against the baseline or the first group")
    reached: list[int]
