"""Deleting experiments for good: their contents go, and an empty row of each run stays for what refers to it.

A fork names its parent's checkpoint, and whoever removes files from the disk asks whose they are. So runs, attempts and
checkpoints keep their ids and lose what is in them; all belong to no project any more, which hides them from every
reader, because each asks within a project.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from service.db import rights, states
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.messages import outbox
from service.db.runs import runs
from service.db.session import every_project
from service.errors import Conflict, Forbidden, NotFound
from service.levels import Level
from service.lifecycle import TERMINAL

OWN = text(
    """
    SELECT e.owner_id, m.name AS owner, e.name FROM experiment e JOIN member m ON m.id = e.owner_id
    WHERE e.id = :id AND :project_id IN (e.project_id, e.bin_project_id) FOR UPDATE OF e
    """
)
RUNS = text("SELECT id FROM run WHERE experiment_id = ANY(:ids) ORDER BY id FOR UPDATE")
HEIR = """
    WITH RECURSIVE heir AS (
        SELECT id, experiment_id, state, origin_step FROM run
        WHERE parent_run_id = ANY(:run_ids) AND (origin_attempt IS NOT NULL OR origin_step > 0)
        UNION
        SELECT r.id, r.experiment_id, r.state, r.origin_step FROM heir h JOIN run r ON r.parent_run_id = h.id
        WHERE r.origin_attempt IS NULL AND r.origin_step = h.origin_step
            AND (r.origin_step > 0 OR r.relation <> 'fork'))
"""
LOCKED = text(f"{HEIR} SELECT id FROM run WHERE id IN (SELECT id FROM heir) ORDER BY id FOR UPDATE")  # noqa: S608
OPEN = text(
    f"""
    {HEIR} SELECT id, experiment_id FROM heir
    WHERE experiment_id <> ALL(:ids) AND state IN {states.OPEN} ORDER BY id LIMIT 1
    """  # noqa: S608  pieces of this file; every value is bound
)
PATIENCE = text("SET LOCAL statement_timeout = '10min'")  # a large experiment's points take longer than a request may
FIGURES = text(  # by their names, which their key begins with
    """
    DELETE FROM experiment_figure WHERE experiment_id = ANY(:ids)
        AND name IN (SELECT s.name FROM series s WHERE s.run_id = ANY(:run_ids))
    """
)
CONTENTS = (
    text("DELETE FROM metric_chunk WHERE run_id = ANY(:run_ids)"),
    text("DELETE FROM metric_tile WHERE run_id = ANY(:run_ids)"),
    text("DELETE FROM series WHERE run_id = ANY(:run_ids)"),
    text("DELETE FROM event WHERE run_id = ANY(:run_ids)"),
    text("DELETE FROM reading WHERE run_id = ANY(:run_ids)"),
    text("DELETE FROM log_line WHERE run_id = ANY(:run_ids)"),
    text(
        """
        UPDATE checkpoint SET removed_at = clock_timestamp(), value = NULL
        WHERE run_id = ANY(:run_ids) AND removed_at IS NULL
        """
    ),
    text(
        """
        UPDATE attempt SET environment = NULL, detail = NULL, ended_at = coalesce(ended_at, clock_timestamp())
        WHERE run_id = ANY(:run_ids)
        """
    ),
    text(
        """
        DELETE FROM judgement WHERE subject = ANY(:run_ids) OR subject IN (
            SELECT id FROM verification WHERE run_id = ANY(:run_ids) OR control_id = ANY(:ids)
                OR patched_id = ANY(:ids))
        """
    ),
    text("DELETE FROM verification WHERE run_id = ANY(:run_ids)"),
    text("DELETE FROM comment WHERE experiment_id = ANY(:ids)"),
    text("DELETE FROM share WHERE experiment_id = ANY(:ids)"),
    text("DELETE FROM confirmation WHERE experiment_id = ANY(:ids)"),
    text("UPDATE worker SET run_id = NULL WHERE run_id = ANY(:run_ids)"),
    text(
        """
        UPDATE run SET project_id = NULL, failure = CASE WHEN failure IS NOT NULL THEN cast('{}' AS jsonb) END,
            task = CASE WHEN task IS NOT NULL THEN cast('{}' AS jsonb) END
        WHERE id = ANY(:run_ids)
        """
    ),
    text(
        """
        UPDATE experiment SET project_id = NULL, name = '', spec = '{}', spec_hash = '', tags = '[]', notes = '',
            idempotency_key = NULL, request_hash = NULL, erased_at = clock_timestamp(),
            bin_project_id = NULL, deleted_at = NULL, deleted_by = NULL
        WHERE id = ANY(:ids)
        """
    ),
)
ERASED = text(
    """
    SELECT r.id FROM experiment e JOIN run r ON r.experiment_id = e.id
    WHERE e.erased_at > coalesce(cast(:since AS timestamptz), clock_timestamp()) - make_interval(secs => :margin_s)
    ORDER BY r.id
    """
)
MARGIN_S = 60.0  # an experiment is erased a little before others see it


def erase(connection: Connection, principal: Principal, experiment_id: str) -> None:
    """Delete an experiment that has ended, from the bin or at once.

    `Conflict` while a run of it, or a fork that starts from one, has not; `Forbidden` for others than owner and admins,
    also where members may manage each other's work.
    """
    known = {"id": experiment_id, "project_id": principal.project_id}
    found = connection.execute(OWN, known).one_or_none()
    if found is None:
        raise NotFound(f"There is no experiment {experiment_id}.")
    if principal.level < Level.ADMIN and found.owner_id != principal.member_id:
        raise Forbidden(f"Only {found.owner} and admins delete this for good; it can be put into the bin.")
    erase_all(connection, principal, [experiment_id], "cancel the experiment first, then delete it")
    audit.record(connection, principal, "experiment.erase", experiment_id, name=found.name, owner=found.owner)


def erase_all(connection: Connection, principal: Principal, ids: Sequence[str], fix: str) -> None:
    """Delete locked experiments for good; `Conflict`, with `fix` where it is theirs, while a run has not ended."""
    known = {"ids": ids}
    run_ids = list(connection.execute(RUNS, known).scalars())  # locked: nobody makes a run of one meanwhile
    _check(connection, ids, run_ids, fix)
    with rights.acting_as(connection, "saddle_eraser"):
        connection.execute(FIGURES, known | {"run_ids": run_ids})
        connection.execute(PATIENCE)
        for statement in CONTENTS:
            connection.execute(statement, known | {"run_ids": run_ids})
    for experiment_id in ids:
        outbox.forget_experiment(connection, principal.project_id, experiment_id)


def _check(connection: Connection, ids: Sequence[str], run_ids: list[str], fix: str) -> None:
    """Raise `Conflict` where the experiments cannot be deleted now."""
    going = [each for each in runs.all_of_experiments(connection, ids) if each.state not in TERMINAL]
    if going:
        raise Conflict(f"Run {going[0].id} is {going[0].state.value}: {fix}.")
    asked = {"ids": ids, "run_ids": run_ids}
    with every_project(connection):  # an heir may have been moved to another
        connection.execute(LOCKED, asked)  # so that none of them is retried meanwhile
        heir = connection.execute(OPEN, asked).one_or_none()
    if heir is not None:
        raise Conflict(
            f"Run {heir.id} of experiment {heir.experiment_id} starts from a checkpoint of this one and has not ended: "
            "cancel it or wait for its end."
        )


def erased_since(connection: Connection, since: datetime | None) -> tuple[list[str], datetime]:
    """Return the runs of experiments erased since shortly before `since`, and the time to pass in the next call."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return list(connection.execute(ERASED, {"since": since, "margin_s": MARGIN_S}).scalars()), now
