"""Superseded points: whether their replacements equal them bit for bit, and curves of what was cut."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from service.db.metrics import read
from service.db.metrics.codec import unpack

SUPERSEDED = """
    SELECT s.name, m.attempt, a.cut_step, m.first_step, m.last_step, m.every, m.n, m.values, m.steps
    FROM metric_chunk m JOIN attempt a USING (run_id, attempt) JOIN series s ON s.id = m.series_id
    WHERE m.run_id = :run_id AND a.cut_step IS NOT NULL AND m.last_step > a.cut_step AND {which}
    ORDER BY s.name, m.attempt, m.first_step
"""
NOT_OF_THE_MACHINE = text(SUPERSEDED.format(which="NOT starts_with(s.name, :system)"))
PROMISE = text(
    """
    SELECT coalesce(e.spec ->> 'determinism', 'strict') AS determinism,
        coalesce((SELECT max(a.pack_runs) FROM attempt a WHERE a.run_id = r.id), 1) AS pack_runs
    FROM run r JOIN experiment e ON e.id = r.experiment_id WHERE r.id = :run_id
    """
)
NAMED = text(SUPERSEDED.format(which="s.name = ANY(:names)"))


class Mismatch(NamedTuple):
    """A superseded point whose replacement is another number."""

    series: str
    step: int
    attempt: int  # that computed it first
    was: float
    now: float


def compare(connection: Connection, run_id: str) -> tuple[int, list[Mismatch]]:
    """Return how many superseded points have a replacement, and those that differ from it, by series and step."""
    compared, found = 0, list[Mismatch]()
    asked = {"run_id": run_id, "system": read.SYSTEM_PREFIX}
    chunks = connection.execute(NOT_OF_THE_MACHINE, asked).all()
    visible = read.curves_of_run(connection, run_id, list({chunk.name for chunk in chunks}))
    for name, attempt, _, *fields in chunks:
        steps, values = unpack(*fields)
        curve = visible.get(name) or read.empty_curve()
        common, ours, theirs = np.intersect1d(steps, curve.steps, assume_unique=True, return_indices=True)
        compared += len(common)
        was, now = _bits(values[ours]), _bits(curve.values[theirs])
        for at in np.flatnonzero(was != now):
            old, new = float(values[ours[at]]), float(curve.values[theirs[at]])
            found.append(Mismatch(name, int(common[at]), attempt, old, new))
    return compared, found


def why_bits_may_differ(connection: Connection, run_id: str) -> str:
    """Return why this run does not promise equal bits; empty if it does."""
    found = connection.execute(PROMISE, {"run_id": run_id}).one_or_none()
    if found is not None and found.determinism != "strict":
        return f"determinism is {found.determinism}, which does not promise equal bits"
    if found is not None and found.pack_runs > 1:
        return (
            f"it was trained in a pack of {found.pack_runs} runs, which agrees with one trained alone within rounding"
        )
    return ""


def _bits(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """So that a NaN equals itself and -0 is not 0."""
    return np.ascontiguousarray(values, np.float64).view(np.int64)


class SupersededCurve(NamedTuple):
    """What an attempt computed beyond the step from which the next one continued."""

    name: str
    attempt: int
    curve: read.Curve


def superseded_curves(connection: Connection, run_id: str, names: list[str]) -> list[SupersededCurve]:
    """Return the superseded points of each attempt that was cut, by series."""
    parts: dict[tuple[str, int], list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]] = {}
    for name, attempt, cut, *fields in connection.execute(NAMED, {"run_id": run_id, "names": names}):
        steps, values = unpack(*fields)
        parts.setdefault((name, attempt), []).append((steps[steps > cut], values[steps > cut]))
    found = []
    for (name, attempt), some in parts.items():
        steps, values = (np.concatenate(column) for column in zip(*some, strict=True))
        found.append(SupersededCurve(name, attempt, read.Curve(steps, values)))
    return found
