"""Pages of experiments and runs: filtered, sorted by anything with nothing and NaN last, cut exactly by keyset."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from service.db.access.principal import Principal
from service.db.access.visible import is_shared
from service.db.experiments.filters import Compiler
from service.db.runs.runs import COLUMNS, StoredRun, stored
from service.db.tables import comment, experiment, member, project, run
from service.spec.filters.language import Fact, Field, Node

NEWEST = Fact("id", "text")  # ids sort by the time of making


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
    A subquery selects the page, mostly by indexes alone; whole rows are read for that page only.
    """
    deciding = Compiler("experiments")
    showing = Compiler("experiments", reads_owner=True)
    value = deciding.column(order.field)
    mine = experiment.c.project_id == principal.project_id
    theirs = is_shared(principal, experiment.c.project_id, experiment.c.id)
    chosen = select(experiment.c.id, value.label("sorted_by")).where(theirs if shared else mine)
    page = _page(chosen, deciding, experiment.c.id, value, keep, order, after).limit(limit).subquery("page")
    more = [showing.shown(field).label(f"also_{at}") for at, field in enumerate(also)]
    columns = (*more, experiment.c.id, experiment.c.name, member.c.name.label("owner"), experiment.c.spec_hash)
    of_study = (experiment.c.study_id, experiment.c.trial)
    rest = (
        experiment.c.created_at,
        experiment.c.tags,
        *of_study,
        project.c.name.label("project"),
        _comments(principal),
    )
    query = select(*columns, *rest, page.c.sorted_by).join(page, page.c.id == experiment.c.id)
    query = query.join(project, project.c.id == experiment.c.project_id)
    query = _in_order(showing.joins(query), experiment.c.id, page.c.sorted_by, order)
    return [
        ListedExperiment(
            *(r.id, r.name, r.owner, r.spec_hash, tuple(r.tags or ()), r.created_at, r.study_id, r.trial),
            *(r.project, r.comments),
            *(r.sorted_by, tuple(r[: len(more)])),
        )
        for r in connection.execute(query)
    ]


def _comments(principal: Principal) -> ColumnElement[int]:
    """Return the column of how many comments an experiment has in the principal's project."""
    mine = (comment.c.experiment_id == experiment.c.id) & (comment.c.project_id == principal.project_id)
    return select(func.count()).select_from(comment).where(mine).scalar_subquery().label("comments")


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
    compiler = Compiler("runs")
    value = compiler.column(order.field)
    query = (
        select(*COLUMNS, value.label("sorted_by"))
        .join(experiment, experiment.c.id == run.c.experiment_id)
        .join(member, member.c.id == experiment.c.owner_id)
        .where(run.c.project_id == principal.project_id)
    )
    if not predictions:
        query = query.where(or_(run.c.task.is_(None), func.jsonb_array_length(run.c.task["probes"]) > 0))
    query = _page(query, compiler, run.c.id, value, keep, order, after).limit(limit)
    rows: Sequence[Any] = connection.execute(query).mappings().all()
    return [ListedRun(stored({k: v for k, v in row.items() if k != "sorted_by"}), row["sorted_by"]) for row in rows]


def _page(
    query: Select[Any],
    compiler: Compiler,
    row_id: ColumnElement[str],
    value: ColumnElement[Any],
    keep: Node | None,
    order: Order,
    after: ListPosition | None,
) -> Select[Any]:
    if keep is not None:
        query = query.where(compiler.holds(keep))
    if after is not None:
        query = query.where(_beyond(row_id, value, order, after))
    return _in_order(compiler.joins(query), row_id, value, order)


def _in_order(query: Select[Any], row_id: ColumnElement[str], value: ColumnElement[Any], order: Order) -> Select[Any]:
    by_id = row_id.desc() if order.descending else row_id.asc()
    if order.plain:
        return query.order_by(by_id)
    by_value = value.desc() if order.descending else value.asc()
    return query.order_by(by_value.nulls_last(), by_id)


def _beyond(
    row_id: ColumnElement[str], value: ColumnElement[Any], order: Order, after: ListPosition
) -> ColumnElement[bool]:
    """Return the condition for rows after the last one seen; rows without a value come last."""
    later = row_id < after.id if order.descending else row_id > after.id
    if order.plain:
        return later
    if after.value is None:
        return and_(value.is_(None), later)
    further = value < after.value if order.descending else value > after.value
    return or_(further, and_(value == after.value, later), value.is_(None))
