"""Errors: RFC 9457 problem documents."""

from typing import Any

from pydantic import BaseModel, Field


class ProblemItem(BaseModel):
    """One thing wrong with a request."""

    pointer: str = Field(description="RFC 6901, into the body; parameters are below /query, /path and /header")
    code: str
    detail: str
    limit: Any = None
    did_you_mean: str | None = None
    column: int | None = Field(None, description="where in a filter, from 1")


class ProblemDocument(BaseModel):
    """RFC 9457, with a stable `code`, and every problem at once."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="the request's id, also in X-Request-Id: name it when you ask for help")
    code: str
    errors: list[ProblemItem]
