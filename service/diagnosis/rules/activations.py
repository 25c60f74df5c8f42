"""R13, R14: units that give 0 for every row, and outputs pressed against their limits."""

from service.analysis.recorded import Series
from service.diagnosis import remedies
from service.diagnosis.facts import Facts
from service.diagnosis.finding import Clear, Expect, Found, Outcome, Unknown, early, evidence, fact, missing
from service.diagnosis.progress import learned, trivial
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, tail, window


def dead(facts: Facts) -> Outcome:
    """R13: most units of a layer are silent on whole batches."""
    if facts.plan.leaves and not facts.plan.has_relu:
        return Clear("no unit of this model can fall silent.")
    w, shares = window(facts), facts.layers("dead_share")
    if not shares:
        return missing("dead_share/<layer>")
    if facts.step < w:
        return early(facts, w)
    if facts.plan.spec.rows_per_step < limit("R13.rows"):
        return Unknown(f"a batch of {facts.plan.spec.rows_per_step} rows says little of a unit.")
    late = {path: median(curve, max(w, facts.step // 5)) for path, curve in shares.items()}
    worst = max(late, key=lambda path: late[path])
    if late[worst] <= limit("R13.dead"):
        return Clear(f"at most {late[worst]:.0%} of a layer's units are silent.")
    share = learned(facts)
    poor = share is None or share < limit("any.learned_poorly")
    curve = shares[worst]
    at_start = float(curve.values[0]) > limit("R13.dead")
    patch = remedies.activation(facts.plan, "leaky_relu")
    if not at_start:
        patch = [*patch, *remedies.rate(facts.plan, 0.1)]
    elif facts.plan.document["model"].get("init", {}).get("kind", "default") != "default":
        patch = [*patch, *remedies.default_init()]
    steps = (int(curve.steps[0]), int(curve.steps[-1]))
    closed = poor and late[worst] > limit("R13.closed") and not facts.plan.starts_alike  # nothing passes the layer
    return Found(
        level="fault" if poor and late[worst] > limit("R13.most") else "warning",
        verdict="dying_relu",
        text=f"{late[worst]:.0%} of the units of {worst} are 0 for every row of a batch"
        + (", from the start on." if at_start else ": they died as the training went on."),
        confidence=0.9 if poor else 0.6,
        steps=steps,
        evidence=[
            evidence(
                f"silent units of {worst}", late[worst], ">", "R13.dead", series=f"dead_share/{worst}", steps=steps
            ),
            fact("silent at first", float(curve.values[0]), "recorded", f"dead_share/{worst}"),
        ],
        patch=patch,
        remedy="Take leaky_relu" + (" and a usual initialisation." if at_start else " and a lower rate."),
        expect=Expect("units stay alive and the loss falls", "units live and the loss stays"),
        explains=("R3", "R11", "R17", *(("R7", "R9", "R10") if closed else ())),
        rank=-1 if closed else 0,
    )


def saturated(facts: Facts) -> Outcome:
    """R14: squashed values lie at their limits, where no gradient passes, while the loss is high."""
    plan, w, share = facts.plan, window(facts), learned(facts)
    if facts.step < w:
        return early(facts, w)
    layers = facts.layers("saturated_share")
    late = {path: median(curve, max(w, facts.step // 5)) for path, curve in layers.items()}
    over = {path: value for path, value in late.items() if value > limit("R14.saturated")}
    if share is not None and share > limit("any.learned_poorly"):
        return Clear(f"{share:.0%} of the way to the least loss is done.")
    if plan.loss == "softmax_mse" and (found := _flat_softmax(facts)) is not None:
        return found
    if not layers:
        return missing("saturated_share/<layer>") if plan.squashes or not plan.leaves else Clear("nothing is squashed.")
    if not over:
        return Clear("no layer has most of its values at their limits.")
    worst = max(over, key=lambda path: over[path])
    curve = layers[worst]
    return Found(
        level="fault" if share is not None else "warning",
        verdict="saturated_output",
        text=f"{over[worst]:.0%} of the outputs of {worst} lie within 1 % of their limits, where no gradient passes.",
        confidence=0.8,
        steps=_span(curve),
        evidence=[
            evidence(
                f"outputs of {worst} at their limits",
                over[worst],
                ">",
                "R14.saturated",
                series=f"saturated_share/{worst}",
                steps=_span(curve),
            )
        ],
        patch=_unsaturated(facts),
        remedy="Scale the features, initialise smaller, or take relu.",
        expect=Expect("fewer values lie at their limits and the loss falls", "the loss stays"),
        explains=("R3", "R9", "R10", "R11"),
    )


def _unsaturated(facts: Facts) -> remedies.Patch:
    plan = facts.plan
    patch = remedies.standardised(plan)
    if plan.document["model"].get("init", {}).get("kind", "default") != "default":
        patch = [*patch, *remedies.default_init()]
    return patch or remedies.activation(plan, "relu")


def _flat_softmax(facts: Facts) -> Found | None:
    """Squared error of probabilities, which is flat where the answer is wrong with certainty."""
    loss, reference, share = facts.get("loss"), trivial(facts), learned(facts)
    if loss is None or reference is None or share is None:
        return None
    now = tail(loss, window(facts))
    return Found(
        level="fault",
        verdict="saturated_output",
        text=f"The squared error of probabilities is flat where the model is wrong and sure of it: "
        f"after {facts.step} steps it is {now.value:.3g}.",
        confidence=0.85,
        steps=now.steps,
        evidence=[
            fact("/loss/kind", facts.plan.loss),
            evidence("share of the way learned", share, "<", "any.learned_poorly", series="loss", steps=now.steps),
        ],
        patch=remedies.part("loss", {"kind": "cross_entropy"}),
        remedy="Take cross_entropy, whose gradient stays large where the answer is wrong.",
        expect=Expect("cross_entropy leaves the plateau at once", "it stays too"),
        explains=("R2", "R3", "R9", "R10", "R11"),
    )


def _span(curve: Series) -> tuple[int, int]:
    return int(curve.steps[0]), int(curve.steps[-1])
