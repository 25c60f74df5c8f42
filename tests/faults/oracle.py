"""The verdict over everything that was accepted: each visible step once, each value that of an undisturbed run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from service.db.metrics.codec import unpack
from service.db.metrics.read import SYSTEM_PREFIX

SQL = (Path(__file__).parent / "oracle.sql").read_text()
UNKEPT = "cosine/gradient"  # of the gradient before, which no checkpoint holds: a resumed run may lack one
Curves = dict[str, tuple[np.ndarray, np.ndarray]]  # by series: steps (n,), values (n,)
FORGIVEN = {"crash_loop": 3, "lost_loop": 10}  # failures that faults may cause, and after how many attempts in a row

CHUNKS = """
    SELECT s.name, m.first_step, m.last_step, m.every, m.n, m.values, m.steps,
        a.cut_step IS NULL OR m.last_step <= a.cut_step
    FROM metric_chunk m JOIN series s ON s.id = m.series_id
    JOIN attempt a ON a.run_id = m.run_id AND a.attempt = m.attempt
    WHERE m.run_id = %s ORDER BY s.name, m.first_step
"""


def install(session: psycopg.Connection[Any], window_s: float) -> None:
    """Put the triggers into the harness's own database."""
    session.execute(SQL)  # type: ignore[arg-type]
    session.execute("INSERT INTO oracle.setting VALUES (%s)", [window_s])


@dataclass
class Verdict:
    """What was counted, and every sentence about what must not be."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, str]] = field(default_factory=list)  # class, sentence

    def blame(self, kind: str, sentence: str) -> None:
        self.violations.append((kind, sentence))

    def count(self, kind: str) -> int:
        return sum(each == kind for each, _ in self.violations)


def curves(session: psycopg.Connection[Any], run_id: str) -> tuple[Curves, Curves]:
    """What readers see of a run, and what was superseded."""
    parts: dict[bool, dict[str, list[Any]]] = {True: {}, False: {}}
    for name, *packed, visible in session.execute(CHUNKS, [run_id], binary=True):
        parts[visible].setdefault(name, []).append(unpack(*packed))
    seen, gone = (
        {name: tuple(np.concatenate(each) for each in zip(*found, strict=True)) for name, found in side.items()}
        for side in (parts[True], parts[False])
    )
    return seen, gone  # type: ignore[return-value]


def judge(
    session: psycopg.Connection[Any],
    accepted: Mapping[str, str],
    references: Mapping[str, Curves],
    posted: set[str],
    broken: set[str],
    tolerance: float = 0.0,
) -> Verdict:
    """`accepted`: the variant of every run answered 201; `posted`: all names sent; `broken`: folders we damaged.

    `tolerance`: of values, relative to the largest of their series; 0: to the bit.
    """
    verdict = Verdict()
    for what, run_id, attempt, writer, detail in session.execute(
        "SELECT what, run_id, attempt, writer, detail FROM oracle.forbidden ORDER BY id"
    ):
        verdict.blame("forbidden", f"{what}: run {run_id} attempt {attempt} by {writer} {detail}")
    stored = {
        row[0]: row
        for row in session.execute(
            "SELECT id, state, total_steps, checkpoint_step, failure, attempt, origin_step FROM run"
        )
    }
    for run_id in accepted.keys() - stored.keys():
        verdict.blame("lost", f"run {run_id} was answered 201 and is not stored")
    names = Counter(row[0] for row in session.execute("SELECT name FROM experiment"))
    for name in posted:
        if names[name] > 1:
            verdict.blame("doubled", f"{name} was posted once and is stored {names[name]} times")
    for run_id, variant in accepted.items():
        if run_id in stored:
            _judge_run(session, verdict, stored[run_id], references[variant], broken, tolerance)
    _judge_files(session, verdict, broken)
    return verdict


def _judge_run(
    session: psycopg.Connection[Any],
    verdict: Verdict,
    row: Any,
    reference: Curves,
    broken: set[str],
    tolerance: float,
) -> None:
    run_id, state, total, kept, failure, attempts, origin = row
    verdict.counts.update({"runs": 1, state: 1, "attempts": attempts})
    if state in ("queued", "running"):
        verdict.blame("stuck", f"run {run_id} is still {state}")
    if failure is not None and not (failure["code"] == "no_good_checkpoint" and broken):
        _judge_failure(session, verdict, run_id, failure)
    seen, gone = curves(session, run_id)
    for name, (steps, values) in seen.items():
        verdict.counts.update({"written": len(steps), "visible": len(steps)})
        _compare(verdict, run_id, name, steps, values, reference, tolerance)
        if len(set(steps.tolist())) < len(steps):
            verdict.blame("doubled", f"run {run_id} shows steps of {name} more than once")
    for name, (steps, values) in gone.items():
        verdict.counts.update({"written": len(steps), "superseded": len(steps)})
        _compare(verdict, run_id, f"{name} (superseded)", steps, values, reference, tolerance)
    steps = np.unique(seen["loss"][0]) if "loss" in seen else np.empty(0, np.int64)
    if not np.array_equal(steps, np.arange(origin + 1, origin + len(steps) + 1)):
        verdict.blame("lost", f"run {run_id} ({state}) has a gap: {len(steps)} steps from {origin} to {steps[-1]}")
    if len(steps) < (total if state == "succeeded" else kept) - origin:
        verdict.blame("lost", f"run {run_id} ({state}) shows {len(steps)} steps of {total}, checkpoint at {kept}")
    if state == "succeeded":
        for name, (at, _) in reference.items():
            if name.startswith(SYSTEM_PREFIX) or name == UNKEPT:
                continue
            wanted, there = int(((at > origin) & (at <= total)).sum()), len(seen.get(name, ((),))[0])
            if there != wanted:
                verdict.blame("lost", f"run {run_id} shows {there} points of {name}, not {wanted}")
    for name, n, last in session.execute("SELECT name, n, last_step FROM series WHERE run_id = %s", [run_id]):
        there = seen.get(name, (np.empty(0), None))[0]
        if n != len(there) or (n and last != there[-1]):
            verdict.blame(
                "wrong", f"run {run_id}: the summary of {name} says {n} points up to {last}, not {len(there)}"
            )


def _compare(
    verdict: Verdict, run_id: str, name: str, steps: Any, values: Any, reference: Curves, tolerance: float
) -> None:
    """Every written value, superseded or not, is the undisturbed run's, bit for bit; the machine's own are not."""
    if name.startswith(SYSTEM_PREFIX):
        return
    expected_steps, expected = reference[name.split(" ", maxsplit=1)[0]]
    at = np.minimum(np.searchsorted(expected_steps, steps), len(expected) - 1)
    equal = expected[at].view(np.int64) == np.ascontiguousarray(values).view(np.int64)
    if tolerance:
        equal |= np.abs(values - expected[at]) <= tolerance * np.nanmax(np.abs(expected))
    same = (expected_steps[at] == steps) & equal
    if not same.all():
        verdict.blame("wrong", f"run {run_id}: {name} differs at step {steps[~same][0]} ({int((~same).sum())} values)")


def _judge_failure(session: psycopg.Connection[Any], verdict: Verdict, run_id: str, failure: dict[str, Any]) -> None:
    """A run may fail of what was done to it, if its attempts say so."""
    query = "SELECT ending FROM attempt WHERE run_id = %s ORDER BY attempt DESC"
    endings = [row[0] for row in session.execute(query, [run_id])]
    wanted = FORGIVEN.get(failure["code"])
    own = sum(ending not in ("drained", "preempted", "checkpoint_damaged", "paused", None) for ending in endings)
    if wanted is None or own < wanted:
        verdict.blame("wrong", f"run {run_id} failed: {failure} after {endings}")
    verdict.counts["failed of its faults"] += 1


def _judge_files(session: psycopg.Connection[Any], verdict: Verdict, broken: set[str]) -> None:
    """No row names a checkpoint that is not there."""
    rows = session.execute("SELECT run_id, folder FROM checkpoint WHERE removed_at IS NULL AND NOT damaged")
    for run_id, folder in rows:
        if folder not in broken and not Path(folder).is_dir():
            verdict.blame("lost", f"run {run_id}: the files of checkpoint {folder} are gone")
