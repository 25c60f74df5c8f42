"""Errors of the client, each with what to do.

ClientError                     exit status
├── Unusable       something given on this side cannot be used (a file, a name, a missing library)      2
├── Refused        the server refuses; carries every problem that it names            2
└── Unreachable    no answer, or one that is not Saddle's                         3
"""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from service.errors import Problem, SaddleError

SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >=", "max_length": "length <="}
MAX_LISTED = 40  # allowed values that are shown
COUNTED = re.compile(r"\d+ problems?; see errors\.")
HINTS = {"unauthorized": "Is SADDLE_KEY the key of this server?", "internal": "Ask whoever runs the server."}


class ClientError(SaddleError):
    """Base of what `Client` raises."""

    code, status, title = "client", 0, "The client cannot do this"
    exit_status: ClassVar[int] = 2


class Unusable(ClientError):
    """Something given on this side: a file, a name, a value, or a library that is not installed."""

    code, title = "unusable", "Not usable"


class Unreachable(ClientError):
    """No answer, or none of Saddle's: wrong address, server away, a proxy in between."""

    code, title = "unreachable", "The server does not answer"
    exit_status = 3


class Refused(ClientError):
    """The server's problem document (RFC 9457): `str()` shows all of it."""

    code, title = "refused", "The server refuses"

    def __init__(self, http_status: int, document: dict[str, Any]) -> None:
        problems = tuple(_problem(item) for item in document.get("errors") or () if isinstance(item, dict))
        super().__init__(str(document.get("detail") or document.get("title") or f"status {http_status}"), problems)
        self.http_status = http_status
        self.reason = str(document.get("code", ""))  # the server's stable code: invalid, not_found, conflict, ...
        self.request_id = str(document.get("instance", ""))
        self.document = document

    def __str__(self) -> str:
        title = str(self.document.get("title") or "")
        if self.problems and COUNTED.match(self.detail):  # they are listed here
            head = f"{title}:"
        else:
            head = f"{title}. {self.detail}" if title and title != self.detail else self.detail
        hints = [HINTS[self.reason]] if self.reason in HINTS else []
        return "\n".join([" ".join([head, *hints]), *(f"  {describe(problem)}" for problem in self.problems)])


def _problem(item: dict[str, Any]) -> Problem:
    meant = item.get("did_you_mean")
    pointer, code, detail = (str(item.get(name) or "") for name in ("pointer", "code", "detail"))
    return Problem(pointer, code, detail, item.get("limit"), None if meant is None else str(meant))


def describe(problem: Problem) -> str:
    """Return a problem in one line: where, what, what is allowed, what was probably meant."""
    parts = [f"{problem.pointer or '(the whole document)'}: {problem.detail}", *_allowed(problem.limit)]
    if problem.did_you_mean is not None:
        parts.append(f"Did you mean {problem.did_you_mean!r}?")
    return " ".join(parts)


def _allowed(limit: Any) -> Iterator[str]:
    if isinstance(limit, dict):
        listed = [f"{SIGNS.get(key, key)} {json.dumps(value)}" for key, value in limit.items()]
    elif isinstance(limit, list):
        listed = [each if isinstance(each, str) else json.dumps(each) for each in limit[:MAX_LISTED]]
        listed += ["..."] * (len(limit) > MAX_LISTED)
    else:
        listed = [] if limit is None else [json.dumps(limit)]
    if listed:
        yield f"Allowed: {', '.join(listed)}."
