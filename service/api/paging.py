"""Keyset pages: newest first, the cursor is the last id seen."""

from collections.abc import Callable, Sequence
from typing import Annotated, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response

Limit = Annotated[int, Query(ge=1, le=200, description="items in a page")]
Cursor = Annotated[
    str | None,
    Query(pattern="^[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}$", description="next_cursor of the page before"),
]


class Identified(Protocol):
    """Anything with an id that sorts by the time of making."""

    @property
    def id(self) -> str | int:
        """Its id."""


Item = TypeVar("Item", bound=Identified)


def page_of(
    found: Sequence[Item],
    limit: int,
    request: Request,
    response: Response,
    cursor_of: Callable[[Item], str] = lambda item: str(item.id),
) -> tuple[Sequence[Item], str | None]:
    """Of `limit` + 1 items asked for, those of this page and the next cursor; the header Link says the same."""
    if len(found) <= limit:
        return found, None
    cursor = cursor_of(found[limit - 1])
    parameters = {**request.query_params, "cursor": cursor}
    response.headers["Link"] = f'<{request.url.path}?{urlencode(parameters)}>; rel="next"'
    return found[:limit], cursor
