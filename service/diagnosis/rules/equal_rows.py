"""R27: rows of the training part that are also in a held-out part."""

from service.diagnosis.finding import Expect, Finding, Inconclusive, NoFinding, Outcome, evidence, observation
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit


def equal_rows(record: RunRecord) -> Outcome:
    """R27: rows of the validation or test part that equal a training row, so that they measure memory."""
    if record.plan.spec.dataset.facts.task == "language":
        return NoFinding("a text has no rows.")
    reading = record.reading("start")
    if reading is None:
        return Inconclusive("equal rows are not counted: the probe start counts them.", ("start",))
    counted = {name: reading.data.get(f"equal_{name}_rows") for name in ("validation", "test")}
    known = {name: count for name, count in counted.items() if isinstance(count, int)}
    if not known:
        return Inconclusive("equal rows are not counted: there is no held-out part, or it is too large to compare.")
    name = max(known, key=lambda each: known[each] / reading.data[f"{each}_rows"])
    count, rows = known[name], reading.data[f"{name}_rows"]
    if not count:
        return NoFinding("no row of a held-out part is in the training part.")
    share, at = count / rows, limit("R27.share")
    told = " and ".join(f"{n} of {reading.data[f'{part}_rows']} {part} rows" for part, n in known.items() if n)
    return Finding(
        level="warning" if share > at else "info",
        verdict="equal_rows",
        text=f"Copies of training rows, features and target, are held out: {told}. On these the model is asked what it "
        "was told.",
        confidence=0.9,
        steps=(1, max(1, record.step)),
        evidence=[
            evidence(f"share of {name} rows", share, ">" if share > at else "<", "R27.share", reading=reading.id),
            observation(f"equal {name} rows", count, "the data"),
        ],
        remedy="Drop the copies before the upload, or split by a column that such rows share (split: group).",
        expect=Expect("without the copies the held-out loss is higher", "it stays the same"),
        rank=2,
    )
