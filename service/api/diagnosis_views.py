"""What a diagnosis looks like."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from service.analysis.diagnosis.finding import Evidence, Rule
from service.analysis.diagnosis.judge import VERSION, Checked, Diagnosis, Verdict
from service.analysis.diagnosis.thresholds import Threshold
from service.api.views import Number, View
from service.db.runs import StoredRun
from service.lifecycle import TERMINAL, State

Level = Literal["fault", "warning", "info"]


class EvidenceView(View):
    """A number that was measured, and what it was held against."""

    name: str
    value: Number | str | None
    threshold: float | None = Field(description="null: a fact that is held against nothing")
    relation: Literal[">", "<", "="]
    series: str | None
    steps: tuple[int, int] | None
    reading: int | None = Field(description="id of the reading it is from")
    source: str = Field(description="where the threshold, or the fact, is from")

    @classmethod
    def of(cls, found: Evidence) -> "EvidenceView":
        """As the rule gave it."""
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class ExpectView(View):
    """What another experiment would show."""

    confirm: str
    refute: str


class ProbeAsked(View):
    """An instrument that would make it surer."""

    kind: str


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
    patch: list[dict[str, Any]] | None = Field(
        description="operations of RFC 6902 on the normalised spec, which can then be submitted; null: there is none"
    )
    remedy: str | None
    expect: ExpectView | None
    probes: list[ProbeAsked]

    @classmethod
    def of(cls, verdict: Verdict) -> "FindingView":
        """A finding that stands."""
        rule, found = verdict.rule, verdict.found
        return cls(
            id=rule.id,
            rule=rule.id,
            version=rule.version,
            level=found.level,
            symptom=rule.symptom,
            verdict=found.verdict,
            text=found.text,
            confidence=found.confidence,
            steps=found.steps,
            evidence=[EvidenceView.of(each) for each in found.evidence],
            explains=list(verdict.suppressed),
            patch=[dict(each) for each in found.patch] or None,
            remedy=found.remedy,
            expect=None if found.expect is None else ExpectView(**found.expect.__dict__),
            probes=[ProbeAsked(kind=kind) for kind in found.probes],
        )


class CheckedView(View):
    """What a rule came to."""

    rule: str
    symptom: str
    state: Literal["clear", "found", "suppressed", "unknown"]
    why: str
    probes: list[ProbeAsked] = Field(description="instruments that would tell, where it is unknown")

    @classmethod
    def of(cls, found: Checked) -> "CheckedView":
        """Of one rule."""
        probes = [ProbeAsked(kind=kind) for kind in found.probes]
        return cls(rule=found.rule.id, symptom=found.rule.symptom, state=found.state, why=found.why, probes=probes)


class DiagnosisView(View):
    """Why a run learned or did not, as far as what is recorded tells."""

    run_id: str
    state: State
    step: int
    version: str
    complete: bool = Field(description="the run has ended: nothing will be added")
    level: Level | Literal["healthy", "unknown"]
    headline: str
    findings: list[FindingView] = Field(description="the gravest first")
    checked: list[CheckedView] = Field(description="every rule, and what it came to")

    @classmethod
    def of(cls, run: StoredRun, found: Diagnosis) -> "DiagnosisView":
        """Of a run as it stands."""
        return cls(
            run_id=run.id,
            state=run.state,
            step=run.step,
            version=VERSION,
            complete=run.state in TERMINAL,
            level=found.level,
            headline=found.headline,
            findings=[FindingView.of(each) for each in found.findings],
            checked=[CheckedView.of(each) for each in found.checked],
        )


class ThresholdView(View):
    """A number that evidence is held against."""

    key: str
    value: float
    unit: str
    meaning: str
    source: str


class RuleView(View):
    """A question that is asked of every run."""

    id: str
    version: int
    symptom: str
    verdicts: list[str]
    reference: str
    thresholds: list[ThresholdView]


class RulesView(View):
    """All rules, in the order in which they are asked."""

    version: str
    items: list[RuleView]
    shared: list[ThresholdView] = Field(description="thresholds of several rules")

    @classmethod
    def of(cls, rules: Sequence[Rule], table: Sequence[Threshold]) -> "RulesView":
        """With the thresholds that belong to each."""
        views = {each.key: ThresholdView(**each.__dict__) for each in table}
        items = [
            RuleView(
                id=rule.id,
                version=rule.version,
                symptom=rule.symptom,
                verdicts=list(rule.verdicts),
                reference=rule.reference,
                thresholds=[view for key, view in views.items() if key.startswith(f"{rule.id}.")],
            )
            for rule in rules
        ]
        shared = [view for key, view in views.items() if key.startswith("any.")]
        return cls(version=VERSION, items=items, shared=shared)
