"""Preconditions of changes: `If-Match` (RFC 9110, section 13.1.1).

The ETag covers only the fields that PATCH writes, so the progress of a run does not change it.
"""

from typing import Annotated

from fastapi import Header

from service.errors import PreconditionFailed, Problem

IfMatch = Annotated[
    str | None,
    Header(
        max_length=1000,
        description="change it only if its ETag is one of these; * matches any. Otherwise 412, with the current ETag",
    ),
]


def check(if_match: str, current: str) -> None:
    """Raise `PreconditionFailed` if `if_match` does not hold. A weak ETag never matches."""
    given = [each.strip() for each in if_match.split(",")]
    if "*" not in given and current not in given:
        stale = Problem("/header/If-Match", "stale", f"the current ETag is {current}.")
        raise PreconditionFailed("It has changed since you read it: read it again, then change it.", current, [stale])
