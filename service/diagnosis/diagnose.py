"""Diagnose a run record: apply every rule, drop findings that others explain, and summarise the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.diagnosis import remedies
from service.diagnosis.finding import Finding, Inconclusive, NoFinding, Outcome, Rule
from service.diagnosis.progress import share_learned
from service.diagnosis.rules.learnability import REFUTED, kind_of
from service.diagnosis.rules.registry import RULES
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit

VERSION = "2"
TRIED = "R29"  # the rule that compares the run with trainings beside it
ENDED_EARLY = "R33"
UNSPECIFIC = "optimizer_settings"  # its verdict where nothing recorded says which setting
SUPPORT = 0.5  # of the doubt about a cause that a training without it takes away
SEVERITY = {"fault": 0, "warning": 1, "info": 2}
Overall = Literal["fault", "warning", "info", "healthy", "unknown"]


@dataclass(frozen=True)
class RuleFinding:
    """A finding in the diagnosis, its rule, and the ids of the findings that it explains."""

    rule: Rule
    finding: Finding
    suppressed: tuple[str, ...]


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
    outcomes = _weighed({rule.id: rule.judge(record) for rule in rules})
    standing, by = _settled(rules, outcomes)
    findings = [_verdict(rule, record, outcomes, by) for rule in rules if rule.id in standing]
    findings.sort(key=lambda each: (SEVERITY[each.finding.level], each.finding.rank))
    level = _level(record, findings, outcomes)
    symptoms = {rule.id: rule.symptom for rule in rules}
    causes = {name: symptoms[cause] for name, cause in by.items()}
    checked = tuple(_checked(rule, outcomes[rule.id], causes.get(rule.id)) for rule in rules)
    return Diagnosis(level, _headline(record, level, findings, outcomes), tuple(findings), checked)


def _weighed(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Let what was tried beside the run decide between causes: it replaces guesses, and supports a cause of its kind.

    A recorded cause of the same kind says more exactly what to change, so it stands, and explains what was tried.
    """
    tried = outcomes.get(TRIED)
    findings = {name: each for name, each in outcomes.items() if isinstance(each, Finding) and name != TRIED}
    kind, found = kind_of(tried.verdict) if isinstance(tried, Finding) else "", dict(outcomes)
    guesses = tuple(n for n, each in findings.items() if each.guess and each.verdict in REFUTED.get(kind, ()))
    if isinstance(tried, NoFinding) and tried.enough:
        if (early := findings.get(ENDED_EARLY)) is not None:  # a simple model trained longer, for no more
            outcomes = outcomes | {ENDED_EARLY: replace(early, level="info")}
        return outcomes | dict.fromkeys(guesses, NoFinding(f"refuted: {tried.why}"))
    if not isinstance(tried, Finding):
        return outcomes
    before = 0 if guesses else tried.rank  # what explains guesses comes before them
    found[TRIED] = replace(tried, explains=(*tried.explains, *guesses), rank=min(tried.rank, before))
    for name, each in findings.items():
        short = tried.verdict == UNSPECIFIC and name == ENDED_EARLY  # that settings matter makes a note a finding
        noted = each.level == "info" and not short
        named = kind_of(each.verdict) == kind or short or (tried.verdict == UNSPECIFIC and each.rank <= 0)
        if name in (*guesses, *tried.explains) or noted or not named:
            continue
        if kind_of(each.verdict) != kind and SEVERITY[tried.level] < SEVERITY[each.level]:
            each = replace(each, level=tried.level)
        confidence = 1 - (1 - each.confidence) * (1 - SUPPORT)
        seen, explains = [*each.evidence, *tried.evidence], (*each.explains, TRIED, *guesses)
        rank, found[TRIED] = min(each.rank, before), replace(tried, rank=2)
        found[name] = replace(each, confidence=round(confidence, 2), evidence=seen, explains=explains, rank=rank)
    return found


def _settled(rules: Sequence[Rule], outcomes: dict[str, Outcome]) -> tuple[set[str], dict[str, str]]:
    """Return the findings to report, and by what each other one is explained; causes come before what they cause."""
    found = [(rule.id, o) for rule in rules if isinstance(o := outcomes[rule.id], Finding)]
    standing: set[str] = set()
    by: dict[str, str] = {}
    for name, outcome in sorted(found, key=lambda each: each[1].rank):  # stable: in the rules' order within a rank
        if name in by:
            continue
        standing.add(name)
        for other in outcome.explains:
            if other not in standing:
                by.setdefault(other, name)
    return standing, {name: why for name, why in by.items() if name in dict(found)}


def _verdict(rule: Rule, record: RunRecord, outcomes: dict[str, Outcome], by: dict[str, str]) -> RuleFinding:
    """Return the finding, without its patch where that does not lead to a valid spec."""
    found = outcomes[rule.id]
    assert isinstance(found, Finding)
    if found.patch and remedies.patched_spec(record.plan, found.patch) is None:
        found = replace(found, patch=())
    return RuleFinding(rule, found, tuple(name for name, why in by.items() if why == rule.id))


def _checked(rule: Rule, outcome: Outcome, by: str | None) -> RuleResult:
    if isinstance(outcome, Finding):
        state: Literal["found", "suppressed"] = "found" if by is None else "suppressed"
        return RuleResult(rule, state, outcome.text if by is None else f"explained by {by}: {outcome.text}")
    if isinstance(outcome, NoFinding):
        return RuleResult(rule, "clear", outcome.why)
    return RuleResult(rule, "unknown", outcome.why, tuple(outcome.probes))


def _level(record: RunRecord, findings: Sequence[RuleFinding], outcomes: dict[str, Outcome]) -> Overall:
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


def _pressing(outcomes: dict[str, Outcome]) -> list[Inconclusive]:
    return [each for each in outcomes.values() if isinstance(each, Inconclusive) and each.pressing]


def _enough(outcomes: dict[str, Outcome]) -> NoFinding | None:
    tried = outcomes.get(TRIED)
    return tried if isinstance(tried, NoFinding) and tried.enough else None


def _headline(record: RunRecord, level: Overall, findings: Sequence[RuleFinding], outcomes: dict[str, Outcome]) -> str:
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
