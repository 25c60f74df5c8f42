"""R32: what the spec says of a model that cannot learn as much as its size promises: no activation, much dropout."""

import math
from typing import Any

from service.diagnosis import remedies
from service.diagnosis.finding import Expect, Finding, NoFinding, Outcome, evidence, observation
from service.diagnosis.progress import least_share, share_held, share_learned, trivial_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import tail_mean, trend_window

LINEAR = {"Linear", "Conv1d", "Conv2d", "Identity", "Flatten", "Unflatten", "AvgPool1d", "AvgPool2d",
          "AdaptiveAvgPool1d", "AdaptiveAvgPool2d"}  # fmt: skip
DROPOUT = ("dropout", "p")  # fields of a model, and of a layer of a sequential one


def limited_model(record: RunRecord) -> Outcome:
    """R32: layers without an activation between them are one linear layer; dropout hides most of what is known."""
    if record.plan.spec.dataset.facts.task == "objective":
        return NoFinding("there is no network.")
    found = _linear(record) or _dropped(record) or _narrow(record)
    return found or NoFinding("the model has activations, no layer is a bottleneck, and dropout hides little.")


def _linear(record: RunRecord) -> Finding | None:
    plan, came = record.plan, share_learned(record)
    if len(plan.weighted) < 2 or not {leaf.module for leaf in plan.leaves} <= LINEAR:
        return None
    if came is None or came > 1 - limit("any.learned_little"):
        return None
    patch = [remedies.replace("/model/activation", "relu")] if "activation" in plan.document["model"] else []
    return Finding(
        level="fault" if came < limit("any.learned_poorly") else "warning",
        verdict="pipeline_or_capacity",
        text=f"There is no activation between the {len(plan.weighted)} layers, so that together they are one linear "
        f"layer. {max(came, 0.0):.0%} of the way to the minimum is done.",
        confidence=0.85,
        steps=(1, max(1, record.step)),
        evidence=[
            observation("linear layers in a row", len(plan.weighted)),
            observation("share of the way", came, "the loss", "loss"),
        ],
        patch=patch,
        remedy="Put an activation, such as relu, after each hidden layer.",
        expect=Expect("the loss falls further", "it ends where it did: a linear model suffices"),
        rank=-1,
    )


def _narrow(record: RunRecord) -> Finding | None:
    """Return the note of a hidden layer so narrow that its numbers cannot tell the classes apart freely."""
    plan = record.plan
    hidden = {leaf.name: math.prod(leaf.out) for leaf in plan.leaves if leaf.name in plan.weighted[:-1] and leaf.out}
    layer = min(hidden, key=lambda name: hidden[name], default=None)
    needed = min(plan.classes - 1, math.prod(plan.spec.dataset.facts.shape))
    if layer is None or 2 * hidden[layer] > needed or plan.spec.dataset.facts.task == "language":
        return None
    units = f"{hidden[layer]} unit{'' if hidden[layer] == 1 else 's'}"
    return Finding(
        level="info",
        verdict="pipeline_or_capacity",
        text=f"The layer {layer} has {units}, through which all that is known of a row must pass to tell "
        f"{plan.classes} classes apart. Whether that limits this run, a wider layer would tell.",
        confidence=0.6,
        steps=(1, max(1, record.step)),
        evidence=[
            observation(f"outputs of {layer}", hidden[layer]),
            observation("independent numbers that the classes need", needed),
        ],
        remedy=f"Make {layer} wider.",
        expect=Expect("the loss ends lower", "it ends where it did"),
        probes=("learnability",),
        strong=False,
        rank=2,
    )


def largest_dropout(model: dict[str, Any]) -> tuple[float, str]:
    """Return the largest dropout probability of a model in a spec, and its place; 0 where there is none."""
    places = {"/model/dropout": model.get("dropout")}
    listed = model.get("layers")
    for at, layer in enumerate(listed if isinstance(listed, list) else ()):
        if str(layer.get("layer", "")).startswith("Dropout"):
            places[f"/model/layers/{at}/p"] = layer.get("p", 0.5)
    known = {place: float(value) for place, value in places.items() if isinstance(value, int | float)}
    place = max(known, key=lambda each: known[each], default="")
    return known.get(place, 0.0), place


def _dropped(record: RunRecord) -> Finding | None:
    """Return the finding for a loss that is far higher with dropout than without it, where little is learned."""
    share, place = largest_dropout(record.plan.document["model"])
    loss, held, trivial, came = record.get("loss"), record.get("val/loss"), trivial_loss(record), share_held(record)
    if share < limit("R32.dropout") or (came is not None and came > limit("R32.enough")):
        return None
    if share > limit("R32.most") and (least := least_share(record)) is not None and least < limit("R29.most"):
        return _nearly_all(record, share, place, least)
    if loss is None or held is None or trivial is None:
        return None
    now, without = tail_mean(loss, trend_window(record)).value, float(held.values[-1])
    if now - without < limit("R32.hidden") * trivial.value:
        return None
    return Finding(
        level="warning",
        verdict="dropout_too_strong",
        text=f"Dropout {share:g} hides most of what the model knows from its own training: the loss is {now:.4g} with "
        f"it, and {without:.4g} on validation rows without it.",
        confidence=0.8,
        steps=(1, max(1, record.step)),
        evidence=[
            evidence("dropout", share, ">", "R32.dropout"),
            evidence(
                "loss with dropout above that without",
                now - without,
                ">",
                "R32.hidden",
                series="loss",
                at=limit("R32.hidden") * trivial.value,
            ),
        ],
        patch=[remedies.replace(place, 0.1)],
        remedy="Use a dropout of 0.1 to 0.3, or none while the model underfits.",
        expect=Expect("both losses end lower", "the validation loss rises: the dropout was needed"),
        rank=-1,
    )


def _nearly_all(record: RunRecord, share: float, place: str, least: float) -> Finding:
    """Return the finding for a dropout that keeps so little that its noise outweighs what is learned."""
    return Finding(
        level="warning",
        verdict="dropout_too_strong",
        text=f"Dropout {share:g} keeps {1 - share:.2g} of the units and multiplies them by {1 / (1 - share):.2g}: the "
        f"updates are mostly its noise. {max(least, 0.0):.0%} of the way is done.",
        confidence=0.85,
        steps=(1, max(1, record.step)),
        evidence=[
            evidence("dropout", share, ">", "R32.most"),
            evidence("share of the way", least, "<", "R29.most", series="loss"),
        ],
        patch=[remedies.replace(place, 0.1)],
        remedy="Use a dropout of 0.1 to 0.3, or none while the model underfits.",
        expect=Expect("both losses end lower", "the validation loss rises: the dropout was needed"),
        rank=-1,
    )
