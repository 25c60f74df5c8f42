"""Diagnoses as markdown: findings with evidence and remedy, and the rules that could not tell."""

import json
from collections.abc import Iterator

from service.export.markdown.runs import json_lines
from service.markdown import document, number, plain
from service.schemas.diagnosis import DiagnosisView, EvidenceView, FindingView, NeighbourView

MAX_EVIDENCE, MAX_PATCH = 4, 600  # numbers of a finding, characters


def diagnosis_markdown(found: DiagnosisView) -> str:
    """Return a diagnosis."""
    sections = [_head(found), *(_finding(each) for each in found.findings), *_neighbour(found.neighbour), _rest(found)]
    return document(sections, f"GET /v1/runs/{found.run_id}/diagnosis")


def _head(found: DiagnosisView) -> Iterator[str]:
    yield f"# Diagnosis of {found.run_id}"
    yield ""
    yield f"**{found.level}**: {plain(found.headline)}"
    yield ""
    yield f"State {found.state}, step {found.step}" + ("." if found.complete else "; findings may still change.")


def _finding(found: FindingView) -> Iterator[str]:
    first, last = found.steps
    where = f"step {first}" if first == last else f"steps {first} to {last}"
    yield f"## {plain(found.verdict)} ({found.level}, {where}, confidence {found.confidence:.0%})"
    yield ""
    yield plain(found.text)
    yield from (f"- {_evidence(each)}" for each in found.evidence[:MAX_EVIDENCE])
    if found.remedy:
        yield f"- try: {plain(found.remedy)}"
    if found.expect:
        yield f"- right if: {plain(found.expect.confirm)}; wrong if: {plain(found.expect.refute)}"
    for other in found.alternatives:
        yield f"- or {plain(other.verdict)}; to tell them apart: {plain(other.experiment)}"
    if found.probes:
        yield f"- surer with the probes: {', '.join(plain(each.kind) for each in found.probes)}"
    if found.patch:
        yield "- patch of the spec (RFC 6902):"
        yield ""
        yield from json_lines(found.patch, MAX_PATCH)


def _evidence(each: EvidenceView) -> str:
    value = number(each.value) if isinstance(each.value, float | int) else json.dumps(each.value)
    against = "" if each.threshold is None else f" {each.relation} {number(each.threshold)}"
    series = f" of {plain(each.series)}" if each.series else ""
    return f"{plain(each.name)}{series}: {plain(value + against)}"


def _neighbour(found: NeighbourView | None) -> Iterator[list[str]]:
    if found is None:
        return
    head = f"{plain(found.run_id)} of {plain(found.name)}: {plain(found.series)} {number(found.value)}"
    lines = ["## Similar, and it went well", "", f"- {head}", "- what differs (RFC 6902):", ""]
    yield [*lines, *json_lines(found.patch, MAX_PATCH)]


def _rest(found: DiagnosisView) -> Iterator[str]:
    by_state = {
        state: [plain(each.symptom) for each in found.checked if each.state == state] for state in ("clear", "unknown")
    }
    yield "## Looked for, without a finding"
    yield ""
    yield f"- clear: {', '.join(by_state['clear']) or 'none'}"
    yield f"- could not tell: {', '.join(by_state['unknown']) or 'none'}"
