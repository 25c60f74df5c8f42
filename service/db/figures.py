"""The figures of an experiment: of each series the mean over its runs of its last, least and greatest value.

A list of thousands is sorted by them, so they are written down once every run of an experiment has ended, when it is
settled. What has not ended, or got a retry, is computed from its runs with the same expressions.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, and_, cast, func, literal, not_, null, or_, select, text
from sqlalchemy import case as when
from sqlalchemy.types import Numeric

from service.db.tables import experiment, experiment_figure, run, series
from service.lifecycle import ASIDE, TERMINAL

AT_ONCE = 500  # experiments of one transaction
NOT_COUNTING = [relation.value for relation in sorted(ASIDE)]
ENDED = [state.value for state in sorted(TERMINAL)]
UNSETTLE = text("UPDATE experiment SET settled = false WHERE id = :id AND settled")


def counts() -> ColumnElement[bool]:
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
    return and_(_weighs(), not_(superseded))


def mean(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of the finite values, in decimals: the same whatever the order of the rows."""
    finite = func.abs(value) < literal(float("inf"), Double)  # NaN is above infinity here
    return cast(func.avg(when((finite, cast(value, Numeric)), else_=null())), Double)


def settle(connection: Connection) -> int:
    """Write down the figures of experiments that have ended since; how many: `AT_ONCE`, and there may be more.

    They are locked before their runs are looked at, and a retry's row names its experiment, which waits for that lock:
    so it comes before and is seen, or after and takes the settling back.
    """
    going = run.c.experiment_id == experiment.c.id, run.c.state.not_in(ENDED), _weighs()
    none_goes = not_(select(literal(1)).where(*going).exists())
    due = select(experiment.c.id).where(not_(experiment.c.settled), experiment.c.project_id.is_not(None))
    locked = due.where(none_goes).order_by(experiment.c.id).limit(AT_ONCE).with_for_update(skip_locked=True)
    ids = connection.execute(locked).scalars().all()
    ended = connection.execute(due.where(experiment.c.id.in_(ids), none_goes)).scalars().all() if ids else []
    if not ended:
        return 0
    named = select(series.c.name).join(run, run.c.id == series.c.run_id).where(run.c.experiment_id.in_(ended))
    old = experiment_figure.c.experiment_id.in_(ended), experiment_figure.c.name.in_(named)  # as its key begins
    connection.execute(experiment_figure.delete().where(*old))
    columns = "last", "min", "max"
    found = (
        select(series.c.name, run.c.experiment_id, *(mean(series.c[each]) for each in columns))
        .join(run, run.c.id == series.c.run_id)
        .where(run.c.experiment_id.in_(ended), counts())
        .group_by(series.c.name, run.c.experiment_id)
    )
    connection.execute(experiment_figure.insert().from_select(["name", "experiment_id", *columns], found))
    connection.execute(experiment.update().where(experiment.c.id.in_(ended)).values(settled=True))
    return len(ids)


def unsettle(connection: Connection, experiment_id: str) -> None:
    """It got another run that counts. Call it once that run's row is there."""
    connection.execute(UNSETTLE, {"id": experiment_id})


def _weighs() -> ColumnElement[bool]:
    return or_(run.c.relation.is_(None), run.c.relation.not_in(NOT_COUNTING))
