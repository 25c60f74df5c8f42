"""R11, R12: gradients that vanish or explode on the way to the first layer."""

from typing import NamedTuple

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
    too_early,
)
from service.diagnosis.progress import first_loss, share_learned
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, tail_mean, trend_window

SETTLED = 4  # norms before their median is meaningful


class Ends(NamedTuple):
    """The first and the last layer with a recorded gradient norm, and the median norm of each."""

    first: str
    last: str
    near_input: float
    near_output: float

    @property
    def ratio(self) -> float:
        """The first layer's norm over the last one's."""
        return self.near_input / max(self.near_output, 1e-300)


def ends(record: RunRecord, steps: int | None) -> Ends | Inconclusive:
    """Return both ends over the whole run, or over its last `steps` steps."""
    norms = record.layers("grad_norm")
    if not norms:
        return not_recorded("grad_norm/<layer>")
    weighted = [path for path in record.plan.weighted if path in norms]
    if len(weighted) < 2:
        return Inconclusive("fewer than two layers with weights have a recorded gradient.")
    first, last = weighted[0], weighted[-1]
    return Ends(first, last, median(norms[first], steps), median(norms[last], steps))


def vanishing_gradient(record: RunRecord) -> Outcome:
    """R11: almost no gradient reaches the first layer (vanishing gradients)."""
    w = trend_window(record)
    if record.step < w:
        return too_early(record, w)
    found = ends(record, max(w, record.step // 2))
    if isinstance(found, Inconclusive):
        return found
    if found.ratio >= limit("R11.ratio") or found.near_input >= limit("R11.norm"):
        return NoFinding(f"the gradient at {found.first} is {found.ratio:.2g} times that at {found.last}.")
    share = share_learned(record)
    poor = share is None or share < limit("any.learned_poorly")
    plan, steps = record.plan, (max(1, record.step // 2), record.step)
    patch = remedies.add_normalisation(plan) or remedies.use_gated_cell(plan)
    if plan.squashes:
        patch = [*remedies.replace_activation(plan, "relu"), *patch]
    return Finding(
        level="fault" if poor else "warning",
        verdict="vanishing_gradient",
        text=f"The gradient at {found.first} is {found.ratio:.1e} times that at {found.last}: "
        "the layers near the input hardly train.",
        confidence=0.9 if poor else 0.6,
        steps=steps,
        evidence=[
            evidence(
                f"{found.first} over {found.last}",
                found.ratio,
                "<",
                "R11.ratio",
                series=f"grad_norm/{found.first}",
                steps=steps,
            ),
            evidence(
                f"gradient norm of {found.first}",
                found.near_input,
                "<",
                "R11.norm",
                series=f"grad_norm/{found.first}",
                steps=steps,
            ),
        ],
        patch=patch,
        remedy="Use relu or gelu with a standard initialisation, normalisation, residual connections, or a gated cell.",
        expect=Expect("the ratio rises above 1e-3 and the loss falls", "the ratio rises and the loss does not fall"),
        rank=1,  # dead units, saturation and long steps look alike
    )


def _fell(record: RunRecord) -> bool:
    """Return whether the loss ended below where it began: gradients that fall with it are convergence."""
    loss, began = record.get("loss"), first_loss(record)
    return loss is not None and began is not None and tail_mean(loss, trend_window(record)).value < began.value


def exploding_gradient(record: RunRecord) -> Outcome:
    """R12: gradients grow towards the input, or single ones are far larger than the rest (exploding gradients)."""
    w, norms = trend_window(record), record.get("grad_norm")
    if record.step < w:
        return too_early(record, w)
    if norms is None:
        return not_recorded("grad_norm")
    found, share = ends(record, None), share_learned(record)
    largest, middle = float(norms.high.max()), float(np.median(norms.values))
    at = int(norms.steps[int(np.argmax(norms.high))])
    before = norms.values[norms.steps < at]
    calm = float(np.median(before)) if len(before) >= SETTLED else None  # a norm that only falls is no explosion
    if calm is None and not _fell(record):
        calm = middle
    spike = 0.0 if calm is None else largest / max(calm, 1e-30)
    swelling = isinstance(found, Ends) and found.ratio > limit("R12.ratio")
    spiking = spike > limit("R12.spike") and largest > limit("R12.norm")
    if not (swelling or spiking):
        return NoFinding(f"the largest gradient norm is {spike:.3g} times the median before it.")
    poor = share is None or share < limit("any.learned_poorly")
    seen = []
    if spiking:
        seen.append(
            evidence("largest over earlier gradient norms", spike, ">", "R12.spike", series="grad_norm", steps=(at, at))
        )
    if isinstance(found, Ends) and swelling:
        series = f"grad_norm/{found.first}"
        seen.append(evidence(f"{found.first} over {found.last}", found.ratio, ">", "R12.ratio", series=series))
    return Finding(
        level="fault" if poor and spiking else "warning",
        verdict="exploding_gradient",
        text=f"Gradients explode: the largest norm is {largest:.3g} (step {at}), the median {middle:.3g}.",
        confidence=0.8 if poor else 0.5,
        steps=(at, record.step),
        evidence=seen,
        patch=remedies.scale_rates(record.plan, 0.3)
        if record.plan.spec.clip
        else remedies.clip_gradients(min(middle, 1.0) or 1.0),
        remedy="Clip gradients near their median norm; a smaller initialisation or normalisation also helps.",
        expect=Expect("with clipping the loss falls without jumps", "it still jumps"),
    )
