"""What experiments came to: of each series the mean over the runs that count of its last, least and greatest value.

A list of thousands is sorted by these figures, so they are written down once every run of an experiment has ended, when
it is settled. What has not ended, or got a retry, is computed from its runs with the same expressions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
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

from service.db.metrics.result_sql import (
    INCOMPLETE,
    figure,
    finite,
    has_diverged,
    has_result,
    is_counted,
    may_be_counted,
    mean,
)
from service.db.tables import experiment, experiment_figure, run, series
from service.lifecycle import TERMINAL
from service.spec.measures import RANKED_SERIES, better_direction, default_series

BATCH_EXPERIMENTS = 500  # experiments of one transaction
ENDED = [state.value for state in sorted(TERMINAL)]
UNSETTLE = text("UPDATE experiment SET settled = false WHERE id = :id AND settled")


def settle(connection: Connection) -> int:
    """Write down the figures of experiments that have ended since; how many: `AT_ONCE`, and there may be more.

    They are locked before their runs are looked at, and a retry's row names its experiment, which waits for that lock:
    so it comes before and is seen, or after and takes the settling back.
    """
    going = run.c.experiment_id == experiment.c.id, run.c.state.not_in(ENDED), may_be_counted()
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
    columns = "last", "min", "max"
    found = (
        select(series.c.name, run.c.experiment_id, *(mean(figure(series, each)) for each in columns))
        .join(run, run.c.id == series.c.run_id)
        .where(run.c.experiment_id.in_(ended), is_counted(), has_result())
        .group_by(series.c.name, run.c.experiment_id)
    )
    connection.execute(experiment_figure.insert().from_select(["name", "experiment_id", *columns], found))
    connection.execute(experiment.update().where(experiment.c.id.in_(ended)).values(settled=True))
    return len(ids)


def unsettle(connection: Connection, experiment_id: str) -> None:
    """It got another run that counts. Call it once that run's row is there."""
    connection.execute(UNSETTLE, {"id": experiment_id})


@dataclass(frozen=True)
class ExperimentSummary:
    """What a list says of an experiment: the mean over its counting runs of one series, and one run to look at."""

    series: str
    run_id: str
    n: int  # runs with a finite last value
    last: float | None
    best: float | None
    last_spread: float | None  # standard deviation between the seeds; None with one
    best_spread: float | None
    best_n: int  # runs with a finite best value
    provisional: int  # of the n: have not ended
    diverged: int
    incomplete: int
    final_from: int | None
    last_step: int

    @property
    def stretch(self) -> tuple[int, int] | None:
        """The first and last step that `last` is a mean over; None: it is one value."""
        return None if self.final_from is None else (self.final_from, self.last_step)


def of_experiments(connection: Connection, experiment_ids: Sequence[str]) -> dict[str, ExperimentSummary]:
    """Return the figures of each experiment's default series; nothing of one without points."""
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(_FIGURES, {"ids": list(experiment_ids)}):
        found.setdefault(row[0], {})[row[1]] = row
    chosen = {each: by_name[default_series(by_name)] for each, by_name in found.items()}
    return {each: ExperimentSummary(*row[1:]) for each, row in chosen.items()}


def _figures() -> Select[Any]:
    """The statement of `of_experiments`: for each experiment and series its id and the fields of `Figures`."""
    of_these = run.c.experiment_id == func.any(bindparam("ids", type_=ARRAY(Text)))
    lost, incomplete = has_diverged().label("lost"), run.c.state.in_(INCOMPLETE).label("incomplete")
    columns = run.c.id, run.c.experiment_id, run.c.seed, run.c.state.not_in(ENDED).label("going"), lost, incomplete
    ours = select(*columns).where(of_these, is_counted()).cte("ours").prefix_with("MATERIALIZED")
    told = _told(ours).subquery("told")
    without = select(
        ours.c.experiment_id,
        func.count().filter(ours.c.lost).label("lost"),
        func.count().filter(ours.c.incomplete, not_(ours.c.lost)).label("incomplete"),
    )
    ended = without.group_by(ours.c.experiment_id).subquery("ended")
    return (
        select(
            told.c.experiment_id,
            told.c.series,
            func.array_agg(aggregate_order_by(told.c.id, told.c.seed))[1].label("run_id"),
            func.count(told.c.last).label("n"),
            mean(told.c.last).label("last"),
            mean(told.c.best).label("best"),
            func.stddev_samp(told.c.last).label("last_spread"),
            func.stddev_samp(told.c.best).label("best_spread"),
            func.count(told.c.best).label("best_n"),
            func.count(told.c.last).filter(told.c.going).label("provisional"),
            (ended.c.lost + func.count().filter(told.c.has_result, told.c.last.is_(None))).label("diverged"),
            ended.c.incomplete,
            func.min(told.c.final_from).filter(told.c.has_result).label("final_from"),
            func.max(told.c.last_step).filter(told.c.has_result).label("last_step"),
        )
        .join(ended, ended.c.experiment_id == told.c.experiment_id)
        .group_by(told.c.experiment_id, told.c.series, ended.c.lost, ended.c.incomplete)
    )


def _told(ours: FromClause) -> Select[Any]:
    """Of each run and series what it came to; null where it has no value."""
    has_value = and_(not_(ours.c.lost), not_(ours.c.incomplete))
    accuracies = [name for name in RANKED_SERIES if better_direction(name) == "max"]
    least_or_most = when((series.c.name.in_(accuracies), series.c.max), else_=series.c.min)
    last, best = (when((has_value, finite(each)), else_=null()) for each in (figure(series, "last"), least_or_most))
    return (
        select(
            *(ours.c[name] for name in ("id", "experiment_id", "seed", "going")),
            has_value.label("has_result"),
            series.c.name.label("series"),
            last.label("last"),
            best.label("best"),
            series.c.final_from,
            series.c.last_step,
        )
        .join(series, series.c.run_id == ours.c.id)
        .where(series.c.name.in_(RANKED_SERIES), series.c.n > 0)
    )


_FIGURES = _figures()
