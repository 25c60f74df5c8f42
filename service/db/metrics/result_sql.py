"""The result of a run as SQL expressions over `run` and `series`, equal to `service.analysis.result`.

Lists sort and filter thousands by them; one test holds both against each other, run by run.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    and_,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy import case as when
from sqlalchemy.types import Numeric

from service.db.tables import run, series
from service.lifecycle import ASIDE, State
from service.spec.measures import LOSS_SERIES

NOT_COUNTING = [relation.value for relation in sorted(ASIDE)]
INCOMPLETE = [State.FAILED.value, State.CANCELLED.value]


def is_counted() -> ColumnElement[bool]:
    """Whether a run is the newest of its seed, and no replay and no look at one."""
    later = run.alias("later")
    superseded = (
        select(literal(1))
        .where(
            later.c.experiment_id == run.c.experiment_id,
            later.c.seed == run.c.seed,
            later.c.id > run.c.id,
            later.c.relation == "retry",  # a fork is of another experiment
        )
        .correlate(run)
        .exists()
    )
    return and_(may_be_counted(), not_(superseded))


def has_diverged() -> ColumnElement[bool]:
    """Whether a run failed as diverged, or went on after a loss that was no finite number."""
    return or_(func.coalesce(run.c.failure["code"].astext == "diverged", false()), _went_on())


def has_result() -> ColumnElement[bool]:
    """Whether a run has a value in each series that ends with a finite one."""
    return and_(run.c.state.not_in(INCOMPLETE), not_(_went_on()))


def _went_on() -> ColumnElement[bool]:
    lost = series.alias("lost")
    there = lost.c.nonfinite > literal_column("0")  # as the index says it
    return (
        select(literal(1)).where(lost.c.run_id == run.c.id, lost.c.name.in_(LOSS_SERIES), there).correlate(run).exists()
    )


def figure(table: FromClause, name: str) -> ColumnElement[Any]:
    """The last, min or max of a series' summary."""
    return func.coalesce(table.c.final, table.c.last) if name == "last" else table.c[name]


def finite(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """The value; null where it is no finite number. NaN is above infinity here."""
    return when((func.abs(value) < literal(float("inf"), Double), value), else_=null())


def mean(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of the finite values, in decimals: the same whatever the order of the rows."""
    return cast(func.avg(cast(finite(value), Numeric)), Double)


def may_be_counted() -> ColumnElement[bool]:
    """Whether a run may count: it is no replay and no probe job."""
    return or_(run.c.relation.is_(None), run.c.relation.not_in(NOT_COUNTING))
