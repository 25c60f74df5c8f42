"""R3, R4, R5: a loss stuck at the trivial value, a batch that cannot be overfitted, and a double softmax."""

import math
from dataclasses import replace

from service.diagnosis import remedies
from service.diagnosis.finding import (
    Evidence,
    Expect,
    Finding,
    Inconclusive,
    NoFinding,
    Outcome,
    evidence,
    observation,
    too_early,
)
from service.diagnosis.plan import OUTPUT_RANGES, UNBOUNDED
from service.diagnosis.progress import Reference, share_learned, trivial_loss
from service.diagnosis.rules.trivial_causes import cause_of_trivial_loss, start_alike
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import tail_mean, trend_window, window_means


def flat_at_trivial_loss(record: RunRecord) -> Outcome:
    """R3: the loss stays at the loss of the best constant prediction."""
    loss, reference, w = record.get("loss"), trivial_loss(record), trend_window(record)
    if loss is None or record.step < w:
        return too_early(record, w)
    if reference is None:
        return Inconclusive(
            "the loss of the best constant prediction is not known without the probe start.", ("start",)
        )
    if (alone := _constant_features(record) or _memorised(record, reference)) is not None:
        return alone
    stretch = _stretch(record, reference.value)
    share = 0.0 if stretch is None else (stretch[1] - stretch[0] + 1) / record.plan.total_steps
    if stretch is None or share < limit("R3.stretch"):
        return _alike(record) or NoFinding(f"the loss does not stay at the trivial loss of {reference.value:.4g}.")
    at = reference.value
    seen: list[Evidence] = [
        observation("trivial loss", at, reference.source, reading=reference.reading),
        evidence("share of the run at the trivial loss", share, ">", "R3.stretch", series="loss", steps=stretch),
        evidence("loss now", tail_mean(loss, w).value, "<", "R3.near", series="loss", at=at * (1 + limit("R3.near"))),
    ]
    cause = cause_of_trivial_loss(record)
    long = share > limit("R3.long") or record.ended
    return Finding(
        level="fault" if long and cause.shown else "warning",
        verdict=cause.verdict,
        text=f"The loss has stayed at {at:.4g}, the loss of a constant prediction: {cause.why}",
        confidence=cause.confidence,
        steps=stretch,
        evidence=seen,
        patch=cause.patch,
        remedy=cause.remedy,
        expect=Expect("the loss leaves the trivial value within a tenth of the run", "it stays there"),
        probes=("learnability", "gradient_check"),
        strong=cause.rank == 0,
        guess=cause.guess,
        rank=cause.rank,
    )


def _stretch(record: RunRecord, at: float) -> tuple[int, int] | None:
    """Return the steps for which all windows have stayed near `at`; None if the last one is not near it."""
    loss = record.get("loss")
    assert loss is not None
    found = None
    for block in reversed(window_means(loss, trend_window(record))):
        if abs(block.value - at) > limit("R3.near") * abs(at):
            break
        found = (block.first, int(loss.steps[-1]))
    return found


def _alike(record: RunRecord) -> Finding | None:
    """Return the finding for identical units while the loss still falls as one unit per layer allows."""
    share = share_learned(record)
    if not record.plan.starts_alike or share is None or share > 1 - limit("any.learned_little"):
        return None
    cause = start_alike(record)
    poorly = share < limit("any.learned_poorly")
    return Finding(
        level="fault" if poorly else "warning",
        verdict=cause.verdict,
        text=f"The loss falls, but not as far as it could: {cause.why}",
        confidence=cause.confidence,
        steps=(1, record.step),
        evidence=[
            observation("/model/init/kind", record.plan.spec.model.init.kind),
            *[observation(f"/inits/{at}/init/kind", rule.init.kind) for at, rule in enumerate(record.plan.spec.inits)],
            evidence("share of the loss learned", share, "<", "any.learned_poorly", series="loss"),
        ],
        patch=cause.patch,
        remedy=cause.remedy,
        expect=Expect("the loss ends lower", "it ends where it did"),
    )


def _constant_features(record: RunRecord) -> Finding | None:
    """Return the finding for features that are the same in every row, so that they say nothing about the targets."""
    reading = record.reading("start")
    count = None if reading is None else reading.data.get("constant_features")
    if reading is None or not count or count != reading.data.get("features"):
        return None
    return Finding(
        level="fault",
        rank=-2,
        verdict="labels_unrelated",
        text=f"All {count} features have one value in every row: the inputs say nothing about the labels.",
        confidence=0.95,
        steps=(1, max(1, record.step)),
        evidence=[observation("features that are the same in every row", count, "the data", reading=reading.id)],
        remedy="Look at the rows of the file: a join or a default value may have replaced the features.",
        expect=Expect("with features that differ the loss falls", "it stays where it is"),
    )


def _memorised(record: RunRecord, reference: Reference) -> Finding | None:
    """Return the finding for training rows that are memorised without any generalisation, as with shuffled labels."""
    validation, loss = record.get("val/loss"), record.get("loss")
    if validation is None or loss is None or record.plan.classes < 2 or len(validation) < 5:
        return None
    best, now = float(validation.values.min()), tail_mean(loss, trend_window(record)).value
    lowest, known = limit("R3.validation") * reference.value, limit("R3.memorised") * reference.value
    if best < lowest or now > known or _better_than_chance(record):
        return None
    steps = (int(validation.steps[0]), int(validation.steps[-1]))
    if record.step * record.plan.spec.rows_per_step < limit("R3.repeated") * record.plan.spec.dataset.counts[0]:
        return _shifted(record, best, now, steps)
    return Finding(
        level="fault",
        rank=1,
        verdict="labels_unrelated",
        text="The training rows are memorised, but on other rows the model never beats a constant prediction: "
        "the labels are unrelated to the inputs, or the two parts hold different data.",
        confidence=0.8,
        steps=steps,
        evidence=[
            evidence("best validation loss", best, ">", "R3.validation", series="val/loss", steps=steps, at=lowest),
            evidence("training loss", now, "<", "R3.memorised", series="loss", at=known),
        ],
        remedy="Compare inputs and labels by eye; a join or a shuffle may have separated them.",
        expect=Expect("with deliberately shuffled labels the curves look the same", "shuffled labels do worse"),
    )


def _shifted(record: RunRecord, best: float, now: float, steps: tuple[int, int]) -> Finding:
    """Return the finding for rows that are learned before they are repeated, while other rows never are."""
    return Finding(
        level="warning",
        rank=1,
        verdict="validation_shift",
        text=f"The training loss has fallen to {now:.4g} on rows seen hardly more than once, but on the validation "
        f"part it never beats a constant prediction ({best:.4g}): the two parts hold different data.",
        confidence=0.7,
        steps=steps,
        evidence=[
            observation("best validation loss", best, "recorded", "val/loss", steps),
            observation("training loss", now, "recorded", "loss"),
        ],
        remedy="Compare rows of both parts; draw them from the same data, or train on data like the validation part.",
        expect=Expect("with parts drawn at random both losses fall together", "the validation loss stays above"),
    )


def _better_than_chance(record: RunRecord) -> bool:
    """Return whether an accuracy is 4 standard errors above that of the largest class, or of uniform guessing."""
    accuracy, rows = record.get("val/accuracy"), record.plan.spec.dataset.counts[1]
    if accuracy is None or rows < 1:
        return False
    reading = record.reading("start")
    largest = None if reading is None else reading.number("largest_class_share")
    chance = max(1 / record.plan.classes, largest or 0.0)
    return float(accuracy.values.max()) > chance + 4 * math.sqrt(chance * (1 - chance) / rows)


def cannot_overfit_one_batch(record: RunRecord) -> Outcome:
    """R4: one batch cannot be overfitted, or the gradient is wrong."""
    check, batch = record.reading("gradient_check"), record.reading("overfit_batch")
    error = None if check is None else check.number("largest")
    if check is not None and error is not None and check.data.get("passed") is False:
        at = check.number("tolerance")
        seen = evidence("relative error of the gradient", error, ">", "R4.gradient", reading=check.id, at=at)
        return _pipeline("The computed gradient is not the gradient of the loss.", 0.95, [seen], check.step)
    if batch is None:
        return Inconclusive("overfitting one batch was not tried: the probe overfit_batch does it.", ("overfit_batch",))
    left = batch.number("share")
    if left is None:
        return Inconclusive("the reading of overfit_batch has no losses.")
    if left <= limit("R4.left"):
        return NoFinding(f"training on one batch reduces its loss to {left:.1%} of the first.")
    seen = evidence("share of the loss left on one batch", left, ">", "R4.left", reading=batch.id)
    return replace(_pipeline("Not even one batch can be overfitted.", 0.85, [seen], batch.step), guess=True, rank=1)


def _pipeline(text: str, confidence: float, seen: list[Evidence], step: int) -> Finding:
    return Finding(
        level="fault",
        verdict="pipeline_or_capacity",
        text=text,
        confidence=confidence,
        steps=(step, step),
        evidence=seen,
        remedy="Check the gradient, then remove regularisation, then use a larger model.",
        expect=Expect("a larger model without regularisation overfits the batch", "it does not either"),
        probes=("gradient_check",),
    )


def double_softmax(record: RunRecord) -> Outcome:
    """R5: bounded outputs into a loss that applies a softmax itself, so the loss cannot approach 0."""
    plan = record.plan
    if plan.loss not in ("cross_entropy", "bce_with_logits", "nll"):
        return NoFinding(f"{plan.loss} applies no softmax to the outputs.")
    if not plan.leaves:
        return Inconclusive("the layers of this model are known only to its library.")
    end, place = plan.logit_layer
    low, high = OUTPUT_RANGES.get(end, UNBOUNDED)
    if math.isinf(high - low):
        return NoFinding(f"the loss's softmax receives the output of {end}, which is unbounded.")
    if plan.classes < 2:
        return NoFinding("no classes.")
    floor = math.log(1 + (plan.classes - 1) * math.exp(low - high))
    if plan.loss == "bce_with_logits":
        floor = (math.log1p(math.exp(low)) + math.log1p(math.exp(-high))) / 2
    loss, w = record.get("loss"), trend_window(record)
    now = None if loss is None else tail_mean(loss, w)
    if now is not None and now.value < limit("R5.floor") * floor:
        return NoFinding(f"the loss is below {floor:.4g}, the minimum for outputs between {low:g} and {high:g}.")
    patch: remedies.Patch = [] if place is None else [{"op": "remove", "path": f"/model/layers/{place}"}]
    seen = [
        observation("layer before the softmax", end),
        observation("minimum loss for its outputs", floor, "arithmetic"),
    ]
    if now is not None:
        at = limit("R5.floor") * floor
        seen.append(evidence("loss now", now.value, ">", "R5.floor", series="loss", steps=now.steps, at=at))
    return Finding(
        level="fault",
        verdict="softmax_applied_twice",
        text=f"{end} bounds the outputs before {plan.loss} applies its own softmax or sigmoid: "
        f"the loss cannot fall below {floor:.4g}.",
        confidence=0.95,
        steps=(1, record.step),
        evidence=seen,
        patch=patch,
        remedy=f"Remove {end}: the loss expects the output of the last Linear layer.",
        expect=Expect(f"the loss falls below {floor:.4g}", "it does not"),
        rank=-1,
    )
