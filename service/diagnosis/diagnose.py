"""Diagnose a run record: apply every rule, drop findings that others explain, and summarise the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.diagnosis import remedies
from service.diagnosis.finding import Finding, Inconclusive, NoFinding, Outcome, Rule
from service.diagnosis.progress import share_learned
from service.diagnosis.rules.registry import RULES
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.weighing import TRIED, Alternative, Weighed, weigh

VERSION = "3"
Overall = Literal["fault", "warning", "info", "healthy", "unknown"]


@dataclass(frozen=True)
class RuleFinding:
    """A finding in the diagnosis, its rule, the ids of the findings that it explains, and its equals in support."""

    rule: Rule
    finding: Finding
    suppressed: tuple[str, ...]
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class RuleResult:
    """The result of one rule."""

    rule: Rule
    state: Literal["clear", "found", "suppressed", "unknown"]
    why: str
    probes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """The results of all rules; the most severe finding comes first."""

    level: Overall
    headline: str
    findings: tuple[RuleFinding, ...]
    checked: tuple[RuleResult, ...]


def diagnose(record: RunRecord, rules: Sequence[Rule] = RULES) -> Diagnosis:
    """Apply every rule. Pure: the same record gives the same diagnosis."""
    weighed = weigh(rules, {rule.id: rule.judge(record) for rule in rules})
    by_id = {rule.id: rule for rule in rules}
    findings = [_verdict(by_id[name], record, weighed) for name in weighed.standing]
    level = _level(record, findings, weighed.outcomes)
    causes = {name: by_id[by].symptom for name, by in weighed.explained.items()}
    checked = tuple(_checked(rule, weighed.outcomes[rule.id], causes.get(rule.id)) for rule in rules)
    return Diagnosis(level, _headline(record, level, findings, weighed.outcomes), tuple(findings), checked)


def _verdict(rule: Rule, record: RunRecord, weighed: Weighed) -> RuleFinding:
    """Return the finding, without its patch where that does not lead to a valid spec."""
    found = weighed.finding(rule.id)
    if found.patch and remedies.patched_spec(record.plan, found.patch) is None:
        found = replace(found, patch=())
    suppressed = tuple(name for name, by in weighed.explained.items() if by == rule.id)
    return RuleFinding(rule, found, suppressed, weighed.alternatives(rule.id))


def _checked(rule: Rule, outcome: Outcome, by: str | None) -> RuleResult:
    if isinstance(outcome, Finding):
        state: Literal["found", "suppressed"] = "found" if by is None else "suppressed"
        return RuleResult(rule, state, outcome.text if by is None else f"explained by {by}: {outcome.text}")
    if isinstance(outcome, NoFinding):
        return RuleResult(rule, "clear", outcome.why)
    return RuleResult(rule, "unknown", outcome.why, tuple(outcome.probes))


def _level(record: RunRecord, findings: Sequence[RuleFinding], outcomes: Mapping[str, Outcome]) -> Overall:
    """Return the highest level; healthy only where the run learned and no important rule was inconclusive."""
    if findings and findings[0].finding.level != "info":
        return findings[0].finding.level
    share = share_learned(record)
    if record.step >= limit("any.window_steps") and _enough(outcomes):
        return "info" if findings else "healthy"
    if _pressing(outcomes) or record.step < limit("any.window_steps") or share is None:
        return "info" if findings and not _pressing(outcomes) else "unknown"
    if share < limit("any.learned_poorly"):
        return "info" if findings and share > limit("any.learned_little") else "unknown"
    return "info" if findings else "healthy"


def _pressing(outcomes: Mapping[str, Outcome]) -> list[Inconclusive]:
    return [each for each in outcomes.values() if isinstance(each, Inconclusive) and each.pressing]


def _enough(outcomes: Mapping[str, Outcome]) -> NoFinding | None:
    tried = outcomes.get(TRIED)
    return tried if isinstance(tried, NoFinding) and tried.enough else None


def _headline(
    record: RunRecord, level: Overall, findings: Sequence[RuleFinding], outcomes: Mapping[str, Outcome]
) -> str:
    if level in ("fault", "warning", "info"):
        more = len(findings) - 1
        return findings[0].finding.text + (f" ({more} more finding{'s' if more > 1 else ''}.)" if more else "")
    if level == "healthy" and (enough := _enough(outcomes)) is not None:
        return f"No fault found: {enough.why}"
    if level == "healthy":
        return f"No fault found: the loss has come {share_learned(record):.0%} of the way to its minimum."
    pressing = _pressing(outcomes)
    if pressing:
        return f"Not known{'' if record.ended else ' yet'}: {pressing[0].why}"
    if record.step < limit("any.window_steps"):
        return _too_few(record)
    share = share_learned(record)
    if share is None:
        return "No fault found, but there is no scale to measure the progress on."
    done = f"the loss has come only {max(share, 0.0):.0%} of the way to its minimum"
    tell = " A larger model, another rate, or the probe learnability would tell whether more can be learned."
    return f"No fault found, but {done}{'' if record.ended else ' so far'}.{tell if record.ended else ''}"


def _too_few(record: RunRecord) -> str:
    """Return the headline of a run with fewer steps than any rule needs."""
    if not record.ended:
        return f"Too early to tell: {record.step} steps are recorded."
    code = f" ({record.failure['code']})" if record.failure else ""
    how = "ended" if record.state == "succeeded" else record.state.replace("cancelled", "was cancelled")
    few = f"{record.step} step{'' if record.step == 1 else 's'}"
    return f"The run {how}{code} after {few}: too few to diagnose, which takes {limit('any.window_steps'):g}."
