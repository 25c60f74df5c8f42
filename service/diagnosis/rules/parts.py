"""R30: rows of the validation part that differ from those of the training part, and features that are the target."""

from service.analysis.run_data import Reading
from service.diagnosis.finding import Evidence, Expect, Finding, Inconclusive, NoFinding, Outcome, evidence, observation
from service.diagnosis.progress import share_held, share_learned
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit


def differing_parts(record: RunRecord) -> Outcome:
    """R30: features are shifted or classes have other shares in the validation part, and less is learned there.

    A difference that does no harm is none: parts of a split by time always differ a little.
    """
    reading, task = record.reading("start"), record.plan.spec.dataset.facts.task
    if task in ("objective", "language"):
        return NoFinding("there are no rows of features.")
    if reading is None or not any(name in reading.data for name in ("shifted_features", "told")):
        return Inconclusive("how the parts differ is not known: the probe start measures it.", ("start",))
    if (told := _told(record, reading)) is not None:
        return told
    words, seen = _differences(reading)
    if not words:
        return NoFinding("features and classes of the validation part are distributed like those of the training part.")
    trained, held = share_learned(record), share_held(record)
    if trained is None or held is None or held > limit("R29.most") * trained:
        return NoFinding("the parts differ, but what is learned on the one holds on the other.")
    return Finding(
        level="fault" if held < 0 else "warning",
        verdict="validation_shift",
        text=f"The validation part holds other data than the training part: {' and '.join(words)}. What the "
        f"training learns ({trained:.0%} of the way) does not hold there ({max(held, 0.0):.0%}).",
        confidence=0.9,
        steps=(1, max(1, record.step)),
        evidence=[
            *seen,
            observation("share of the way on the validation part", held, "recorded", "val/loss"),
        ],
        remedy="Draw both parts at random from the same rows, or collect training rows like those of the validation "
        "part.",
        expect=Expect("with parts drawn at random both losses fall together", "the validation loss stays above"),
        rank=-1,
    )


def _differences(reading: Reading) -> tuple[list[str], list[Evidence]]:
    """Return what differs by more than chance, in words and as evidence."""
    words, seen = list[str](), list[Evidence]()
    shifted, largest = (reading.number(name) or 0.0 for name in ("shifted_features", "largest_shift"))
    if shifted > limit("R30.features"):
        words.append(f"{shifted:.0%} of the features are shifted, by up to {largest:.2g} standard deviations")
        seen.append(evidence("share of shifted features", shifted, ">", "R30.features", reading=reading.id))
    classes, noise = (reading.number(name) or 0.0 for name in ("class_shift", "class_shift_noise"))
    if classes > (at := max(limit("R30.classes"), limit("R30.chance") * noise)):
        words.append(f"{classes:.0%} of its rows are of classes that are rarer among the training rows")
        seen.append(
            evidence("difference of the classes' shares", classes, ">", "R30.classes", reading=reading.id, at=at)
        )
    return words, seen


def _told(record: RunRecord, reading: Reading) -> Finding | None:
    """Return the finding for a feature that is the target by another name."""
    told, held, features = reading.number("told"), reading.number("told_validation"), reading.number("features")
    if told is None or told < limit("R30.told") or not features or features < 2 or not _enough_rows(record, reading):
        return None
    at, missing = int(reading.number("telling_feature") or 0), held is not None and held < limit("R30.kept")
    where = f", in the validation part {held:.0%}: it is not there when it is needed" if missing else ""
    return Finding(
        level="warning",
        verdict="leakage",
        text=f"Feature {at} alone tells {told:.1%} of the target in the training rows{where}. It probably contains the "
        "target.",
        confidence=0.9 if missing else 0.6,
        steps=(1, max(1, record.step)),
        evidence=[
            evidence(f"share of the target that feature {at} tells", told, ">", "R30.told", reading=reading.id),
            *(
                [evidence("the same in the validation part", held, "<", "R30.kept", reading=reading.id)]
                if missing
                else []
            ),
        ],
        remedy="Drop the feature, unless it is known before the target is.",
        expect=Expect("without it the validation loss is that of real use", "the loss stays the same"),
        strong=missing,
        rank=-1,
    )


def _enough_rows(record: RunRecord, reading: Reading) -> bool:
    """Whether there are so many different rows that no feature tells their targets by chance."""
    different = (reading.number("rows") or 0.0) - (reading.number("duplicate_rows") or 0.0)
    return different >= max(limit("R30.rows"), limit("R30.rows") / 5 * record.plan.classes)


def uninformative_features(record: RunRecord) -> Outcome:
    """R31: most features have one value in every row."""
    reading = record.reading("start")
    count, whole = (None, None) if reading is None else (reading.number(k) for k in ("constant_features", "features"))
    if reading is None or count is None or not whole:
        return NoFinding("there are no features that could be constant.")
    share, came = count / whole, share_learned(record)
    if share <= limit("R31.constant") or count == whole:  # all of them: R3
        return NoFinding(f"{share:.0%} of the features have one value in every row.")
    if came is not None and came > limit("R29.most"):
        return NoFinding(f"{share:.0%} of the features have one value in every row, but the others suffice.")
    return Finding(
        level="warning",
        verdict="constant_features",
        text=f"{count:.0f} of {whole:.0f} features have one value in every row: the model knows the rows by the other "
        f"{whole - count:.0f} only.",
        confidence=0.8,
        steps=(1, max(1, record.step)),
        evidence=[evidence("share of constant features", share, ">", "R31.constant", reading=reading.id)],
        remedy="Look at the rows of the file: a join or a default value may have replaced the features.",
        expect=Expect("with features that differ the loss falls further", "it stays where it is"),
        rank=-1,
    )
