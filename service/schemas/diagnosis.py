"""Diagnoses: findings, evidence, and the rules behind them."""

from typing import Literal

from pydantic import Field

from service.lifecycle import State
from service.schemas.common import Json, Number, View

Level = Literal["fault", "warning", "info"]


class EvidenceView(View):
    """A measured number, and the threshold it was compared with."""

    name: str
    value: Number | str | None
    threshold: float | None = Field(description="null: a fact without a threshold")
    relation: Literal[">", "<", "="]
    series: str | None
    steps: tuple[int, int] | None
    reading: int | None = Field(description="id of the reading it is from")
    source: str = Field(description="where the threshold, or the fact, is from")


class ExpectView(View):
    """What a further experiment would show."""

    confirm: str
    refute: str


class ProbeAsked(View):
    """A probe that would make the finding more certain."""

    kind: str


class AlternativeView(View):
    """Another cause that the record supports about as well."""

    verdict: str
    experiment: str = Field(description="tells the two apart")


class FindingView(View):
    """A verdict with its evidence."""

    id: str = Field(description="names it within the run: its rule")
    rule: str
    version: int
    level: Level
    symptom: str
    verdict: str
    text: str
    confidence: float = Field(ge=0, le=1)
    steps: tuple[int, int]
    evidence: list[EvidenceView]
    explains: list[str] = Field(description="rules that found something which this explains")
    alternatives: list[AlternativeView] = Field(description="causes that the record supports about as well")
    patch: list[Json] | None = Field(
        description="operations of RFC 6902 on the normalised spec, which can then be submitted; null: there is none"
    )
    remedy: str | None
    expect: ExpectView | None
    probes: list[ProbeAsked]


class CheckedView(View):
    """The result of a rule."""

    rule: str
    symptom: str
    state: Literal["clear", "found", "suppressed", "unknown"]
    why: str
    probes: list[ProbeAsked] = Field(description="probes that would tell, if it is unknown")


class NeighbourView(View):
    """The most similar run that went well: on the same data with the same loss, of another experiment."""

    run_id: str
    experiment_id: str
    name: str
    series: str
    value: Number = Field(description="its last value of the series")
    own: Number | None = Field(description="that of the diagnosed run; null: it has none")
    patch: list[Json] = Field(
        description="what differs: operations of RFC 6902 from this spec to that of the neighbour"
    )


class DiagnosisView(View):
    """Why a run learned or did not, as far as its records tell."""

    run_id: str
    state: State
    step: int
    version: str
    complete: bool = Field(description="the run has ended: nothing will be added")
    level: Level | Literal["healthy", "unknown"]
    headline: str
    findings: list[FindingView] = Field(description="the gravest first")
    checked: list[CheckedView] = Field(description="every rule and its result")
    neighbour: NeighbourView | None = Field(
        None, description="where something is wrong or unknown; null: no run of the project on the same data went well"
    )


class ThresholdView(View):
    """A number that evidence is compared with."""

    key: str
    value: float
    unit: str
    meaning: str
    source: str


class RuleView(View):
    """A rule that is applied to every run."""

    id: str
    version: int
    symptom: str
    verdicts: list[str]
    reference: str
    thresholds: list[ThresholdView]


class RulesView(View):
    """All rules, in the order in which they are applied."""

    version: str
    items: list[RuleView]
    shared: list[ThresholdView] = Field(description="thresholds of several rules")
