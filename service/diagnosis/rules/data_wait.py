"""R28: updates that wait for their batches."""

from service.diagnosis.finding import Expect, Finding, Inconclusive, NoFinding, Outcome, evidence, observation
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import mean
from service.spec.measures import DATA_WAIT


def waits_for_data(record: RunRecord) -> Outcome:
    """R28: over the second half of the run, reading or augmenting batches takes a large share of the time."""
    waits, spec = record.get(DATA_WAIT), record.plan.spec
    if waits is None:
        return NoFinding("no wait for batches was recorded: they are at hand, or the run took less than a second.")
    half = mean(waits.between(record.step // 2 + 1, record.step))
    if half is None or len(waits) < limit("R28.points"):
        return Inconclusive(f"{limit('R28.points'):g} seconds of training are needed to see how long batches take.")
    if half.value <= limit("R28.share"):
        return NoFinding(f"updates waited {half.value:.1%} of the time for their batches.")
    made = "images to be augmented" if spec.augment else "rows to be read and prepared"
    return Finding(
        level="info",
        verdict="waits_for_data",
        text=f"In the second half of the run, updates waited {half.value:.0%} of the time for {made}.",
        confidence=0.9,
        steps=half.steps,
        evidence=[
            evidence("share of the time", half.value, ">", "R28.share", series=DATA_WAIT, steps=half.steps),
            observation("transforms in /augment", len(spec.augment)),
            observation("/resources/loader_processes", str(spec.resources.loader_processes)),
        ],
        remedy=_remedy(bool(spec.augment)),
        expect=Expect("with fewer or smaller rows to prepare, steps_per_s rises by this share", "it stays the same"),
        rank=2,
    )


def _remedy(augments: bool) -> str:
    if augments:
        return (
            "Use more loader processes (/resources/loader_processes) if the worker has idle cores; else leave out the "
            "costliest transform, or train on smaller images (/dataset/size)."
        )
    return "Give the worker more memory for rows (SADDLE_RESIDENT_BYTES), or faster disks; larger batches do not help."
