"""Query parameters of lists: `filter`, `sort`, `fields` and `columns`; and the cursors of sorted lists."""

import base64
import binascii
import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request, Response
from pydantic import BaseModel

from service.api.paging import page_of
from service.db.experiments.lists import NEWEST, ListedExperiment, ListedRun, ListPosition, Order
from service.errors import Invalid, Problem
from service.nonfinite import spell
from service.schemas.common import Page
from service.spec.filters.fields import Noun
from service.spec.filters.language import Fact, Field, parse_field
from service.spec.validation_errors import closest

Filter = Annotated[
    str | None,
    Query(
        alias="filter",
        max_length=1024,
        description="state = failed AND (optimizer.kind IN (sgd, adamw) OR best(val/loss) < 0.3)",
    ),
]
Sort = Annotated[
    str | None,
    Query(
        max_length=200,
        description="a field of the filter language; a leading - means descending: -best(val/loss). Items without a "
        "value, or with NaN, come last. The default is newest first",
    ),
]
Fields = Annotated[
    str | None, Query(max_length=500, description="comma-separated: the fields to return of each item, besides its id")
]
Columns = Annotated[
    str | None,
    Query(
        max_length=500,
        description="comma-separated fields of the spec (optimizer.lr) and figures (best(loss)), at most 12: each item "
        "has their values in `values`",
    ),
]
SortedCursor = Annotated[
    str | None,
    Query(pattern="^[A-Za-z0-9_=-]{1,1200}$", description="next_cursor of the page before; keep filter and sort"),
]
ID = re.compile("^[a-z]{3}_[0-9a-hjkmnp-tv-z]{26}$")
WRONG_CURSOR = "this is not a cursor of a list in this order: send next_cursor unchanged."
MAX_COLUMNS = 12
UNSORTABLE = ("tag", "notes", "state")
Item = TypeVar("Item", bound=BaseModel)
Listed = TypeVar("Listed", ListedExperiment, ListedRun)


def parse_sort(sort: str | None, noun: Noun) -> Order:
    """Return the order that `sort` names."""
    if sort is None:
        return Order()
    descending = sort.startswith("-")
    field = parse_field(sort.removeprefix("-"), noun, "sort")
    if isinstance(field, Fact) and field.name in UNSORTABLE:
        raise Invalid.of([Problem("/query/sort", "unsortable", "lists cannot be sorted by this field.")])
    return Order(NEWEST if field == Fact("created", "date") else field, descending)


def parse_columns(text: str | None) -> dict[str, Field]:
    """Return the fields that `columns` names, by name."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if len(names) > MAX_COLUMNS:
        raise Invalid.of([Problem("/query/columns", "too_many_columns", f"there are {len(names)}.", MAX_COLUMNS)])
    found = {name: parse_field(name, "experiments", "columns") for name in names}
    for name, field in found.items():
        if isinstance(field, Fact):
            detail = f"{name[:40]} is part of every item: name fields of the spec, or figures."
            raise Invalid.of([Problem("/query/columns", "no_column", detail)])
    return found


def parse_cursor(cursor: str | None, order: Order) -> ListPosition | None:
    """Return where the previous page ended."""
    if cursor is None:
        return None
    if order.plain:
        if not ID.match(cursor):
            raise Invalid.of([Problem("/query/cursor", "wrong_cursor", WRONG_CURSOR)])
        return ListPosition(None, cursor)
    try:
        value, row_id = json.loads(base64.urlsafe_b64decode(cursor))
        if not isinstance(row_id, str) or not isinstance(value, str | int | float | None):
            raise TypeError
        if order.field.type == "date" and value is not None:
            value = datetime.fromisoformat(str(value))
        elif order.field.type in ("number", "any") and value is not None:
            value = float(value)
        elif value is not None and not isinstance(value, str):
            raise TypeError
        if b"\x00" in f"{value}{row_id}".encode() or (isinstance(value, float) and math.isnan(value)):
            raise ValueError
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError):
        raise Invalid.of([Problem("/query/cursor", "wrong_cursor", WRONG_CURSOR)]) from None
    return ListPosition(value, row_id)


def sorted_page(
    found: Sequence[Listed], limit: int, order: Order, request: Request, response: Response
) -> tuple[Sequence[Listed], str | None]:
    """Like `page_of`, for rows sorted by `order`."""
    return page_of(found, limit, request, response, lambda row: _format_cursor(order, row.value, row.id))


def _format_cursor(order: Order, value: Any, row_id: str) -> str:
    if order.plain:
        return row_id
    sent = value.isoformat() if isinstance(value, datetime) else spell(value) if isinstance(value, float) else value
    return base64.urlsafe_b64encode(json.dumps([sent, row_id]).encode()).decode()


def select_fields(page: Page[Item], fields: str | None, known: Sequence[str], response: Response) -> Any:
    """Return the page with only these fields of each item."""
    if fields is None:
        return page
    names = [name.strip() for name in fields.split(",")]
    wrong = [name for name in names if name not in known]
    if wrong:
        near = closest(wrong[0], known)
        raise Invalid.of([Problem("/query/fields", "unknown_field", "there is no such field.", list(known), near)])
    include: Any = {"items": {"__all__": {"id", *names}}, "next_cursor": True}
    headers = {key: value for key, value in response.headers.items() if key == "link"}
    return Response(page.model_dump_json(include=include), media_type="application/json", headers=headers)
