"""The table of a session, as Markdown."""

from collections import Counter
from collections.abc import Sequence

from tests.faults.causes import noticed, repeated, resumed
from tests.faults.drive import Session

DEAD = ("worker_killed", "worker_partitioned", "worker_half_open", "worker_zombie")


def spread(values: Sequence[float], unit: str) -> str:
    """p50 / p99 / max of sorted values."""
    if not values:
        return "-"
    at = [values[len(values) // 2], values[min(len(values) - 1, int(len(values) * 0.99))], values[-1]]
    return " / ".join(f"{each:.2f}" if unit == "s" else f"{each:.0f}" for each in at) + f" {unit} of {len(values)}"


def table(session: Session) -> str:
    plan, counts, verdict = session.plan, session.verdict.counts, session.verdict
    kinds = Counter(fault.kind.name for fault in session.landed)
    missed = Counter(fault.kind.name for fault in session.faults if not fault.landed)
    rows: list[tuple[str, object]] = [
        ("seed", plan.seed),
        ("trainer", plan.trainer),
        ("mutant", plan.mutant or "none"),
        ("seconds", f"{session.seconds:.0f}"),
        (
            "faults landed",
            f"{len(session.landed)} of {len(kinds)} kinds (found nothing to hit: {sum(missed.values())})",
        ),
        ("runs", f"{counts['runs']} ({', '.join(f'{counts[s]} {s}' for s in ('succeeded', 'cancelled', 'failed'))})"),
        ("attempts", counts["attempts"]),
        ("rows written / visible / superseded", f"{counts['written']} / {counts['visible']} / {counts['superseded']}"),
        ("posts asked again with their key", session.repeats),
        ("times the machine stood still for 0.6 s or more", len(session.starved)),
        ("fenced zombies", session.fenced),
        ("dead worker to requeued, p50 / p99 / max", spread(noticed(session, DEAD, "lost"), "s")),
        ("dead trainer to requeued", spread(noticed(session, ("trainer_killed",), "trainer_died"), "s")),
        ("dead trainer to the next claim", spread(resumed(session, ("trainer_killed",)), "s")),
        ("steps repeated after a kill", spread(repeated(session, ("lost", "trainer_died")), "steps")),
        ("steps repeated after a drain", spread(repeated(session, ("drained",)), "steps")),
        ("steps repeated after a preemption", spread(repeated(session, ("preempted",)), "steps")),
        (
            "processes that ended by themselves",
            ", ".join(f"{k} {v}x" for k, v in session.ended_badly.items()) or "none",
        ),
    ]
    classes = ("lost", "doubled", "wrong", "stuck", "forbidden", "unexplained")
    rows += [(f"**{name}**", f"**{verdict.count(name)}**") for name in classes]
    lines = ["| | |", "|---|---|"] + [f"| {name} | {value} |" for name, value in rows]
    lines += ["", "| fault | landed | missed | mean s |", "|---|---|---|---|"]
    for name in sorted(kinds.keys() | missed.keys()):
        lasted = [fault.ended - fault.began for fault in session.faults if fault.kind.name == name]
        lines.append(f"| {name} | {kinds[name]} | {missed[name]} | {sum(lasted) / len(lasted):.1f} |")
    return "\n".join(lines)


def complaints(session: Session, most: int = 20) -> str:
    """Each violation, and how to see it again."""
    found = session.verdict.violations
    lines = [f"{kind}: {sentence}"[:600] for kind, sentence in found[:most]]
    lines += [f"... and {len(found) - most} more"] if len(found) > most else []
    notes = [
        f"{f.kind.name} {f.target}: {f.note}" for f in session.landed if f.note.startswith(("ended with", "did not"))
    ]
    lines += notes
    return "\n".join([*lines, f"replay: {session.plan.replay}"]) if found or notes else ""
