"""R15, R20, R21, R23: feature scales, batch size, overfitting, and statistics of batch normalisation."""

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.finding import (
    Expect,
    Finding,
    Inconclusive,
    NoFinding,
    Outcome,
    evidence,
    not_recorded,
    observation,
)
from service.diagnosis.progress import least_share, share_held, share_learned, trivial_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, tail_mean, trend_window


def ill_conditioned_inputs(record: RunRecord) -> Outcome:
    """R15: features on very different scales, which make the loss ill-conditioned."""
    if record.plan.spec.dataset.facts.task == "objective":
        return NoFinding("there are no features.")
    reading = record.reading("start")
    ratio = None if reading is None else reading.data.get("feature_std_ratio")
    if not isinstance(ratio, int | float):
        return Inconclusive("the scales of the features are not known: the probe start measures them.", ("start",))
    share, patch = least_share(record), remedies.standardise(record.plan)
    largest = reading.number("feature_largest") if reading is not None else None
    far = largest is not None and largest > limit("R15.largest") and (share is None or share < limit("R29.most"))
    if ratio <= limit("R15.features") and not far:
        return NoFinding(f"the features' standard deviations differ at most by a factor of {ratio:.3g}.")
    if not patch:
        return NoFinding(
            f"the features' standard deviations differ by a factor of {ratio:.3g} although they are scaled."
        )
    poor = share is None or share < limit("any.learned_poorly")
    apart = ratio > limit("R15.features")
    at = reading.id if reading else None
    return Finding(
        level="fault" if poor and (record.ended or record.step > record.plan.total_steps // 2) else "warning",
        verdict="ill_conditioned_inputs",
        text=f"The largest standard deviation of a feature is {ratio:.3g} times the smallest: "
        "no single learning rate suits all weights of the first layer."
        if apart
        else f"The features are not scaled, and the largest value among them is {largest:.4g}: it outweighs all "
        "others. Such a value may stand for a missing one, as -999 does, or be in another unit.",
        confidence=0.85,
        steps=(1, max(1, record.step)),
        evidence=[
            evidence("largest over smallest deviation of a feature", ratio, ">", "R15.features", reading=at)
            if apart
            else evidence("largest value of a feature", largest, ">", "R15.largest", reading=at)
        ],
        patch=patch,
        remedy="Standardise the features." if apart else "Replace values that stand for missing ones; standardise.",
        expect=Expect("the loss falls faster at the same rate", "it falls as before"),
        strong=poor or not apart,
        rank=-2,
    )


def batch_size(record: RunRecord) -> Outcome:
    """R20: the batch size compared with the gradient noise scale, at which noise and signal are equal."""
    noise = record.get("noise_scale")
    if noise is None:
        return not_recorded("noise_scale")
    rows, scale = record.plan.spec.rows_per_step, median(noise, max(trend_window(record), record.step // 2))
    if scale <= 0:
        return Inconclusive("the noise scale could not be estimated: the gradient is smaller than its noise.")
    ratio = rows / scale
    if limit("R20.small") <= ratio <= limit("R20.large"):
        return NoFinding(f"a batch of {rows} rows is {ratio:.2g} times the noise scale.")
    small = ratio < limit("R20.small")
    train = record.plan.spec.dataset.counts[0]
    wanted = int(min(train, rows * 8)) if small else max(1, rows // 4)
    key = "R20.small" if small else "R20.large"
    return Finding(
        level="info",
        verdict="noise_dominated" if small else "wasteful_batch",
        text=f"A batch has {rows} rows, and the gradient noise scale is {scale:.3g}: "
        + ("steps are mostly noise." if small else "a smaller batch would give the same gradient for less work."),
        confidence=0.6,
        steps=(1, record.step),
        evidence=[evidence("batch over noise scale", ratio, "<" if small else ">", key, series="noise_scale")],
        patch=[remedies.replace("/batch_size", wanted)] if wanted != rows else (),
        remedy=f"Try {wanted} rows, and tune the learning rate again.",
        expect=Expect("the same number of rows reaches a lower loss", "it reaches the same loss"),
    )


def overfitting(record: RunRecord) -> Outcome:
    """R21: the validation loss has risen for a long time while the training loss fell (overfitting)."""
    validation, loss = record.get("val/loss"), record.get("loss")
    if record.plan.spec.dataset.counts[1] == 0:
        return Inconclusive("there is no validation data (/dataset/validation is 0), so overfitting cannot be seen.")
    if validation is None or loss is None or len(validation) < 8:
        return Inconclusive("8 evaluations of val/loss are needed to see a trend.")
    values = validation.values
    least = int(np.argmin(values))
    late = values[-max(3, len(values) // 10) :]
    now, best, noise = float(np.median(late)), float(values[least]), _noise(values)
    train = tail_mean(loss, max(trend_window(record), record.plan.spec.steps_per_epoch)).value
    risen = now > best * (1 + limit("R21.rise")) and now > best + 4 * noise
    since = (len(values) - 1 - least) / len(values)
    gap = now - train > limit("R21.gap") * now
    if not (risen and since > limit("R21.stretch") and gap):
        return _apart(record) or NoFinding("the validation loss has not stayed above its minimum for long.")
    reference = trivial_loss(record)
    worse = reference is not None and now > limit("R21.fault") * reference.value
    at, steps = int(validation.steps[least]), (int(validation.steps[least]), int(validation.steps[-1]))
    seen = [
        evidence(
            "rise of the validation loss above its minimum",
            now / best - 1,
            ">",
            "R21.rise",
            series="val/loss",
            steps=steps,
        ),
        evidence("share of evaluations since the minimum", since, ">", "R21.stretch", series="val/loss"),
        evidence("training loss below validation loss", (now - train) / now, ">", "R21.gap", series="loss"),
    ]
    if reference is not None:
        key = "R21.fault"
        seen.append(
            evidence(
                "validation loss over the trivial loss",
                now / reference.value,
                ">" if worse else "<",
                key,
                series="val/loss",
            )
        )
    return Finding(
        level="fault" if worse else "warning",
        verdict="overfitting",
        text=f"The validation loss reached its minimum at step {at} ({best:.4g}) and is now {now:.4g}, "
        f"while the training loss has fallen to {train:.4g}.",
        confidence=0.9,
        steps=steps,
        evidence=seen,
        patch=_earlier_end(record, len(values)),
        remedy="Stop at the best validation loss; weight decay, dropout or more data lower it.",
        expect=Expect("the last validation loss is near its minimum", "it still rises"),
        rank=1,
    )


def _apart(record: RunRecord) -> Finding | None:
    """Return the finding for training rows that are known by heart, of which much less holds on other rows."""
    trained, held = share_learned(record), share_held(record)
    if trained is None or held is None or trained < limit("R21.heart") or held > limit("R21.holds") * trained:
        return None
    decay = record.plan.document["optimizer"].get("weight_decay")
    return Finding(
        level="warning",
        verdict="overfitting",
        text=f"The training rows are known by heart ({trained:.0%} of the way to the minimum), but on the validation "
        f"part only {max(held, 0.0):.0%} of the way is done.",
        confidence=0.85,
        steps=(1, record.step),
        evidence=[
            evidence("share of the way on training rows", trained, ">", "R21.heart", series="loss"),
            evidence(
                "share of the way on validation rows",
                held,
                "<",
                "R21.holds",
                series="val/loss",
                at=limit("R21.holds") * trained,
            ),
        ],
        patch=[remedies.replace("/optimizer/weight_decay", max(1e-2, 10 * decay))] if decay is not None else [],
        remedy="Use more rows, a smaller model, weight decay or dropout.",
        expect=Expect("the validation loss ends lower", "it ends where it did, and the training loss higher"),
        rank=1,
    )


def _noise(values: np.ndarray) -> float:
    """Return a robust estimate of the noise of one evaluation, from differences of successive ones."""
    return float(1.4826 * np.median(np.abs(np.diff(values))) / np.sqrt(2))


def _earlier_end(record: RunRecord, evaluations: int) -> remedies.Patch:
    patience = max(2, min(10, evaluations // 10))
    rule = {"patience": {"series": "val/loss", "evaluations": patience}}
    stop = record.plan.document["stop"]
    if stop is None:
        return [remedies.replace("/stop", rule)]
    decay = record.plan.document["optimizer"].get("weight_decay")
    return [remedies.replace("/optimizer/weight_decay", max(1e-3, 10 * decay))] if decay is not None else []


def _few_rows(record: RunRecord) -> Finding | None:
    """Return the finding for a normalisation over two or three rows, which removes nearly all information."""
    spec, came = record.plan.spec, share_learned(record)
    rows = spec.rows_per_step // spec.accumulate
    flat = any(leaf.module == "BatchNorm1d" and len(leaf.out) == 1 for leaf in record.plan.leaves)
    if not flat or rows >= limit("R23.rows") or came is None or came > limit("any.learned_poorly"):
        return None
    bigger = min(32, spec.dataset.counts[0])
    return Finding(
        level="fault" if record.ended or record.step > record.plan.total_steps // 2 else "warning",
        verdict="bn_statistics",
        text=f"Batch normalisation over {rows} rows removes nearly all information: two rows become 1 and -1 whatever "
        "they were.",
        confidence=0.85,
        steps=(1, max(1, record.step)),
        evidence=[
            evidence("rows normalised together", rows, "<", "R23.rows"),
            evidence("share of the way learned", came, "<", "any.learned_poorly", series="loss"),
        ],
        patch=[remedies.replace("/batch_size", bigger)] if spec.accumulate == 1 else [],
        remedy="Use larger batches, or a normalisation within each row.",
        expect=Expect("with 32 rows the loss falls", "it falls no faster"),
        rank=-1,
    )


def batch_statistics(record: RunRecord) -> Outcome:
    """R23: batch statistics and running statistics give different losses on the same rows."""
    if record.plan.leaves and not record.plan.normalises_batches:
        return NoFinding("there is no batch normalisation.")
    if (few := _few_rows(record)) is not None:
        return few
    gap = record.get("bn_gap")
    if gap is None:
        return not_recorded("bn_gap")
    if len(gap) < 3:
        return Inconclusive("3 evaluations are needed to see a lasting difference.")
    ratio = float(np.median(gap.values[len(gap) // 2 :]))
    times = max(ratio, 1 / max(ratio, 1e-30))
    if times <= limit("R23.gap"):
        return NoFinding(f"the loss with batch statistics is {ratio:.2g} times the loss with running statistics.")
    reference, loss, measured = trivial_loss(record), record.get("loss"), record.get("val/loss")
    own = None if loss is None else tail_mean(loss, max(trend_window(record), record.plan.spec.steps_per_epoch)).value
    apart = None if own is None else abs(own - own / max(ratio, 1e-30))
    if reference is not None and apart is not None and apart < limit("R23.matters") * reference.value:
        return NoFinding(f"the two losses differ by a factor of {times:.2g}, but only by {apart:.2g}.")
    rows, model = record.plan.spec.rows_per_step, record.plan.document["model"]
    bigger = min(32, record.plan.spec.dataset.counts[0])
    patch: remedies.Patch = [remedies.replace("/batch_size", bigger)] if rows < bigger else []
    if not record.plan.spec.shuffle:  # rows that lie side by side are alike, and so are the statistics of their batch
        patch = [remedies.replace("/shuffle", True)]
    if not patch and model.get("norm") == "batch":
        patch = [remedies.replace("/model/norm", "layer" if model["kind"] == "mlp" else "group")]
    high = measured is not None and reference is not None and float(measured.values[-1]) > reference.value
    return Finding(
        level="fault" if high else "warning",
        verdict="bn_statistics",
        text=f"On the same rows the loss differs by a factor of {times:.2g} between batch statistics and running "
        "statistics: the evaluated model is not the trained one.",
        confidence=0.8,
        steps=(int(gap.steps[0]), int(gap.steps[-1])),
        evidence=[
            evidence("ratio of the two losses", times, ">", "R23.gap", series="bn_gap"),
            observation("rows in a batch", rows),
        ],
        patch=patch,
        remedy="Use larger batches, or a normalisation within each row.",
        expect=Expect("the two losses agree", "they still differ"),
        rank=-1,
    )
