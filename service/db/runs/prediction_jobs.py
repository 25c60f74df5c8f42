"""Jobs that predict rows, and previews, once they have ended: what they were given and found is deleted after a while.

As of an erased experiment, an empty row of each stays: its attempts are device hours of their month. It belongs to no
project any more, which hides it from every reader.
"""

from sqlalchemy import Connection, text

from service.db import rights
from service.db.states import ENDED

KEPT_DAYS = 7  # after the end
OLD = text(
    f"""
    SELECT id FROM run r
    WHERE (task ? 'rows' OR task ? 'spec') AND state IN {ENDED}
        AND finished_at < clock_timestamp() - make_interval(days => :days)
        AND NOT EXISTS (SELECT FROM comment WHERE run_id = r.id)
    ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    """  # noqa: S608  states of this package
)
CONTENTS = [
    text(statement)
    for statement in (
        "DELETE FROM event WHERE run_id = ANY(:ids)",
        "DELETE FROM reading WHERE run_id = ANY(:ids)",
        "DELETE FROM log_line WHERE run_id = ANY(:ids)",
        "UPDATE worker SET run_id = NULL WHERE run_id = ANY(:ids)",
        "UPDATE attempt SET environment = NULL, detail = NULL WHERE run_id = ANY(:ids)",
        """
        UPDATE run SET project_id = NULL, task = '{}',
            failure = CASE WHEN failure IS NOT NULL THEN cast('{}' AS jsonb) END
        WHERE id = ANY(:ids)
        """,
    )
]


def empty_old(connection: Connection, most: int) -> int:
    """Delete the contents of up to `most` jobs that ended long ago; return of how many."""
    with rights.acting_as(connection, "saddle_eraser"):
        ids = list(connection.execute(OLD, {"days": KEPT_DAYS, "most": most}).scalars())
        if ids:
            for statement in CONTENTS:
                connection.execute(statement, {"ids": ids})
    return len(ids)
