"""The likely cause of a failure, from the trainer's output, and its place in the failure's text."""

from typing import Any

from worker.device_errors import explain, failed_assertion


def assertion_evidence(output: str) -> dict[str, str]:
    """Return the assertion that failed inside a GPU operation, and what it means; empty if there is none."""
    if (assertion := failed_assertion(output)) is None:
        return {}
    known = explain(assertion)
    return {"assertion": assertion} | ({"cause": known.explanation()} if known else {})


def output_evidence(output: str) -> dict[str, str]:
    """Return what the last output of a trainer that died says about its device or its data."""
    known = explain(output)
    return ({"cause": known.explanation()} if known else {}) | assertion_evidence(output)


def with_cause(detail: str, evidence: dict[str, Any]) -> str:
    """Return the detail of a failure with its likely cause, if one is known."""
    return f"{detail} Likely cause: {evidence['cause']}" if "cause" in evidence else detail
