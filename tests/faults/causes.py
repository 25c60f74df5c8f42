"""Whether each attempt that ended early has a fault that explains it, and how long it took to be noticed."""

from typing import TYPE_CHECKING

from tests.faults.stack import WINDOW_S

if TYPE_CHECKING:
    from tests.faults.drive import Session

ATTEMPTS = """
    SELECT run_id, attempt, worker, start_step, cut_step, extract(epoch FROM started_at)::float8,
        extract(epoch FROM ended_at)::float8, ending, detail,
        (SELECT max(last_step) FROM metric_chunk m WHERE m.run_id = a.run_id AND m.attempt = a.attempt),
        EXISTS (SELECT FROM event e WHERE e.run_id = a.run_id AND e.kind = 'wish' AND e.data->>'wish' = 'pause'
            AND e.at BETWEEN a.started_at AND a.ended_at)
    FROM attempt a ORDER BY run_id, attempt
"""
QUIET = ("succeeded", "cancelled", "paused", "drained", "preempted", "checkpoint_damaged", "checkpoint_failed")


def unexplained(session: "Session") -> None:
    """A worker that loses its run, or a trainer that dies, without a fault that may be why: a false alarm (R5)."""
    for run_id, attempt, worker, _, _, began, ended, ending, detail, _, asked in session.attempts:
        taken_back = ending == "queued" and asked  # a pause, too late for the trainer: the run waits and goes on
        if ended is None or ending in QUIET or taken_back:
            continue
        lost = ending == "lost"
        causes = [
            fault
            for fault in session.faults  # those that missed their moment may have hurt too
            if (fault.kind.loses if lost else fault.kind.crashes) and fault.covers(worker, began, ended)
        ]
        starved = lost and any(low < ended and began < high + WINDOW_S for low, high in session.starved)
        if not causes and not starved:
            what = f"run {run_id} attempt {attempt} on {worker}: {ending} ({detail}), and no fault explains it"
            session.verdict.blame("unexplained", what)


def noticed(session: "Session", kinds: tuple[str, ...], ending: str) -> list[float]:
    """Seconds from each such fault to the end of the attempt it hit; while the database was there."""
    ends = {(row[0], row[1]): (row[6], row[7]) for row in session.attempts}
    away = [fault for fault in session.faults if fault.kind.takes in ("postgres", "gates", "apis")]
    found = []
    for fault in session.landed:
        if fault.kind.name in kinds and fault.held in ends:
            ended, how = ends[fault.held]
            if how == ending and ended and not any(a.began < ended + 1 and fault.began < a.ended + 1 for a in away):
                found.append(ended - fault.began)
    return sorted(found)


def resumed(session: "Session", kinds: tuple[str, ...]) -> list[float]:
    """Seconds from each such fault to the claim of the next attempt."""
    begins = {(row[0], row[1]): row[5] for row in session.attempts}
    found = []
    for fault in session.landed:
        if fault.kind.name in kinds and fault.held:
            run, attempt = fault.held
            if (run, attempt + 1) in begins:
                found.append(begins[run, attempt + 1] - fault.began)
    return sorted(found)


def repeated(session: "Session", endings: tuple[str, ...]) -> list[int]:
    """Steps that were stored and then cut, of each attempt that ended so."""
    return sorted(
        max(0, (row[9] or row[3]) - (row[4] if row[4] is not None else row[9] or row[3]))
        for row in session.attempts
        if row[7] in endings
    )
