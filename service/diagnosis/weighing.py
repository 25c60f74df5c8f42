"""One model of evidence: which findings stand, which they explain, and which of them nothing recorded tells apart.

Each finding is a candidate for the first cause. Its support is a sum of log-odds: of its confidence, that is how often
what it observed comes with its verdict; NEARER for each rank that it lies nearer to the first cause; AGREES where
trainings beside the run blame what it blames; and EXPLAINS for every fault or warning that it explains (`causes.py`).
The best supported stands and takes away what it explains, then the best of the rest stands, and so on. A guess rests on
nothing recorded, so what was tried beside the run replaces it. Two candidates whose support differs by less than TIE
are told together, with the experiment that separates them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from service.diagnosis.causes import cause, separating
from service.diagnosis.finding import Finding, NoFinding, Outcome, Rule

TRIED = "R29"  # the rule that compares the run with trainings beside it
ENDED_EARLY = "R33"
UNSPECIFIC = "optimizer_settings"  # its verdict where nothing recorded says which setting
NEARER, EXPLAINS, AGREES, TIE = 4.0, 1.5, 0.8, math.log(3)  # log-odds
SEVERITY = {"fault": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Alternative:
    """Another cause that the record supports about as well, and the experiment that tells the two apart."""

    verdict: str
    experiment: str


@dataclass(frozen=True)
class Weighed:
    """Outcomes by rule, as trainings beside the run change them; the standing ones; and what explains the others."""

    outcomes: Mapping[str, Outcome]
    standing: Sequence[str]  # the most severe first, then the best supported
    explained: Mapping[str, str]

    def finding(self, rule: str) -> Finding:
        """Return a rule's finding."""
        found = self.outcomes[rule]
        assert isinstance(found, Finding)
        return found

    def alternatives(self, rule: str) -> tuple[Alternative, ...]:
        """Return the causes that are supported about as well as this one."""
        own = self.finding(rule)
        others = (found for name, found in self.outcomes.items() if name != rule and isinstance(found, Finding))
        tied = {
            found.verdict: experiment
            for found in others
            if found.level != "info" and abs(support(found) - support(own)) < TIE
            if (experiment := separating(own.verdict, found.verdict))
        }
        return tuple(Alternative(*each) for each in tied.items())


def support(finding: Finding) -> float:
    """Return the log-odds that a finding names the first cause, compared with the other findings."""
    return log_odds(finding.confidence) - NEARER * finding.rank


def log_odds(confidence: float) -> float:
    """Return ln(p / (1 - p)), of a confidence between 0.01 and 0.99."""
    held = min(0.99, max(0.01, confidence))
    return math.log(held / (1 - held))


def weigh(rules: Sequence[Rule], outcomes: Mapping[str, Outcome]) -> Weighed:
    """Compare all findings."""
    found = _with_trained_beside(dict(outcomes))
    findings = {rule.id: each for rule in rules if isinstance(each := found[rule.id], Finding)}
    effects = {name: _effects(each, findings) - {name} for name, each in findings.items()}
    standing, explained, left = list[str](), dict[str, str](), list(findings)
    while left:
        grave = {name for name in left if findings[name].level != "info"}
        best = max(left, key=lambda name: support(findings[name]) + EXPLAINS * len(effects[name] & grave))
        standing.append(best)
        explained |= dict.fromkeys(effects[best].intersection(left), best)
        left = [name for name in left if name != best and name not in explained]
    standing.sort(key=lambda name: SEVERITY[findings[name].level])
    return Weighed(found, standing, explained)


def _effects(finding: Finding, findings: Mapping[str, Finding]) -> set[str]:
    """Return the rules whose findings it explains."""
    wanted = {*finding.explains, *(cause(finding.verdict).explains if finding.strong else ())}
    return {name for name, each in findings.items() if name in wanted or each.verdict in wanted}


def _with_trained_beside(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Let what was trained beside the run replace guesses, and support the causes that it agrees with.

    A recorded cause says more exactly what to change than a comparison, so it stands, and explains the comparison.
    """
    tried = outcomes.get(TRIED)
    findings = {name: each for name, each in outcomes.items() if isinstance(each, Finding) and name != TRIED}
    if isinstance(tried, NoFinding) and tried.enough:  # the run learned what it can: guesses at causes are wrong
        refuted = {name: NoFinding(f"refuted: {tried.why}") for name, each in findings.items() if each.guess}
        return outcomes | refuted
    if not isinstance(tried, Finding):
        return outcomes
    replaced = tuple(n for n, each in findings.items() if each.guess and not _adds(each, tried))
    rank = 0 if replaced else tried.rank  # what replaces guesses comes before them
    agreeing = {n: each for n, each in findings.items() if n not in replaced and _agrees(n, each, tried)}
    for name, each in agreeing.items():
        level = each.level if _same_kind(each, tried) else min(each.level, tried.level, key=SEVERITY.__getitem__)
        outcomes[name] = replace(
            each,
            level=level,
            confidence=round(1 / (1 + math.exp(-log_odds(each.confidence) - AGREES)), 2),
            evidence=[*each.evidence, *tried.evidence],
            explains=(TRIED, *replaced),
            rank=min(each.rank, rank),
        )
    return outcomes | {TRIED: replace(tried, explains=replaced, rank=2 if agreeing else rank)}


def _adds(guess: Finding, tried: Finding) -> bool:
    """Whether a guess says more than what was tried, and does not contradict it."""
    return cause(guess.verdict).blames == cause(tried.verdict).blames and guess.verdict != tried.verdict


def _agrees(name: str, finding: Finding, tried: Finding) -> bool:
    """Whether a finding is of what was tried to be the cause, be it a note that the run ended early."""
    if tried.verdict == UNSPECIFIC and name == ENDED_EARLY:  # that settings matter makes the note a finding
        return True
    specific = _same_kind(finding, tried) or (tried.verdict == UNSPECIFIC and finding.rank <= 0)
    return finding.level != "info" and specific


def _same_kind(finding: Finding, tried: Finding) -> bool:
    """Whether both blame the same."""
    blamed = cause(tried.verdict).blames
    return finding.verdict == tried.verdict or (blamed != "" and cause(finding.verdict).blames == blamed)
