"""What experiments came to: for each series the mean over the runs that count, with counts and spreads.

Lists show thousands of these and sort by them, so a summary is stored once every run of its experiment has ended: the
experiment is settled. Until then, and again after a retry, it is computed from the runs by the same statement.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    not_,
    null,
    select,
    text,
)
from sqlalchemy import case as when
from sqlalchemy.dialects.postgresql import aggregate_order_by

from service.db.driver import Statement
from service.db.metrics.result_sql import INCOMPLETE, figure, finite, has_diverged, is_counted, may_be_counted, mean
from service.db.states import OPEN_STATES
from service.db.tables import experiment, experiment_figure, run, series
from service.spec.measures import RANKED_SERIES, better_direction, default_series

BATCH_EXPERIMENTS = 500  # experiments of one transaction
MAX_SQUARED = 1e150  # the square of a greater value could overflow
MAXIMISED = [name for name in RANKED_SERIES if better_direction(name) == "max"]
FOLDS = Statement(
    text(
        """
        SELECT id, cast(spec -> 'dataset' ->> 'folds' AS int) FROM experiment
        WHERE id = ANY(:ids) AND spec -> 'dataset' ->> 'folds' IS NOT NULL
        """
    )
)
UNSETTLE = text("UPDATE experiment SET settled = false WHERE id = :id AND settled")


@dataclass(frozen=True)
class ExperimentSummary:
    """One series of an experiment: means over its runs that count, and one run to look at."""

    series: str
    run_id: str
    n: int  # runs with a finite last value
    last: float | None
    best: float | None
    last_spread: float | None  # standard deviation between the seeds; None with one, or with values beyond 1e150
    best_spread: float | None
    best_n: int  # runs with a finite best value
    provisional: int  # of the n: have not ended
    diverged: int
    incomplete: int
    final_from: int | None
    last_step: int
    folds: int = 1  # that the runs validate on; 1: all on the same rows

    @property
    def stretch(self) -> tuple[int, int] | None:
        """The first and last step that `last` is a mean over; None: it is one value."""
        return None if self.final_from is None else (self.final_from, self.last_step)


def settle(connection: Connection) -> int:
    """Store the summaries of experiments that have ended since; return how many, at most `BATCH_EXPERIMENTS`.

    The experiments are locked before their runs are read. A retry inserts a run that references its experiment, so it
    waits for that lock: it comes before and is seen, or comes after and unsettles the experiment.
    """
    going = run.c.experiment_id == experiment.c.id, run.c.state.in_(OPEN_STATES), may_be_counted()
    none_goes = not_(select(literal(1)).where(*going).exists())
    due = select(experiment.c.id).where(not_(experiment.c.settled), experiment.c.project_id.is_not(None))
    locked = due.where(none_goes).order_by(experiment.c.id).limit(BATCH_EXPERIMENTS).with_for_update(skip_locked=True)
    ids = connection.execute(locked).scalars().all()
    ended = connection.execute(due.where(experiment.c.id.in_(ids), none_goes)).scalars().all() if ids else []
    if not ended:
        return 0
    named = select(series.c.name).join(run, run.c.id == series.c.run_id).where(run.c.experiment_id.in_(ended))
    old = experiment_figure.c.experiment_id.in_(ended), experiment_figure.c.name.in_(named)  # as its key begins
    connection.execute(experiment_figure.delete().where(*old))
    connection.execute(_STORE, {"ids": ended})
    connection.execute(experiment.update().where(experiment.c.id.in_(ended)).values(settled=True))
    return len(ids)


def unsettle(connection: Connection, experiment_id: str) -> None:
    """Mark an experiment that got another run that counts. Call it once that run's row is inserted."""
    connection.execute(UNSETTLE, {"id": experiment_id})


def of_experiments(connection: Connection, experiment_ids: Sequence[str]) -> dict[str, ExperimentSummary]:
    """Return the summary of each experiment's default series; experiments without points are left out."""
    found: dict[str, dict[str, Any]] = {}
    for row in _READ.rows(connection, ids=list(experiment_ids)):
        found.setdefault(row[0], {})[row[1]] = row
    if others := [each for each in experiment_ids if each not in found]:
        for row in _COMPUTE.rows(connection, ids=others):
            found.setdefault(row[0], {})[row[1]] = row
    chosen = {each: by_name[default_series(by_name)] for each, by_name in found.items()}
    made = {each: ExperimentSummary(*row[1:]) for each, row in chosen.items()}
    for experiment_id, folds in FOLDS.rows(connection, ids=list(made)) if made else ():
        made[experiment_id] = replace(made[experiment_id], folds=folds)
    return made


def _best(name: ColumnElement[str], least: ColumnElement[Any], greatest: ColumnElement[Any]) -> ColumnElement[Any]:
    return when((name.in_(MAXIMISED), greatest), else_=least)


def _spread(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the standard deviation of a column; null where a square could overflow."""
    small = func.abs(value) <= MAX_SQUARED
    return when((func.bool_and(small), func.stddev_samp(value).filter(small)), else_=null())


def _given(column: ColumnElement[str]) -> ColumnElement[bool]:
    return column == func.any(bindparam("ids", type_=ARRAY(Text)))


def _stored() -> Select[Any]:
    """Return the statement that reads the summaries of settled experiments."""
    stored = experiment_figure.c
    best = _best(stored.name, stored.min, stored.max)
    return (
        select(stored.experiment_id, stored.name, stored.run_id, stored.n, stored.last, best)
        .add_columns(stored.last_spread, stored.best_spread, stored.best_n, literal(0), stored.diverged)
        .add_columns(stored.incomplete, stored.final_from, stored.last_step)
        .join(experiment, experiment.c.id == stored.experiment_id)
        .where(_given(stored.experiment_id), stored.name.in_(RANKED_SERIES), experiment.c.settled)
    )


def _computed(told: FromClause, ended: FromClause) -> dict[str, ColumnElement[Any]]:
    """Return the expressions of a summary: aggregates over what the runs of an experiment came to."""
    without_value = func.count().filter(told.c.has_result, told.c.last.is_(None))
    return {
        "experiment_id": told.c.experiment_id,
        "name": told.c.series,
        "run_id": func.array_agg(aggregate_order_by(told.c.id, told.c.seed))[1],
        "n": func.count(told.c.last),
        "last": mean(told.c.last),
        "best": mean(told.c.best),
        "last_spread": _spread(told.c.last),
        "best_spread": _spread(told.c.best),
        "best_n": func.count(told.c.best),
        "provisional": func.count(told.c.last).filter(told.c.going),
        "diverged": ended.c.lost + without_value,
        "incomplete": ended.c.incomplete,
        "final_from": func.min(told.c.final_from).filter(told.c.has_result),
        "last_step": func.max(told.c.last_step).filter(told.c.has_result),
        "min": mean(told.c.min),
        "max": mean(told.c.max),
    }


def _summarise(columns: Sequence[str], names: Sequence[str] | None) -> Select[Any]:
    """Return the statement that computes these columns of every series, or of those of these names."""
    lost, incomplete = has_diverged().label("lost"), run.c.state.in_(INCOMPLETE).label("incomplete")
    going = run.c.state.in_(OPEN_STATES).label("going")
    counted = select(run.c.id, run.c.experiment_id, run.c.seed, going, lost, incomplete)
    ours = counted.where(_given(run.c.experiment_id), is_counted()).cte("ours").prefix_with("MATERIALIZED")
    told = _values(ours, names).subquery("told")
    without = select(
        ours.c.experiment_id,
        func.count().filter(ours.c.lost).label("lost"),
        func.count().filter(ours.c.incomplete, not_(ours.c.lost)).label("incomplete"),
    )
    ended = without.group_by(ours.c.experiment_id).subquery("ended")
    computed = _computed(told, ended)
    return (
        select(*(computed[name].label(name) for name in columns))
        .join(ended, ended.c.experiment_id == told.c.experiment_id)
        .group_by(told.c.experiment_id, told.c.series, ended.c.lost, ended.c.incomplete)
    )


def _values(ours: FromClause, names: Sequence[str] | None) -> Select[Any]:
    """Return the statement of what each run and series came to; null where it has no finite value."""
    has_result = and_(not_(ours.c.lost), not_(ours.c.incomplete))
    last, least, greatest = (
        when((has_result, finite(figure(series, each))), else_=null()) for each in ("last", "min", "max")
    )
    query = (
        select(*(ours.c[name] for name in ("id", "experiment_id", "seed", "going")), has_result.label("has_result"))
        .add_columns(series.c.name.label("series"), last.label("last"), least.label("min"), greatest.label("max"))
        .add_columns(_best(series.c.name, least, greatest).label("best"), series.c.final_from, series.c.last_step)
        .join(series, series.c.run_id == ours.c.id)
        .where(series.c.n > 0)
    )
    return query if names is None else query.where(series.c.name.in_(names))


NOT_COMPUTED = ("series", "folds")
_NAMES = (name for name in ExperimentSummary.__dataclass_fields__ if name not in NOT_COMPUTED)
_SUMMARY = ("experiment_id", "name", *_NAMES)
_COLUMNS = tuple(column.name for column in experiment_figure.columns)
_READ, _COMPUTE = Statement(_stored()), Statement(_summarise(_SUMMARY, RANKED_SERIES))
_STORE = experiment_figure.insert().from_select(list(_COLUMNS), _summarise(_COLUMNS, None))
