"""A diagnosis as text for a terminal: findings with evidence and remedy, and the inconclusive rules."""

import json
import textwrap
from collections.abc import Iterator

from service.diagnosis.diagnose import Diagnosis, RuleFinding
from service.diagnosis.finding import Evidence
from service.diagnosis.neighbours import Neighbour
from service.diagnosis.rules.registry import RULES

WIDTH = 100
_SYMPTOMS = {rule.id: rule.symptom for rule in RULES}


def readable(diagnosis: Diagnosis, neighbour: Neighbour | None = None) -> str:
    """Return the text, in lines of at most 100 characters."""
    lines = [f"{diagnosis.level.upper()}: {diagnosis.headline}"]
    for verdict in diagnosis.findings:
        lines += ["", *_finding(verdict)]
    if neighbour is not None:
        lines += ["", *_neighbour(neighbour)]
    lines += ["", *_rest(diagnosis)]
    return "\n".join(line for text in lines for line in _wrapped(text)) + "\n"


def _finding(verdict: RuleFinding) -> Iterator[str]:
    finding = verdict.finding
    first, last = finding.steps
    where = f"step {first}" if first == last else f"steps {first} to {last}"
    yield f"{finding.verdict.replace('_', ' ')} ({finding.level}, {where}, confidence {finding.confidence:.0%})"
    yield f"  {finding.text}"
    yield from (f"  - {_evidence(each)}" for each in finding.evidence)
    if finding.remedy:
        yield f"  Try: {finding.remedy}"
    for operation in finding.patch:
        value = "" if operation["op"] == "remove" else f" = {json.dumps(operation['value'])}"
        yield f"    {operation['op']} {operation['path']}{value}"
    if finding.expect:
        yield f"  Right if: {finding.expect.confirm}. Wrong if: {finding.expect.refute}."
    for other in verdict.alternatives:
        yield f"  Or {other.verdict.replace('_', ' ')}. To tell them apart: {other.experiment}."
    if finding.probes:
        yield f"  Surer with: {', '.join(finding.probes)}"
    if verdict.suppressed:
        yield f"  Explains: {', '.join(_SYMPTOMS.get(rule, rule) for rule in verdict.suppressed)}"


def _evidence(each: Evidence) -> str:
    value = f"{each.value:.4g}" if isinstance(each.value, float | int) else str(each.value)
    against = "" if each.threshold is None else f" {each.relation} {each.threshold:.4g}"
    at = "" if each.steps is None else f", steps {each.steps[0]} to {each.steps[1]}"
    of = f" [{each.series}{at}]" if each.series else ""
    return f"{each.name}: {value}{against}{of} ({each.source})"


def _neighbour(found: Neighbour) -> Iterator[str]:
    count = len(found.patch)
    yield (
        f"Similar, and it went well: {found.run_id} of {found.name}, {found.series} {found.value:.4g}. It differs in "
        f"{count} setting{'' if count == 1 else 's'}:"
    )
    yield from (f"    {each['op']} {each['path']} = {json.dumps(each['value'])}" for each in found.patch)


def _rest(diagnosis: Diagnosis) -> Iterator[str]:
    clear = [each.rule.symptom for each in diagnosis.checked if each.state == "clear"]
    yield f"Looked for and not found: {', '.join(clear) or 'nothing'}."
    unknown = [each for each in diagnosis.checked if each.state == "unknown"]
    if unknown:
        yield "Not known:"
        yield from (f"  {each.rule.symptom}: {each.why}" for each in unknown)


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + (2 if line.startswith("  ") else 0))
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False) or [""]
