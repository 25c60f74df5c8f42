"""Which setting, or which part of the model, keeps a run from what was reached beside it.

A comparison says that the settings or the model are the cause; the spec and the series say which of them is far from
what is usual. They are asked in the order in which one causes the next, and the first that is far off is named.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from service.diagnosis import remedies
from service.diagnosis.finding import Evidence, evidence, observation
from service.diagnosis.rules.model_settings import largest_dropout
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median
from service.spec.group_assignment import assign_groups

USUAL_MOMENTUM = 0.9
SOUND_INITS = ("default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal", "zeros")


class Blame(NamedTuple):
    """What is named; an empty patch: what was tried beside the run."""

    verdict: str
    why: str
    confidence: float
    seen: Sequence[Evidence] = ()
    patch: remedies.Patch = []
    remedy: str = ""


def blamed_setting(record: RunRecord, same: Mapping[str, Any]) -> Blame:
    """Return the setting that differs most from what worked: `same` is the reading's entry of it."""
    return (
        frozen_blame(record)
        or schedule_blame(record)
        or decay_blame(record)
        or momentum_blame(record)
        or clip_blame(record)
        or delta_blame(record)
        or _eps(record)
        or layer_decay_blame(record)
        or _batch(record, same)
        or norm_blame(record)
        or _own_init(record)
        or sigmoids_blame(record)
        or _length(record, same)
        or _accumulator(record)
        or Blame(
            "optimizer_settings",
            "its optimizer, rate, schedule or regularisation keep it from learning, and none of them is far from what "
            "is usual.",
            0.7,
        )
    )


def frozen_blame(record: RunRecord) -> Blame | None:
    """Parameters that the run left as they were, and the training beside it did not."""
    layout = record.plan.spec.layout
    groups = [group for group in assign_groups(record.plan.spec) if group.optimizer is None] if layout else []
    names = [name for group in groups for name in group.names]
    if not names:
        return None
    seen = observation("frozen parameters", ", ".join(names[:3]))
    why = f"{len(names)} of its {len(layout or ())} tensors are frozen, among them {names[0]}."
    rules = [number for number, rule in enumerate(record.plan.spec.groups) if rule.freeze]
    patch: remedies.Patch = [{"op": "remove", "path": f"/groups/{number}"} for number in reversed(rules)]
    return Blame("setting_had_no_effect", why, 0.8, [seen], patch, "Unfreeze the layers that should train.")


def schedule_blame(record: RunRecord) -> Blame | None:
    """A mean rate far below the largest; half of it is usual."""
    rates = record.get("lr")
    if rates is None or float(rates.values.mean()) >= limit("R29.schedule") * float(rates.high.max()):
        return None
    share = float(rates.values.mean()) / float(rates.high.max())
    seen = evidence("mean over largest rate", share, "<", "R29.schedule", series="lr")
    return Blame("schedule_mismatch", "its schedule took the rate away before it had learned.", 0.85, [seen])


def decay_blame(record: RunRecord) -> Blame | None:
    """Decay that takes most of the weights within the run, or, as a part of the loss, outweighs the rest of it."""
    optimizer, rates = record.plan.document["optimizer"], record.get("lr")
    decay = float(optimizer.get("weight_decay") or 0.0)
    if rates is None or not decay:
        return None
    apart = optimizer["kind"] == "adamw" or optimizer.get("decoupled_weight_decay", False)
    foldings = decay * float(rates.values.mean()) * record.step
    if foldings > limit("R29.decayed"):
        seen = evidence("rate x decay x updates", foldings, ">", "R29.decayed", series="lr")
        within = record.step / foldings
        why = f"weight decay {decay:g} takes every weight to 1/e of its size within {within:.0f} updates."
    elif not apart and decay > limit("R29.penalty"):
        seen = evidence("weight decay", decay, ">", "R29.penalty")
        why = f"weight decay {decay:g} is part of the loss here, and outweighs what the data ask for."
    else:
        return None
    patch = [remedies.replace("/optimizer/weight_decay", 1e-4)]
    return Blame("weight_decay_too_strong", why, 0.85, [seen], patch, "Use a weight decay of 1e-4, or none.")


def momentum_of(record: RunRecord) -> tuple[float, str]:
    """Return the momentum, or first beta, and its place in the spec; 0 where there is none."""
    optimizer = record.plan.document["optimizer"]
    if "betas" in optimizer:
        return float(optimizer["betas"][0]), "/optimizer/betas/0"
    return float(optimizer.get("momentum") or 0.0), "/optimizer/momentum"


def momentum_blame(record: RunRecord) -> Blame | None:
    """Momentum that averages over so many updates that the run hardly turns within its length."""
    momentum, place = momentum_of(record)
    if momentum < limit("R29.momentum"):
        return None
    over = 1 / max(1 - momentum, 1e-9)
    seen = [
        evidence("momentum", momentum, ">", "R29.momentum"),
        observation("updates that it averages over", over, "1 / (1 - momentum)"),
    ]
    why = (
        f"momentum {momentum:g} goes on in the direction of the last {over:,.0f} updates, of {record.step} in all: "
        "the steps are as long as at a rate so many times higher."
    )
    patch = [remedies.replace(place, USUAL_MOMENTUM)]
    return Blame("lr_above_stability", why, 0.8, seen, patch, "Use momentum 0.9, at the same rate.")


def _eps(record: RunRecord) -> Blame | None:
    eps = record.plan.document["optimizer"].get("eps")
    if not isinstance(eps, float) or eps < limit("R29.eps") or not record.plan.second_moment:
        return None
    seen = evidence("eps", eps, ">", "R29.eps")
    why = f"eps {eps:g} is larger than most gradients, so that the updates shrink with them and nothing is adaptive."
    patch = [remedies.replace("/optimizer/eps", 1e-8)]
    return Blame("eps_dominated_parameters", why, 0.8, [seen], patch, "Set eps to 1e-8, the default.")


def clipped_share(record: RunRecord) -> float | None:
    """Return the clipping norm over the median gradient norm, where it is far below 1."""
    clip, norms = record.plan.spec.clip, record.get("grad_norm")
    if clip is None or clip.norm is None or norms is None:
        return None
    share = clip.norm / max(median(norms), 1e-30)
    return share if share < limit("R9.clipped") else None


def clip_blame(record: RunRecord) -> Blame | None:
    """A clipping norm far below the gradients', for an optimizer whose updates shrink with them."""
    share = clipped_share(record)
    if share is None or record.plan.spec.optimizer.rate_scaling != "shared":  # what divides by gradients undoes it
        return None
    seen = evidence("clip over median gradient norm", share, "<", "R9.clipped", series="grad_norm")
    why = f"clipping reduces its gradients to about {share:.1e} of their norm, and the updates with them."
    return Blame(
        "lr_too_small", why, 0.85, [seen], [remedies.replace("/clip", None)], "Do not clip, or at a higher norm."
    )


def delta_blame(record: RunRecord) -> Blame | None:
    """Huber's loss, whose gradient is at most delta: of nearly all rows, where that is far below their deviation."""
    delta, start = getattr(record.plan.spec.loss, "delta", None), record.reading("start")
    variance = None if start is None else start.number("target_variance")
    if delta is None or not variance or delta >= limit("R29.delta") * variance**0.5:
        return None
    seen = evidence("delta over the targets' deviation", delta / variance**0.5, "<", "R29.delta")
    why = f"delta {delta:g} cuts off nearly all gradients of a loss whose targets spread by {variance**0.5:.2g}."
    patch = [remedies.replace("/loss/delta", 1.0)]
    return Blame("lr_too_small", why, 0.8, [seen], patch, "Use a delta near the targets' deviation.")


def layer_decay_blame(record: RunRecord) -> Blame | None:
    """Layer-wise decay of the rate, which leaves the first layers next to none."""
    decay, layers = record.plan.spec.layer_decay, len(record.plan.weighted)
    left = 1.0 if decay is None else float(decay) ** max(layers - 1, 0)
    if left >= limit("R29.first_layer"):
        return None
    seen = evidence("rate of the first layer over the last one's", left, "<", "R29.first_layer")
    why = f"layer_decay {decay:g} leaves the first of {layers} layers {left:.1e} of the rate of the last."
    return Blame("lr_too_small", why, 0.8, [seen], [remedies.replace("/layer_decay", None)], "Leave out layer_decay.")


def _batch(record: RunRecord, same: Mapping[str, Any]) -> Blame | None:
    """The same rows in smaller batches gave far more updates."""
    if same["steps"] < limit("R29.updates") * record.step:
        return None
    rows = record.plan.spec.rows_per_step
    seen = evidence("updates of as many rows", same["steps"], ">", "R29.updates", at=limit("R29.updates") * record.step)
    why = f"its batches of {rows} rows leave {record.step} updates; smaller ones give more from as many rows."
    return Blame("too_few_updates", why, 0.8, [seen], [], "Use smaller batches, or train for more epochs.")


def norm_blame(record: RunRecord) -> Blame | None:
    """Batch normalisation over so few rows that each batch gives a row other values."""
    spec = record.plan.spec
    rows = spec.rows_per_step // spec.accumulate
    if not record.plan.normalises_batches or rows >= limit("R29.normed"):
        return None
    seen = evidence("rows normalised together", rows, "<", "R29.normed")
    why = f"batch normalisation over {rows} rows gives a row other values in every batch."
    patch = [remedies.replace("/batch_size", min(32, spec.dataset.counts[0]))] if spec.accumulate == 1 else []
    return Blame("bn_statistics", why, 0.8, [seen], patch, "Use batches of 32 rows, or a normalisation within rows.")


def _length(record: RunRecord, same: Mapping[str, Any]) -> Blame | None:
    """The updates are much shorter, or much longer, than those that worked."""
    ratio, sound, apart = record.get("update_ratio"), same.get("update_ratio"), limit("R29.apart")
    if ratio is None or not isinstance(sound, int | float) or sound <= 0:
        return None
    own, name = median(ratio), "median update over weight"
    if own < sound / apart:
        seen = evidence(name, own, "<", "R29.apart", series="update_ratio", at=sound / apart)
        return Blame("lr_too_small", f"its updates are {sound / max(own, 1e-30):.2g} times shorter.", 0.85, [seen])
    if own > sound * apart:
        seen = evidence(name, own, ">", "R29.apart", series="update_ratio", at=sound * apart)
        return Blame("lr_above_stability", f"its updates are {own / sound:.2g} times longer.", 0.8, [seen])
    return None


def _accumulator(record: RunRecord) -> Blame | None:
    if not record.plan.accumulates:
        return None
    why = "its optimizer divides by the sum of all squared gradients, which shortens its updates the longer it trains."
    return Blame("accumulator_exhausted", why, 0.75, [observation("/optimizer/kind", record.plan.spec.optimizer.kind)])


def blamed_part(record: RunRecord, sufficient: Mapping[str, Any] | None) -> Blame:
    """Return the part of the model that keeps it from learning; `sufficient` is a model of a spec that learned."""
    return _own_init(record) or _dropout(record) or sigmoids_blame(record) or _capacity(record, sufficient)


def _own_init(record: RunRecord) -> Blame | None:
    """Both trainings started from the initialisation of the spec, which is not a usual one."""
    inits = [*record.plan.inits, *(rule.init for rule in record.plan.spec.inits)]
    odd = [init.kind for init in inits if init.kind not in SOUND_INITS]
    patch = remedies.use_default_init(record.plan)
    if not odd or not patch:
        return None
    seen = observation("initialisation", ", ".join(dict.fromkeys(odd)))
    why = "both started from the spec's own initialisation, which can be the cause; else it is the rate or the model."
    return Blame(
        "bad_init_or_scale", why, 0.65, [seen], patch, "Use the default initialisation; it tells the two apart."
    )


def _dropout(record: RunRecord) -> Blame | None:
    share, place = largest_dropout(record.plan.document["model"])
    if share < limit("R32.dropout"):
        return None
    seen = evidence("dropout", share, ">", "R32.dropout")
    why = f"dropout {share:g} hides most of its units in every update."
    return Blame("dropout_too_strong", why, 0.8, [seen], [remedies.replace(place, 0.1)], "Use a dropout of 0.1.")


def sigmoids_blame(record: RunRecord) -> Blame | None:
    """Many bounded units one after the other, each of which passes a quarter of the gradient or less."""
    layers = sum(leaf.module in ("Sigmoid", "Hardsigmoid") for leaf in record.plan.leaves)
    if layers < limit("R29.squashed"):
        return None
    seen = evidence("layers of sigmoids", layers, ">", "R29.squashed")
    why = (
        f"each of its {layers} layers of sigmoids passes a quarter of the gradient at most, so the first hardly learn."
    )
    patch = [*remedies.replace_activation(record.plan, "relu")]
    return Blame("vanishing_gradient", why, 0.8, [seen], patch, "Use relu or gelu in the hidden layers.")


def _capacity(record: RunRecord, sufficient: Mapping[str, Any] | None) -> Blame:
    narrow, units = narrowest(record)
    at = f" Its narrowest layer, {narrow}, has {units} unit{'s' if units != 1 else ''}." if narrow else ""
    patch = [remedies.replace("/model", dict(sufficient))] if sufficient else []
    remedy = "Use a larger model, or one of another kind; look at the narrowest layer and at what pooling discards."
    why = f"the model is too small, or of the wrong kind, for these data.{at}"
    return Blame("pipeline_or_capacity", why, 0.85, [], patch, remedy)


def narrowest(record: RunRecord) -> tuple[str, int]:
    """Return the hidden layer with the fewest units, or channels, and their number; an empty name: there is none."""
    plan = record.plan
    widths = {leaf.name: leaf.out[0] for leaf in plan.leaves if leaf.name in plan.weighted[:-1] and leaf.out}
    name = min(widths, key=lambda each: widths[each], default="")
    return name, widths.get(name, 0)
