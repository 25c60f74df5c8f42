"""Answers that are JSON or, with `Accept: text/markdown`, a short text for people and assistants."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Header, Response

from service.api.content_negotiation import negotiate_media_type

T = TypeVar("T")
JSON, MARKDOWN = "application/json", "text/markdown"
TEXT = {"schema": {"type": "string"}}
IN_MARKDOWN: dict[int | str, dict[str, Any]] = {200: {"content": {MARKDOWN: TEXT}}}
CREATED_IN_MARKDOWN: dict[int | str, dict[str, Any]] = {201: {"content": {MARKDOWN: TEXT}}}
Accept = Annotated[str | None, Header(max_length=1000, include_in_schema=False)]


def in_form(
    accept: str | None, view: T, markdown: Callable[[T], str], response: Response, headers: Mapping[str, str] = {}
) -> T | Response:
    """Return the view, or its markdown where the client prefers that; set `Vary` and these headers either way."""
    response.headers.update({"Vary": "Accept", **headers})
    if negotiate_media_type(accept, (JSON, MARKDOWN)) == JSON:
        return view
    kept = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(markdown(view), response.status_code or 200, kept, MARKDOWN)
