"""Hardware and timing of runs: environments, durations, and times at which the step is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from service.analysis.axes import Segment
from service.db.metrics.visible import is_visible

READ = text(
    f"""
    SELECT a.run_id, a.start_step, a.cut_step, a.environment, a.pack_runs, r.step,
        extract(epoch FROM a.started_at - r.started_at)::float8 AS began_s,
        extract(epoch FROM coalesce(a.ended_at, clock_timestamp()) - r.started_at)::float8 AS ended_s,
        c.steps, c.seconds
    FROM run r JOIN attempt a ON a.run_id = r.id
    LEFT JOIN LATERAL (
        SELECT array_agg(c.step ORDER BY c.step) AS steps,
            array_agg(extract(epoch FROM c.created_at - r.started_at)::float8 ORDER BY c.step) AS seconds
        FROM checkpoint c WHERE c.run_id = a.run_id AND c.attempt = a.attempt AND c.step > a.start_step
            AND {is_visible("c.step")}) c ON true
    WHERE r.id = ANY(:ids) ORDER BY a.run_id, a.attempt
    """  # noqa: S608  pieces of SQL
)


@dataclass(frozen=True)
class RunTiming:
    """The timing of one run in seconds since its first start; device time leaves out the time between attempts.

    Runs that are trained together share the time of their device.
    """

    environments: list[dict[str, Any]]  # one per attempt that reported it
    wall: list[Segment]
    device: list[Segment]
    device_s: float  # of all attempts, including superseded ones


def read(connection: Connection, run_ids: Sequence[str]) -> dict[str, RunTiming]:
    """Return the timing of every run that has started; up to now for those that still train."""
    found: dict[str, RunTiming] = {}
    for run_id, start, cut, environment, pack_runs, step, began_s, ended_s, saved, saved_s in connection.execute(
        READ, {"ids": list(run_ids)}
    ).all():
        known = found.setdefault(run_id, RunTiming([], [], [], 0.0))
        steps, seconds = [start, *(saved or ())], [began_s, *(saved_s or ())]
        if cut is None and step > steps[-1]:
            steps.append(step)
            seconds.append(ended_s)
        found[run_id] = RunTiming(
            known.environments + ([environment] if environment else []),
            [*known.wall, Segment(steps, seconds)],
            [*known.device, Segment(steps, [known.device_s + (each - began_s) / pack_runs for each in seconds])],
            known.device_s + (ended_s - began_s) / pack_runs,
        )
    return found
