"""The logs of runs: lines of each attempt, in their order. What a cut supersedes stays: a log says what happened."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.db.runs import runs


class LogLine(NamedTuple):
    """A line that is not stored yet."""

    number: int  # within the attempt, from 1
    since: float  # monotonic seconds when it was said
    source: str
    level: str
    text: str


@dataclass(frozen=True)
class StoredLine:
    """A line of a run's log."""

    attempt: int
    number: int
    at: datetime
    source: str
    level: str
    text: str

    @property
    def id(self) -> str:
        """Its place within the run's log."""
        return f"{self.attempt}.{self.number}"


ADD = text(
    """
    INSERT INTO log_line (run_id, attempt, number, at, source, level, text)
    SELECT u.run_id, u.attempt, u.number,
        greatest(last.at, statement_timestamp() - make_interval(secs => u.age_s)), u.source, u.level, u.line
    FROM unnest(cast(:run_ids AS text[]), cast(:attempts AS int[]), cast(:numbers AS int[]), cast(:ages AS float8[]),
        cast(:sources AS text[]), cast(:levels AS text[]), cast(:lines AS text[]))
        AS u(run_id, attempt, number, age_s, source, level, line)
    LEFT JOIN LATERAL (SELECT at FROM log_line l WHERE l.run_id = u.run_id AND l.attempt = u.attempt
        ORDER BY l.number DESC LIMIT 1) last ON true
    ON CONFLICT DO NOTHING
    """
)  # two clocks and the time that a statement takes to arrive: no line is dated before the one that it follows
AFTER = text(
    """
    SELECT attempt, number, at, source, level, text FROM log_line
    WHERE run_id = :run_id AND (attempt, number) > (:attempt, :number) ORDER BY attempt, number LIMIT :limit
    """
)
NEWEST = text(
    """
    SELECT attempt, number, at, source, level, text FROM log_line
    WHERE run_id = :run_id ORDER BY attempt DESC, number DESC LIMIT :limit
    """
)


def add(connection: Connection, run_id: str, attempt: int, lines: Sequence[LogLine]) -> None:
    """Store lines of one attempt."""
    add_all(connection, [(run_id, attempt, line) for line in lines])


def add_all(connection: Connection, new: Sequence[tuple[str, int, LogLine]]) -> None:
    """Store lines of runs and attempts in a fenced transaction, which may be repeated; Postgres's clock dates them."""
    if not new:
        return
    now, lines = time.monotonic(), [line for _, _, line in new]
    columns = {
        "run_ids": [run_id for run_id, _, _ in new],
        "attempts": [attempt for _, attempt, _ in new],
        "numbers": [line.number for line in lines],
        "ages": [max(now - line.since, 0.0) for line in lines],
        "sources": [line.source for line in lines],
        "levels": [line.level for line in lines],
        "lines": [line.text for line in lines],
    }
    connection.execute(ADD, columns)


def after(
    connection: Connection, principal: Principal, run_id: str, place: tuple[int, int], limit: int
) -> list[StoredLine]:
    """Return the lines of a run behind a place (attempt, number), oldest first."""
    run = runs.get(connection, principal, run_id)
    values = {"run_id": run.id, "attempt": place[0], "number": place[1], "limit": limit}
    return [StoredLine(*row) for row in connection.execute(AFTER, values)]


def newest(connection: Connection, principal: Principal, run_id: str, limit: int) -> list[StoredLine]:
    """Return the last lines of a run, oldest first."""
    run = runs.get(connection, principal, run_id)
    found = [StoredLine(*row) for row in connection.execute(NEWEST, {"run_id": run.id, "limit": limit})]
    return found[::-1]
