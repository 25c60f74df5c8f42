"""What causes what: for each verdict, the observations that it can bring about, what it blames, and its doubles.

A rule observes; its verdict names a cause. This table is the only place that says which rule's finding another finding
explains. Rules are named by their ids, as in `rules/registry.py`.
"""

from typing import Literal, NamedTuple

Blames = Literal[
    "labels", "parts", "model", "settings", ""
]  # what trainings beside the run can tell apart; "": none of these

STUCK = ("R3", "R7", "R9", "R10")  # the loss is at the trivial value, bounces, creeps, or is on a plateau
UNITS = ("R11", "R13", "R14")  # vanishing gradients, dead units, saturation
ROUGH = ("R6", "R12", "R19")  # the loss rises, gradients explode, the start is unstable
RATES = ("R16", "R17", "R25")  # what adaptive rates and tiny updates show
HELD = ("R21", "R27")  # the validation part: overfitting, equal rows
EARLY = ("R33",)  # the run ended while its loss fell
BESIDE = ("R29", "R36")  # less than other trainings reached, or than its settings allow
OVERFLOW = ("nonfinite:overflow", "nonfinite:log0", "nonfinite:input")  # half precision overflows by itself
ALL = (*STUCK, *UNITS, *ROUGH, *RATES, "R21", "R23")


class Cause(NamedTuple):
    """A verdict as a cause."""

    explains: tuple[str, ...] = ()  # rules, or verdicts, whose findings it brings about
    blames: Blames = ""


CAUSES = {
    # the rows
    "nonfinite:input": Cause(ALL),
    "constant_features": Cause(("R17", "R27", *BESIDE)),
    "validation_shift": Cause(("R3", "R4", *HELD, "R26", *BESIDE), "parts"),
    "leakage": Cause(("R3", "R4", *HELD, "R26", *BESIDE)),
    "labels_unrelated": Cause((*STUCK, *UNITS, "R2", "R6", "R12", "R17", *HELD), "labels"),
    "ill_conditioned_inputs": Cause((*OVERFLOW, "R2", "R3", "R7", "R9", *UNITS, *ROUGH, "R21", "R26", *BESIDE)),
    "rows_not_shuffled": Cause(("R3", "R6", "R7", "R12", "R13", "R21", *BESIDE, *EARLY)),
    "equal_rows": Cause(),
    # the model, its start and its loss
    "bad_init_or_scale": Cause((*OVERFLOW, *ALL, *EARLY)),
    "zero_or_symmetric_init": Cause((*STUCK, *UNITS, "R17", *BESIDE)),
    "softmax_applied_twice": Cause(("R2", *STUCK, "R11", "R14"), "model"),
    "saturated_output": Cause(("R2", *STUCK, "R11", "R13", "R17"), "model"),
    "pipeline_or_capacity": Cause(("R3", "R6", "R7", *BESIDE, *EARLY), "model"),
    "dropout_too_strong": Cause((*OVERFLOW, "R3", "R9", "R11", "R13", *ROUGH, *BESIDE, *EARLY), "model"),
    "bn_statistics": Cause(("R3", "R6", "R7", "R9", "R11", "R12", "R13", "R21", "R25")),
    "setting_had_no_effect": Cause((*STUCK, "R6", "R11", *BESIDE, *EARLY), "settings"),
    # the optimizer and its schedule
    "nonfinite:overflow": Cause(ALL),
    "nonfinite:amp": Cause(ALL),
    "nonfinite:log0": Cause(ALL),
    "lr_above_stability": Cause((*STUCK, *UNITS, *ROUGH, "R16", "R17", "R21", "R23", *EARLY), "settings"),
    "outlier_gradient": Cause((*STUCK, *UNITS, *ROUGH, "R16", "R17", "R21", "R23", *EARLY), "settings"),
    "exploding_gradient": Cause(("R16", "R19"), "settings"),
    "needs_warmup": Cause((), "settings"),
    "weight_decay_too_strong": Cause((*STUCK, *UNITS, "R17", *EARLY), "settings"),
    "schedule_mismatch": Cause((*STUCK, "R25", *BESIDE, *EARLY), "settings"),
    "accumulator_exhausted": Cause(("R3", "R9", "R17", *EARLY), "settings"),
    "eps_dominated_parameters": Cause(("R3", "R9", *EARLY), "settings"),
    "update_underflow": Cause(("R3", "R9"), "settings"),
    "lr_too_small": Cause(("R3", "R10", "R11", "R14", "R17", "R25", *EARLY), "settings"),
    "bouncing_not_critical": Cause(("R8", "R9", "R10"), "settings"),
    "stale_second_moment": Cause(("R17",), "settings"),
    "noise_dominated": Cause((), "settings"),
    "optimizer_settings": Cause((), "settings"),
    # units and curvature
    "dead": Cause((*STUCK, *UNITS, "R17", *BESIDE)),
    "dying_relu": Cause((*STUCK, "R11", "R17")),
    "vanishing_gradient": Cause(("R3", "R9", "R10", "R14", *EARLY), "model"),
    "strict_saddle": Cause(("R3", "R7", "R9", "R11")),
    "minimum": Cause(("R9", "R17", "R25")),
}


APART = {  # pairs that a record can hardly tell apart, and the cheapest experiment that does
    ("lr_above_stability", "needs_warmup"): "warm up over a tenth of the run; if the loss rises at the full rate, the "
    "rate is too high throughout",
    ("lr_above_stability", "exploding_gradient"): "clip gradients at their median norm, at the same rate; if that is "
    "enough, single batches were the cause",
    ("lr_above_stability", "dying_relu"): "use leaky_relu at the same rate; if the loss still does not fall, the rate "
    "is too high",
    ("lr_above_stability", "bad_init_or_scale"): "use the default initialisation and scaled rows at the same rate; if "
    "that is enough, the rate was not the cause",
    ("lr_above_stability", "labels_unrelated"): "train at a tenth of the rate; unrelated labels are not learned at any",
    ("lr_too_small", "too_few_updates"): "use three times the rate at the same length; if that reaches as much as a "
    "longer run, the rate was too low",
    ("lr_too_small", "vanishing_gradient"): "use ten times the rate; if the first layer's gradient stays as small, the "
    "gradients vanish",
    ("pipeline_or_capacity", "labels_unrelated"): "run the probe learnability: a model that is large enough learns "
    "labels that belong to the rows",
    ("pipeline_or_capacity", "dropout_too_strong"): "leave dropout out, with the same model",
    ("overfitting", "validation_shift"): "draw both parts at random from the same rows; overfitting stays",
    ("overfitting", "labels_unrelated"): "run the probe learnability: its control trains on shuffled targets",
    ("dying_relu", "bad_init_or_scale"): "use the default initialisation; units that still die do so by the rate",
    ("too_few_updates", "optimizer_settings"): "train three times as long with the same settings",
    ("saturated_output", "vanishing_gradient"): "use relu in the hidden layers and leave the last layer as it is",
}


def separating(verdict: str, other: str) -> str | None:
    """Return the experiment that tells two verdicts apart; None for a pair that is not alike."""
    return APART.get((verdict, other)) or APART.get((other, verdict))


def cause(verdict: str) -> Cause:
    """Return a verdict's entry; one that is not in the table explains nothing and blames nothing."""
    return CAUSES.get(verdict, Cause())
