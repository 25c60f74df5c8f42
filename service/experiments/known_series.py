"""Refuses filters, orders and columns that ask for a series which no run of the project has: a mistyped one."""

from collections.abc import Iterable, Iterator

from service.db.access.principal import Principal
from service.db.metrics import series_index
from service.db.session import Connection
from service.errors import Invalid, Problem
from service.spec.filters.language import And, Field, Figure, Node, Not, Or, Term
from service.spec.validation_errors import closest

SHOWN = 50


def check_series(
    connection: Connection, principal: Principal, parameter: str, asked: Node | Iterable[Field], source: str | None
) -> None:
    """Raise `Invalid` for a series in `source`, the text of a query parameter, that no run has."""
    fields = _fields(asked) if isinstance(asked, And | Or | Not | Term) else asked
    names = dict.fromkeys(field.series for field in fields if isinstance(field, Figure))
    unknown, there = series_index.find_unknown_names(connection, principal, names)
    if unknown:
        raise Invalid.of([_problem(parameter, name, source or "", there) for name in unknown])


def _problem(parameter: str, name: str, source: str, there: list[str]) -> Problem:
    detail = f"no run of the project has a series {name}."
    column = source.find(name) + 1 if parameter == "filter" else None
    near = closest(name, there)
    return Problem(f"/query/{parameter}", "unknown_series", detail, there[:SHOWN], near, column=column)


def _fields(node: Node) -> Iterator[Field]:
    match node:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _fields(part)
        case Not(inner):
            yield from _fields(inner)
        case Term():
            yield node.field
