"""Preconditions of changes: `If-Match` against the ETag of what can be changed (RFC 9110, section 13.1.1).

The ETag covers the fields that a PATCH writes and nothing else, so that a run that trains on does not make it stale.
"""

from typing import Annotated

from fastapi import Header

from service.errors import PreconditionFailed, Problem

IfMatch = Annotated[
    str | None,
    Header(
        max_length=1000,
        description="change it only if its ETag is one of these; * for any. Otherwise 412, with the current ETag",
    ),
]


def check(if_match: str, current: str) -> None:
    """Raise `PreconditionFailed` where `if_match` does not hold. A weak ETag never matches."""
    given = [each.strip() for each in if_match.split(",")]
    if "*" not in given and current not in given:
        stale = Problem("/header/If-Match", "stale", f"the current ETag is {current}.")
        raise PreconditionFailed(
            "It was changed since you read it: read it again before you change it.", current, [stale]
        )
