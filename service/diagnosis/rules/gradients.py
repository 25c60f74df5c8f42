"""R11, R12: gradients that fade, or swell, on their way to the first layer."""

from typing import NamedTuple

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.facts import Facts
from service.diagnosis.finding import Clear, Expect, Found, Outcome, Unknown, early, evidence, missing
from service.diagnosis.progress import learned
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, window


class Ends(NamedTuple):
    """The first and the last layer with weights that have a gradient norm, and its median late in the run."""

    first: str
    last: str
    near_input: float
    near_output: float

    @property
    def ratio(self) -> float:
        """Of the first layer's norm to the last one's."""
        return self.near_input / max(self.near_output, 1e-300)


def ends(facts: Facts, steps: int | None) -> Ends | Unknown:
    """Of the whole run, or of its last `steps` steps."""
    norms = facts.layers("grad_norm")
    if not norms:
        return missing("grad_norm/<layer>")
    weighted = [path for path in facts.plan.weighted if path in norms]
    if len(weighted) < 2:
        return Unknown("fewer than two layers with weights are known.")
    first, last = weighted[0], weighted[-1]
    return Ends(first, last, median(norms[first], steps), median(norms[last], steps))


def vanishing(facts: Facts) -> Outcome:
    """R11: next to nothing of the gradient arrives at the first layer."""
    w = window(facts)
    if facts.step < w:
        return early(facts, w)
    found = ends(facts, max(w, facts.step // 2))
    if isinstance(found, Unknown):
        return found
    if found.ratio >= limit("R11.ratio") or found.near_input >= limit("R11.norm"):
        return Clear(f"the gradient at {found.first} is {found.ratio:.2g} times that at {found.last}.")
    share = learned(facts)
    poor = share is None or share < limit("any.learned_poorly")
    plan, steps = facts.plan, (max(1, facts.step // 2), facts.step)
    patch = remedies.normalised_layers(plan) or remedies.gated(plan)
    if plan.squashes:
        patch = [*remedies.activation(plan, "relu"), *patch]
    return Found(
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
        remedy="Take relu or gelu with a usual initialisation, a normalisation, residual connections, or a gated cell.",
        expect=Expect("the ratio rises above 1e-3 and the loss falls", "the ratio rises and the loss stays"),
        explains=("R3", "R9", "R10", "R14"),
        rank=1,  # dead units, saturation and long steps look like it too
    )


def exploding(facts: Facts) -> Outcome:
    """R12: the gradient swells towards the input, or single ones dwarf all others, and the training suffers."""
    w, norms = window(facts), facts.get("grad_norm")
    if facts.step < w:
        return early(facts, w)
    if norms is None:
        return missing("grad_norm")
    found, share = ends(facts, None), learned(facts)
    largest, middle = float(norms.high.max()), float(np.median(norms.values))
    spike = largest / max(middle, 1e-30)
    swelling = isinstance(found, Ends) and found.ratio > limit("R12.ratio")
    spiking = spike > limit("R12.spike") and largest > limit("R12.norm")
    if not (swelling or spiking):
        return Clear(f"the largest gradient norm is {spike:.3g} times the median.")
    poor = share is None or share < limit("any.learned_poorly")
    at = int(norms.steps[int(np.argmax(norms.high))])
    seen = []
    if spiking:
        seen.append(
            evidence("largest over median gradient norm", spike, ">", "R12.spike", series="grad_norm", steps=(at, at))
        )
    if isinstance(found, Ends) and swelling:
        series = f"grad_norm/{found.first}"
        seen.append(evidence(f"{found.first} over {found.last}", found.ratio, ">", "R12.ratio", series=series))
    return Found(
        level="fault" if poor and spiking else "warning",
        verdict="exploding_gradient",
        text=f"Gradients explode: the largest norm is {largest:.3g} (step {at}), the median {middle:.3g}.",
        confidence=0.8 if poor else 0.5,
        steps=(at, facts.step),
        evidence=seen,
        patch=remedies.rate(facts.plan, 0.3) if facts.plan.spec.clip else remedies.clip(min(middle, 1.0) or 1.0),
        remedy="Clip gradients near their median norm; a smaller initialisation and normalisation help too.",
        expect=Expect("with clipping the loss falls without jumps", "it jumps as before"),
        explains=("R16", "R19"),
    )
