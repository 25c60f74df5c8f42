"""Pages of experiments and runs: filtered, sorted by anything with nothing and NaN last, cut exactly by keyset."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, bindparam, func, or_, select

from service.db.access.principal import Principal
from service.db.driver import Statement
from service.db.experiments.filters import Compiler
from service.db.runs.runs import COLUMNS, StoredRun, stored_tuple
from service.db.tables import comment, experiment, member, project, run, share
from service.spec.filters.language import Fact, Field, Node

NEWEST = Fact("id", "text")  # ids sort by the time of making
STATEMENTS = 512  # kept: to build one takes 0.6 ms or more, and pages that are open ask the same again and again
PROJECT = bindparam("project", type_=project.c.id.type)  # the reader's


@dataclass(frozen=True)
class Order:
    """The sort order of a list."""

    field: Field = NEWEST
    descending: bool = True

    @property
    def plain(self) -> bool:
        """By id: the cursor is an id."""
        return self.field == NEWEST


@dataclass(frozen=True)
class ListPosition:
    """The last row of the previous page."""

    value: Any
    id: str


@dataclass(frozen=True)
class ListedExperiment:
    """An experiment in a list, without its spec."""

    id: str
    name: str
    owner: str
    spec_hash: str
    tags: tuple[str, ...]
    created_at: datetime
    study_id: str | None
    trial: int | None
    project: str
    comments: int
    value: Any  # that it was sorted by
    columns: tuple[Any, ...] = ()  # what else was asked for


@dataclass(frozen=True)
class ListedRun:
    """A run and what it was sorted by."""

    run: StoredRun
    value: Any

    @property
    def id(self) -> str:
        """The run's."""
        return self.run.id


class _Start(Enum):
    """Where a page begins."""

    FIRST = "first"
    AFTER_VALUE = "after_value"
    WITHOUT_VALUE = "without_value"  # among the rows that have no value to sort by

    @classmethod
    def of(cls, after: ListPosition | None) -> "_Start":
        """Return it for the last row of the page before."""
        if after is None:
            return cls.FIRST
        return cls.WITHOUT_VALUE if after.value is None else cls.AFTER_VALUE


class _Question(NamedTuple):
    """All of a list's question that decides its statement: whose list it is and where it goes on are bound."""

    keep: Node | None
    order: Order
    start: _Start
    also: tuple[Field, ...] = ()
    shared: bool = False
    predictions: bool = False


def experiments(
    connection: Connection,
    principal: Principal,
    limit: int,
    keep: Node | None,
    order: Order,
    after: ListPosition | None,
    also: Sequence[Field] = (),
    shared: bool = False,
) -> list[ListedExperiment]:
    """Return the next `limit` experiments of a list, each with the values of the fields in `also`.

    With `shared`, those that other projects share with this one, instead of its own.
    """
    question = _Question(keep, order, _Start.of(after), tuple(also), shared)
    values = {"project": principal.project_id, "limit": limit} | _values_after(after)
    return [_listed(*row) for row in _experiments(question).rows(connection, **values)]


def _listed(experiment_id: str, name: str, owner: str, spec_hash: str, tags: Any, *rest: Any) -> ListedExperiment:
    """Convert a row of `_experiments`."""
    created_at, study_id, trial, its_project, comments, value, *columns = rest
    known = experiment_id, name, owner, spec_hash, tuple(tags or ()), created_at, study_id, trial, its_project
    return ListedExperiment(*known, comments, value, tuple(columns))


@lru_cache(maxsize=STATEMENTS)
def _experiments(question: _Question) -> Statement:
    """Return the statement of a list of experiments.

    A subquery selects the page, mostly by indexes alone; whole rows are read for that page only.
    """
    order = question.order
    deciding = Compiler("experiments")
    showing = Compiler("experiments", reads_owner=True)
    value = deciding.column(order.field)
    shared = select(share.c.experiment_id).where(share.c.project_id == PROJECT)
    theirs = and_(experiment.c.project_id.is_not(None), experiment.c.id.in_(shared))
    mine = experiment.c.project_id == PROJECT
    chosen = select(experiment.c.id, value.label("sorted_by")).where(theirs if question.shared else mine)
    page = _page(chosen, deciding, experiment.c.id, value, question).subquery("page")
    columns = (experiment.c.id, experiment.c.name, member.c.name, experiment.c.spec_hash, experiment.c.tags)
    rest = (experiment.c.created_at, experiment.c.study_id, experiment.c.trial, project.c.name, _comments())
    also = [showing.shown(field).label(f"also_{at}") for at, field in enumerate(question.also)]
    query = select(*columns, *rest, page.c.sorted_by, *also).join(page, page.c.id == experiment.c.id)
    query = query.join(project, project.c.id == experiment.c.project_id)
    return Statement(_in_order(showing.joins(query), experiment.c.id, page.c.sorted_by, order))


def _comments() -> ColumnElement[int]:
    """Return the column of how many comments an experiment has in the reader's project."""
    mine = (comment.c.experiment_id == experiment.c.id) & (comment.c.project_id == PROJECT)
    return select(func.count()).select_from(comment).where(mine).scalar_subquery()


def runs(
    connection: Connection,
    principal: Principal,
    limit: int,
    keep: Node | None,
    order: Order,
    after: ListPosition | None,
    predictions: bool = False,
) -> list[ListedRun]:
    """Return the next `limit` runs of a list, jobs that predict rows only with `predictions`."""
    question = _Question(keep, order, _Start.of(after), predictions=predictions)
    values = {"project": principal.project_id, "limit": limit} | _values_after(after)
    return [ListedRun(stored_tuple(row[1:]), row[0]) for row in _runs(question).rows(connection, **values)]


@lru_cache(maxsize=STATEMENTS)
def _runs(question: _Question) -> Statement:
    """Return the statement of a list of runs."""
    compiler = Compiler("runs")
    value = compiler.column(question.order.field)
    query = (
        select(value.label("sorted_by"), *COLUMNS)
        .join(experiment, experiment.c.id == run.c.experiment_id)
        .join(member, member.c.id == experiment.c.owner_id)
        .where(run.c.project_id == PROJECT)
    )
    if not question.predictions:
        query = query.where(or_(run.c.task.is_(None), func.jsonb_array_length(run.c.task["probes"]) > 0))
    return Statement(_page(query, compiler, run.c.id, value, question))


def _page(
    query: Select[Any],
    compiler: Compiler,
    row_id: ColumnElement[str],
    value: ColumnElement[Any],
    question: _Question,
) -> Select[Any]:
    if question.keep is not None:
        query = query.where(compiler.holds(question.keep))
    if question.start is not _Start.FIRST:
        query = query.where(_beyond(row_id, value, question))
    query = compiler.joins(query).limit(bindparam("limit", type_=BigInteger))
    return _in_order(query, row_id, value, question.order)


def _in_order(query: Select[Any], row_id: ColumnElement[str], value: ColumnElement[Any], order: Order) -> Select[Any]:
    by_id = row_id.desc() if order.descending else row_id.asc()
    if order.plain:
        return query.order_by(by_id)
    by_value = value.desc() if order.descending else value.asc()
    return query.order_by(by_value.nulls_last(), by_id)


def _beyond(row_id: ColumnElement[str], value: ColumnElement[Any], question: _Question) -> ColumnElement[bool]:
    """Return the condition for rows after the last one seen; rows without a value come last."""
    order, last_id = question.order, bindparam("after_id", type_=row_id.type)
    later = row_id < last_id if order.descending else row_id > last_id
    if order.plain:
        return later
    if question.start is _Start.WITHOUT_VALUE:
        return and_(value.is_(None), later)
    last = bindparam("after_value", type_=value.type)
    further = value < last if order.descending else value > last
    return or_(further, and_(value == last, later), value.is_(None))


def _values_after(after: ListPosition | None) -> dict[str, Any]:
    """Return the values of `_beyond` for the last row of the page before."""
    return {} if after is None else {"after_id": after.id, "after_value": after.value}
