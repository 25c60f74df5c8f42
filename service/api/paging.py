"""Keyset paging: the cursor is the last id of the page."""

from collections.abc import Callable, Sequence
from typing import Annotated, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response

Limit = Annotated[int, Query(ge=1, le=200, description="items in a page")]
Cursor = Annotated[
    str | None,
    Query(pattern="^[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}$", description="next_cursor of the previous page"),
]
NumberCursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description="next_cursor of the previous page")]


class Identified(Protocol):
    """Anything with an id that sorts by creation time."""

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
    """Return up to `limit` of the `limit` + 1 items found, and the next cursor; set the Link header."""
    if len(found) <= limit:
        return found, None
    cursor = cursor_of(found[limit - 1])
    parameters = {**request.query_params, "cursor": cursor}
    response.headers["Link"] = f'<{request.url.path}?{urlencode(parameters)}>; rel="next"'
    return found[:limit], cursor
