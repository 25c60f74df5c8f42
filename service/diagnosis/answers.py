"""A diagnosis and its rules as the API answers them."""

import math
from collections.abc import Sequence

from service.db.runs.runs import StoredRun
from service.diagnosis.diagnose import VERSION, Diagnosis, RuleFinding, RuleResult
from service.diagnosis.finding import Rule
from service.diagnosis.neighbours import Neighbour
from service.diagnosis.thresholds import Threshold
from service.lifecycle import TERMINAL
from service.schemas.diagnosis import (
    AlternativeView,
    CheckedView,
    DiagnosisView,
    EvidenceView,
    ExpectView,
    FindingView,
    NeighbourView,
    ProbeAsked,
    RulesView,
    RuleView,
    ThresholdView,
)


def diagnosis_view(run: StoredRun, found: Diagnosis, neighbour: Neighbour | None = None) -> DiagnosisView:
    """Return the view of a run's diagnosis, and of a similar run that went well."""
    return DiagnosisView(
        run_id=run.id,
        state=run.state,
        step=run.step,
        version=VERSION,
        complete=run.state in TERMINAL,
        level=found.level,
        headline=found.headline,
        findings=[_finding(each) for each in found.findings],
        checked=[_checked(each) for each in found.checked],
        neighbour=neighbour and _neighbour(neighbour),
    )


def _neighbour(found: Neighbour) -> NeighbourView:
    own = found.own if math.isfinite(found.own) else None
    return NeighbourView.of(found, own=own, patch=[dict(each) for each in found.patch])


def _finding(verdict: RuleFinding) -> FindingView:
    rule, found = verdict.rule, verdict.finding
    return FindingView.of(
        found,
        id=rule.id,
        rule=rule.id,
        version=rule.version,
        symptom=rule.symptom,
        evidence=[EvidenceView.of(each) for each in found.evidence],
        explains=list(verdict.suppressed),
        alternatives=[AlternativeView.of(each) for each in verdict.alternatives],
        patch=[dict(each) for each in found.patch] or None,
        expect=found.expect and ExpectView.of(found.expect),
        probes=[ProbeAsked(kind=kind) for kind in found.probes],
    )


def _checked(found: RuleResult) -> CheckedView:
    probes = [ProbeAsked(kind=kind) for kind in found.probes]
    return CheckedView.of(found, rule=found.rule.id, symptom=found.rule.symptom, probes=probes)


def rules_view(rules: Sequence[Rule], table: Sequence[Threshold]) -> RulesView:
    """Return all rules, each with its own thresholds."""
    views = {each.key: ThresholdView.of(each) for each in table}
    items = [
        RuleView.of(
            rule,
            verdicts=list(rule.verdicts),
            thresholds=[view for key, view in views.items() if key.startswith(f"{rule.id}.")],
        )
        for rule in rules
    ]
    shared = [view for key, view in views.items() if key.startswith("any.")]
    return RulesView(version=VERSION, items=items, shared=shared)
