"""Filters and sort orders as SQL: every value is bound, every column is one of these."""

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Select,
    and_,
    cast,
    exists,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy import case as when

from service.db.metrics.result_sql import figure, finite, has_result, is_counted, mean
from service.db.tables import confirmation, experiment, experiment_figure, member, run, series
from service.spec.filters.fields import Noun
from service.spec.filters.language import And, Fact, Field, Figure, Node, Not, Or, SpecField, Term, Value
from service.spec.measures import better_direction

COLUMNS: dict[Noun, dict[str, ColumnElement[Any]]] = {
    "experiments": {
        "id": experiment.c.id,
        "name": experiment.c.name,
        "owner": member.c.name,
        "notes": experiment.c.notes,
        "hash": experiment.c.spec_hash,
        "confirms": select(confirmation.c.comparison_id)
        .where(confirmation.c.experiment_id == experiment.c.id)
        .scalar_subquery(),
        "study": experiment.c.study_id,
        "trial": experiment.c.trial,
        "created": experiment.c.created_at,
        "archived": experiment.c.archived_at,
    },
    "runs": {
        "id": run.c.id,
        "experiment": run.c.experiment_id,
        "study": experiment.c.study_id,
        "trial": experiment.c.trial,
        "name": experiment.c.name,
        "owner": member.c.name,
        "notes": experiment.c.notes,
        "hash": experiment.c.spec_hash,
        "state": run.c.state,
        "pool": run.c.pool,
        "worker": run.c.worker,
        "failure": run.c.failure["code"].astext,
        "seed": run.c.seed,
        "step": run.c.step,
        "created": run.c.created_at,
        "started": run.c.started_at,
        "finished": run.c.finished_at,
    },
}

Join = tuple[FromClause, ColumnElement[bool]]
ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Compiler:
    """Compiles the filter and order of one list. Each figure is joined once, however often it is used."""

    def __init__(self, noun: Noun, reads_owner: bool = False) -> None:
        self.noun = noun
        self.joined: dict[Figure, tuple[tuple[Join, ...], ColumnElement[Any]]] = {}
        self.reads_owner = reads_owner

    def joins(self, query: Select[Any]) -> Select[Any]:
        """Return the query joined with what its filter and order read."""
        if self.noun == "experiments" and self.reads_owner:
            query = query.join(member, member.c.id == experiment.c.owner_id)
        for joins, _ in self.joined.values():
            for table, on in joins:
                query = query.outerjoin(table, on)
        return query

    def holds(self, node: Node) -> ColumnElement[bool]:
        """Return the condition of a filter: true or false for every row, never null."""
        match node:
            case And(parts):
                return and_(*map(self.holds, parts))
            case Or(parts):
                return or_(*map(self.holds, parts))
            case Not(inner):
                return not_(self.holds(inner))
            case Term(Fact("name"), "="):
                return self.term(node)  # never null, and this way an index finds it
            case Term():
                return func.coalesce(self.term(node), false())

    def term(self, term: Term) -> ColumnElement[bool]:
        """Return a comparison of a field with values; null where the row has no value."""
        match term.field:
            case Fact("tag"):
                return _tags(term)
            case Fact("state") if self.noun == "experiments":
                states = [value for value in term.values if isinstance(value, str)]
                return exists().where(run.c.experiment_id == experiment.c.id, run.c.state.in_(states))
            case SpecField(path):
                return _spec(path, term)
        column = self.column(term.field)
        if term.operator == "null":
            return column.is_(None)
        return _against(column, term)

    def column(self, field: Field) -> ColumnElement[Any]:
        """Return the field's expression; null where the row has none, and for NaN."""
        if isinstance(field, Figure):
            return self._figure(field)
        if isinstance(field, SpecField):
            return _number(experiment.c.spec[field.path])
        self.reads_owner |= field.name == "owner"
        return COLUMNS[self.noun][field.name]

    def shown(self, field: Field) -> ColumnElement[Any]:
        """Return what a page shows of the field: of a spec the JSON value, whatever its type."""
        if isinstance(field, Figure):
            return self._figure(field, few=True)
        return experiment.c.spec[field.path] if isinstance(field, SpecField) else self.column(field)

    def _figure(self, field: Figure, few: bool = False) -> ColumnElement[Any]:
        if field not in self.joined:
            at = len(self.joined)
            self.joined[field] = _of_run(field, at) if self.noun == "runs" else _of_experiment(field, at, few)
        return self.joined[field][1]


@lru_cache(maxsize=256)
def _of_run(field: Figure, at: int) -> tuple[tuple[Join, ...], ColumnElement[Any]]:
    own = series.alias(f"figure_{at}")
    on = and_(own.c.run_id == run.c.id, own.c.name == field.series)
    value = when((has_result(), finite(figure(own, _name(field)))), else_=null())
    return ((own, on),), value


@lru_cache(maxsize=256)  # to put it together takes longer than to run it
def _of_experiment(field: Figure, at: int, few: bool) -> tuple[tuple[Join, ...], ColumnElement[Any]]:
    """The mean over the newest run of each seed: as stored for settled experiments, else computed.

    For a `few` experiments each row is looked up. Otherwise OFFSET 0 makes Postgres read the figures of all experiments
    in one scan; before a LIMIT it would look up each.
    """
    name, row = _name(field), experiment.c.id
    written = select(experiment_figure).where(experiment_figure.c.name == field.series)
    told = (written if few else written.offset(0)).subquery(f"figure_{at}")
    ours = and_(experiment.c.settled, told.c.experiment_id == row)
    found = (
        select(mean(figure(series, name)).label("value"))
        .join(run, run.c.id == series.c.run_id)
        .where(not_(experiment.c.settled), run.c.experiment_id == row, is_counted(), has_result())
        .where(series.c.name == field.series)
        .correlate(experiment)
        .lateral(f"found_{at}")
    )
    value = when((experiment.c.settled, told.c[name]), else_=found.c.value)
    return ((told, ours), (found, true())), value


def _name(field: Figure) -> str:
    if field.figure == "best":
        return better_direction(field.series)
    return field.figure


def _against(column: ColumnElement[Any], term: Term) -> ColumnElement[bool]:
    if term.operator == "in":
        return column.in_(term.values)
    if term.operator == "~":
        return column.icontains(str(term.values[0]), autoescape=True)
    found: ColumnElement[bool] = ORDERS[term.operator](column, term.values[0])
    return found


def _tags(term: Term) -> ColumnElement[bool]:
    tags = experiment.c.tags
    if term.operator == "null":
        return func.jsonb_array_length(tags) == 0
    each = func.jsonb_array_elements_text(tags).table_valued("value")
    return exists(select(literal(1)).select_from(each).where(_against(each.c.value, term)))


def _spec(path: tuple[str, ...], term: Term) -> ColumnElement[bool]:
    place = experiment.c.spec[path]
    kind = func.jsonb_typeof(place)
    if term.operator == "null":
        return func.coalesce(kind, "null") == "null"
    return or_(*(_spec_value(place, kind, Term(term.field, _single(term), (value,)), value) for value in term.values))


def _single(term: Term) -> Any:
    return "=" if term.operator == "in" else term.operator


def _spec_value(place: Any, kind: Any, term: Term, value: Value) -> ColumnElement[bool]:
    if isinstance(value, bool):
        return and_(kind == "boolean", place.astext == ("true" if value else "false"))
    if isinstance(value, float):
        return _against(_number(place), term)
    return and_(kind == "string", _against(place.astext, term))


def _number(place: Any) -> ColumnElement[Any]:
    """Return a number of a spec; null for other types, which CASE keeps from the cast."""
    return when((func.jsonb_typeof(place) == "number", cast(place.astext, Double)), else_=null())
