"""Each rule against a drawn run that must set it off and one that nearly does."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from service import diagnosis
from service.analysis.run_data import Reading, Series
from service.diagnosis.finding import Finding, Inconclusive, NoFinding
from service.diagnosis.rules.registry import RULES
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import TABLE
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.json_patch import apply_patch

from .drawn_runs import AT, FIRST, LAST, LN10, STEPS, beside, drawn, evaluated, falling, flat, noise, reading, seeds

BY_ID = {rule.id: rule for rule in RULES}
ADAM = {"optimizer": {"kind": "adam", "lr": 1e-3}}
COARSE = {"optimizer": {"kind": "adam", "lr": 1e-3, "eps": 1.0}}
DEEP_SIGMOID = {"model": {"kind": "mlp", "hidden": [16, 16, 16], "activation": "sigmoid"}}
ENDS_IN_SIGMOID = {
    "model": {
        "kind": "sequential",
        "layers": [{"layer": "Flatten"}, {"layer": "Linear", "out_features": 10}, {"layer": "Sigmoid"}],
    }
}
WIDE = {"model": {"kind": "mlp", "hidden": [32], "init": {"kind": "normal", "std": 1.0}}}
ZEROS = {"model": {"kind": "mlp", "hidden": [32], "init": {"kind": "zeros"}}}
CLIPPED = {"clip": {"norm": 1e-4}}
LAYERS = [{"layer": "Flatten"}, {"layer": "Linear", "out_features": 10}]
ENDINGS = {"once": [{"layer": "LogSoftmax"}], "twice": [{"layer": "Softmax"}, {"layer": "LogSoftmax"}]}
ONCE, TWICE = (
    {"model": {"kind": "sequential", "layers": [*LAYERS, *end]}, "loss": {"kind": "nll"}} for end in ENDINGS.values()
)
RAW = {"dataset": {"kind": "diabetes", "target_scaling": "none"}, "loss": {"kind": "mse"}}
UNSCALED = {"dataset": {"kind": "wine", "scaling": "none"}, "batch_size": 16}
FULL = {"batch_size": "full"}
BATCH_NORM = {"model": {"kind": "mlp", "hidden": [32], "norm": "batch"}, "batch_size": 4}
RAW_START = reading("start", 0, trivial_loss=5900, initial_loss=29_000, target_variance=5900)
SCALED_START = reading("start", 0, trivial_loss=1.0, initial_loss=1.1)
TARGETS = reading("start", 0, target_mean=0.0, target_variance=1.0, trivial_loss=1.0, initial_loss=1.0)
FAR_TARGETS = reading("start", 0, target_variance=1.0, target_deviation=0.07, trivial_loss=1.0, initial_loss=1.0)
ESCAPE = {"measured_drop": 0.4}
SADDLE = reading("critical_point", verdict="strict_saddle", lambda_min=-0.3, nearness={"loss": 2.0}, escape=ESCAPE)
SADDLE_BEFORE = reading("critical_point", 400, verdict="strict_saddle", lambda_min=-0.3)
FROZEN = {"groups": [{"match": {"name": each}, "freeze": True} for each in ("layers.0.*", "*.bias")]}
FLAT = flat(LN10, 0.005)
SHORT = {"batch_size": 2}  # 1,000 batches of 1,438 rows: 1.4 epochs
DECAYED = {"optimizer": {"kind": "sgd", "lr": 0.1, "weight_decay": 0.5}}
OUTPUT = [{"layer": "Linear", "out_features": 1}, {"layer": "ReLU"}]
ENDS_IN_RELU = {
    "dataset": {"kind": "friedman1"},
    "model": {
        "kind": "sequential",
        "layers": [{"layer": "Linear", "out_features": 8}, {"layer": "ReLU"}, *OUTPUT],
    },
    "loss": {"kind": "mse"},
}
GAUSSIAN = {"dataset": {"kind": "diabetes", "target_scaling": "none"}, "loss": {"kind": "gaussian_nll"}}
OBJECTIVE = {
    "batch_size": "full",
    "dataset": {"kind": "none"},
    "model": {"kind": "rastrigin"},
    "loss": {"kind": "objective"},
}
SADDLE_START = {**OBJECTIVE, "model": {"kind": "monkey_saddle"}}
REGRESSION = {"dataset": {"kind": "friedman1"}, "loss": {"kind": "mse"}}
NEAR_ZERO = {"model": {"kind": "mlp", "hidden": [32], "init": {"kind": "normal", "std": 1e-5}}}
LONG_MEMORY = {"optimizer": {"kind": "sgd", "lr": 0.01, "momentum": 0.99}}
SIXTH = {"schedule": {"kind": "inverse_time", "decay_rate": 0.02, "decay_steps": 1}}
WIDE_TARGETS = {"trivial_loss": 5900.0, "initial_loss": 5910.0, "target_variance": 5900.0}
PLATEAU = {"schedule": {"kind": "plateau"}}
HIGH = {"optimizer": {"kind": "adam", "lr": 3.0}}
EARLY_PEAK = falling() + 12 * np.exp(-(((AT - 20) / 10.0) ** 2))
TO_AND_FRO = flat(1.0, 0.001)
JUMP = np.where((AT > 700) & (AT < 705), 40.0, falling(0.05, time=50))


def climbing() -> RunRecord:
    return drawn(np.where(AT < 300, falling(), 0.2 * np.exp((AT - 300) / 100)))


def broken(at: int, loss: object) -> RunRecord:
    values = np.asarray(loss, dtype=np.float64).copy()[:at]
    values[-1] = np.nan
    return drawn(values, state="failed", step=at, failure={"code": "diverged", "step": at})


def norms(first: float, last: float) -> dict[str, object]:
    return {f"grad_norm/{FIRST}": flat(first), f"grad_norm/{LAST}": flat(last), "grad_norm": flat(max(first, last))}


@dataclass(frozen=True)
class Case:
    """`hit` sets the rule off with this verdict and level; `miss` nearly does."""

    rule: str
    verdict: str
    level: str
    hit: Callable[[], RunRecord]
    miss: Callable[[], RunRecord]


def going_on(loss: object, origin: int = 500, total: int = 2000) -> RunRecord:
    """From another run's checkpoint."""
    values = np.asarray(loss, dtype=np.float64)
    at = np.arange(origin + 1, origin + 1 + len(values))
    record = drawn(None, {"steps": total}, step=int(at[-1]), state="succeeded")
    return replace(record, origin=origin, series={"loss": Series.exact(at, values)})


def equal_rows(**parts: tuple[int | None, int]) -> list[Reading]:
    """A reading of the start that counted equal rows of each part, and all of them."""
    counted = {f"equal_{name}_rows": equal for name, (equal, _) in parts.items()}
    return reading("start", 0, **counted, **{f"{name}_rows": rows for name, (_, rows) in parts.items()})


CASES = [
    Case("R1", "nonfinite:overflow", "fault", lambda: broken(400, 1.01**AT), lambda: drawn(1.001**AT)),
    Case("R1", "nonfinite:input", "fault", lambda: broken(1, [2.0]), drawn),
    Case(
        "R2",
        "bad_init_or_scale",
        "fault",
        lambda: drawn(flat(9.0), ZEROS),
        lambda: drawn(falling(start=LN10 * 1.25)),
    ),
    Case(
        "R2",
        "bad_init_or_scale",
        "fault",
        lambda: drawn(flat(25_000.0), RAW, readings=RAW_START),
        lambda: drawn(flat(1.0), {**RAW, "dataset": {"kind": "diabetes"}}, readings=SCALED_START),
    ),
    Case("R2", "bad_init_or_scale", "warning", lambda: drawn(falling(start=9.0), WIDE), drawn),
    Case(  # against equal guesses, not the class prior
        "R2",
        "bad_init_or_scale",
        "warning",
        lambda: drawn(None, WIDE, readings=reading("start", 0, initial_loss=3.1, uniform_loss=LN10, trivial_loss=1.2)),
        lambda: drawn(None, WIDE, readings=reading("start", 0, initial_loss=2.6, uniform_loss=LN10, trivial_loss=1.2)),
    ),
    Case(
        "R2",
        "bad_init_or_scale",
        "fault",
        lambda: drawn(flat(25_000.0), GAUSSIAN, readings=RAW_START),
        lambda: drawn(flat(1.0), {**GAUSSIAN, "dataset": {"kind": "diabetes"}}, readings=SCALED_START),
    ),
    Case(
        "R3",
        "zero_or_symmetric_init",
        "fault",
        lambda: drawn(FLAT, ZEROS, series=norms(0.0, 0.05)),
        lambda: drawn(flat(LN10 * 0.97, 0.005), series=norms(0.1, 0.1)),
    ),
    Case(
        "R3",
        "dead",
        "fault",
        lambda: drawn(FLAT, series=norms(0.0, 0.05)),
        lambda: drawn(np.where(AT < 180, FLAT, falling())),
    ),
    Case("R3", "labels_unrelated", "warning", lambda: drawn(FLAT, series=norms(0.1, 0.1)), lambda: drawn(FLAT[:150])),
    Case(
        "R3",
        "labels_unrelated",
        "fault",
        lambda: drawn(FLAT, readings=reading("start", 0, features=64, constant_features=64, trivial_loss=LN10)),
        lambda: drawn(readings=reading("start", 0, features=64, constant_features=63, trivial_loss=LN10)),
    ),
    Case(  # 2 epochs, and nothing of the other part
        "R3",
        "validation_shift",
        "warning",
        lambda: drawn(falling(0.5), SHORT, series={"val/loss": evaluated(np.linspace(2.3, 4, 20))}),
        lambda: drawn(falling(0.5), SHORT, series={"val/loss": evaluated(np.linspace(2.2, 4, 20))}),
    ),
    Case(
        "R3",
        "weight_decay_too_strong",
        "fault",
        lambda: drawn(FLAT, DECAYED, series=norms(0.1, 0.1)),
        lambda: drawn(falling(), DECAYED, series=norms(0.1, 0.1)),
    ),
    Case(
        "R3",
        "labels_unrelated",
        "fault",
        lambda: drawn(
            falling(0.5), series={"val/loss": evaluated(np.linspace(2.3, 4, 20)), "val/accuracy": evaluated([0.1] * 20)}
        ),
        lambda: drawn(falling(0.5), series={"val/loss": evaluated(np.linspace(2.2, 4, 20))}),
    ),
    Case(
        "R4",
        "pipeline_or_capacity",
        "fault",
        lambda: drawn(readings=reading("overfit_batch", share=0.5)),
        lambda: drawn(readings=reading("overfit_batch", share=0.08)),
    ),
    Case("R5", "softmax_applied_twice", "fault", lambda: drawn(falling(1.6), ENDS_IN_SIGMOID), drawn),
    Case("R6", "lr_above_stability", "fault", climbing, lambda: drawn(falling(1e-4, time=80) * np.exp(noise(1.0)))),
    Case(
        "R6",
        "lr_above_stability",
        "fault",
        lambda: drawn(np.concatenate([[2.3, 40, 90], flat(3.2, 0.2)[3:]])),
        lambda: drawn(flat(LN10 * 1.1, 0.3)),
    ),
    Case(
        "R6",
        "outlier_gradient",
        "fault",
        lambda: drawn(
            np.where(AT < 800, falling(), 3.0), series={"grad_norm": np.where((AT > 795) & (AT < 800), 500.0, 1.0)}
        ),
        lambda: drawn(JUMP, series={"grad_norm": np.where((AT > 700) & (AT < 705), 500.0, 1.0)}),
    ),
    Case(  # the loss climbs out of a good start and every gradient with it: no few batches did that
        "R6",
        "lr_above_stability",
        "fault",
        lambda: drawn(
            np.where(AT < 100, falling(), 2.3 * 1.02 ** (AT - 100)),
            series={"grad_norm": np.where(AT < 100, 1.0, 1.02 ** (AT - 100))},
        ),
        lambda: drawn(falling(), series={"grad_norm": flat(1.0)}),
    ),
    Case(  # a few targets are far from all others
        "R6",
        "outlier_gradient",
        "fault",
        lambda: drawn(np.where(AT % 40 == 5, 20.0, flat(1.0, 0.1)), REGRESSION, readings=FAR_TARGETS),
        lambda: drawn(flat(1.0, 0.1), REGRESSION, readings=FAR_TARGETS),
    ),
    Case(
        "R7",
        "bouncing_not_critical",
        "fault",
        lambda: drawn(flat(1.5, 0.001), FULL, series={"cosine/gradient": flat(-0.9), "grad_norm": flat(3.0)}),
        lambda: drawn(
            np.linspace(2.3, 1.0, STEPS), FULL, series={"cosine/gradient": flat(-0.9), "grad_norm": flat(3.0)}
        ),
    ),
    Case(
        "R8",
        "edge_of_stability",
        "info",
        lambda: drawn(np.linspace(2.3, 0.3, STEPS), FULL, series={"sharpness/ratio": flat(1.02)}),
        lambda: drawn(np.linspace(2.3, 0.3, STEPS), FULL, series={"sharpness/ratio": flat(0.6)}),
    ),
    Case(
        "R9",
        "lr_too_small",
        "fault",
        lambda: drawn(np.linspace(2.3, 2.25, STEPS), series={"update_ratio": flat(3e-6)}),
        lambda: drawn(np.linspace(2.3, 2.25, STEPS), series={"update_ratio": flat(6e-5)}),
    ),
    Case(
        "R10",
        "strict_saddle",
        "fault",
        lambda: drawn(flat(2.0), FULL, readings=SADDLE),
        lambda: drawn(np.where(AT < 500, 2.0, 0.4), FULL, readings=SADDLE_BEFORE),
    ),
    Case(
        "R10",
        "minimum",
        "info",
        lambda: drawn(flat(0.2), FULL, readings=reading("critical_point", verdict="minimum")),
        lambda: drawn(readings=reading("critical_point", verdict="not_critical")),
    ),
    Case(  # the gradient falls with the loss, which comes to rest above 0
        "R10",
        "minimum",
        "info",
        lambda: drawn(12 + 3 * np.exp(-AT / 10), OBJECTIVE, series={"grad_norm": 50 * np.exp(-AT / 10) + 1e-5}),
        lambda: drawn(12 + 3 * np.exp(-AT / 10), OBJECTIVE, series={"grad_norm": 50 * np.exp(-AT / 10) + 1}),
    ),
    Case(
        "R10",
        "flat",
        "warning",
        lambda: drawn(-1e-9 * AT, SADDLE_START, series={"grad_norm": flat(6e-6), "cosine/gradient": flat(1.0)}),
        lambda: drawn(-1e-9 * AT, SADDLE_START, series={"grad_norm": flat(6e-3), "cosine/gradient": flat(1.0)}),
    ),
    Case(
        "R11",
        "vanishing_gradient",
        "fault",
        lambda: drawn(FLAT, DEEP_SIGMOID, series={"grad_norm/layers.0": flat(1e-7), "grad_norm/layers.6": flat(0.1)}),
        lambda: drawn(FLAT, DEEP_SIGMOID, series={"grad_norm/layers.0": flat(5e-4), "grad_norm/layers.6": flat(0.1)}),
    ),
    Case(
        "R12",
        "exploding_gradient",
        "fault",
        lambda: drawn(flat(2.0, 0.3), series={"grad_norm": np.where(AT % 100 == 0, 900.0, 1.0)}),
        lambda: drawn(flat(2.0, 0.3), series={"grad_norm": np.where(AT % 100 == 0, 40.0, 1.0)}),
    ),
    Case(  # large at the start, then as small as a converged run's
        "R12",
        "exploding_gradient",
        "fault",
        lambda: drawn(np.linspace(2.3, 2.9, STEPS), series={"grad_norm": 500 * np.exp(-AT / 10) + 0.1}),
        lambda: drawn(falling(1.5), series={"grad_norm": 500 * np.exp(-AT / 10) + 0.1}),
    ),
    Case(
        "R13",
        "dying_relu",
        "fault",
        lambda: drawn(flat(2.0, 0.1), series={"dead_share/layers.1": np.minimum(0.95, AT / 300)}),
        lambda: drawn(flat(2.0, 0.1), series={"dead_share/layers.1": flat(0.4)}),
    ),
    Case(
        "R14",
        "saturated_output",
        "fault",
        lambda: drawn(flat(2.0, 0.1), DEEP_SIGMOID, series={"saturated_share/layers.1": flat(0.8)}),
        lambda: drawn(falling(), DEEP_SIGMOID, series={"saturated_share/layers.1": flat(0.8)}),
    ),
    Case(
        "R14",
        "saturated_output",
        "fault",
        lambda: drawn(flat(1.2, 0.05), {"loss": {"kind": "softmax_mse"}}),
        lambda: drawn(falling(0.05, 0.9), {"loss": {"kind": "softmax_mse"}}),
    ),
    Case(
        "R14",
        "saturated_output",
        "fault",
        lambda: drawn(flat(0.6, 0.02), ENDS_IN_RELU, readings=TARGETS),
        lambda: drawn(flat(0.5, 0.02), ENDS_IN_RELU, readings=reading("start", 0, target_mean=5, target_variance=1.0)),
    ),
    Case(
        "R15",
        "ill_conditioned_inputs",
        "fault",
        lambda: drawn(flat(1.0), UNSCALED, readings=reading("start", 0, feature_std_ratio=2500.0)),
        lambda: drawn(flat(1.0), UNSCALED, readings=reading("start", 0, feature_std_ratio=80.0)),
    ),
    Case(
        "R16",
        "stale_second_moment",
        "warning",
        lambda: drawn(JUMP, ADAM, series={"sharpness/ratio": np.where(abs(AT - 702) < 10, 2.5, 0.5)}),
        lambda: drawn(falling(0.05, time=50), ADAM, series={"sharpness/ratio": flat(2.5)}),
    ),
    Case(
        "R17",
        "eps_dominated_parameters",
        "info",
        lambda: drawn(FLAT, ADAM, series={"rate/q50": flat(1e-2), "rate/q99": flat(50.0), "rate/unused": flat(0.0)}),
        lambda: drawn(FLAT, ADAM, series={"rate/q50": flat(1e-2), "rate/q99": flat(5.0), "rate/unused": flat(0.005)}),
    ),
    Case(  # rates differ wherever gradients do: of a run that learns it is nothing to act on
        "R17",
        "eps_dominated_parameters",
        "info",
        lambda: drawn(FLAT, ADAM, series={"rate/q50": flat(1e-2), "rate/q99": flat(50.0), "rate/unused": flat(0.0)}),
        lambda: drawn(None, ADAM, series={"rate/q50": flat(1e-2), "rate/q99": flat(50.0), "rate/unused": flat(0.0)}),
    ),
    Case(
        "R17",
        "eps_dominated_parameters",
        "fault",
        lambda: drawn(flat(1.8), COARSE, series={"rate/q50": flat(9e-4), "rate/q99": flat(1e-3)}),
        lambda: drawn(flat(1.8), COARSE, series={"rate/q50": flat(3e-4), "rate/q99": flat(1e-3)}),
    ),
    Case(
        "R18",
        "accumulator_exhausted",
        "fault",
        lambda: drawn(np.linspace(2.3, 2.0, STEPS), {"optimizer": {"kind": "adagrad"}}, series={"rate/q50": 0.1 / AT}),
        lambda: drawn(
            np.linspace(2.3, 2.0, STEPS), {"optimizer": {"kind": "adagrad"}}, series={"rate/q50": 0.1 / np.sqrt(AT)}
        ),
    ),
    Case(
        "R19",
        "needs_warmup",
        "warning",
        lambda: drawn(falling() + 12 * np.exp(-(((AT - 20) / 10.0) ** 2))),
        lambda: drawn(falling() + 1 * np.exp(-(((AT - 20) / 10.0) ** 2))),
    ),
    Case(
        "R19",
        "lr_above_stability",
        "fault",
        lambda: drawn(EARLY_PEAK, HIGH),
        lambda: drawn(falling() + 1 * np.exp(-(((AT - 20) / 10.0) ** 2)), HIGH),
    ),
    Case(
        "R20",
        "noise_dominated",
        "info",
        lambda: drawn(series={"noise_scale": flat(900.0)}),
        lambda: drawn(series={"noise_scale": flat(200.0)}),
    ),
    Case(
        "R20",
        "wasteful_batch",
        "info",
        lambda: drawn(series={"noise_scale": flat(2.0)}),
        lambda: drawn(series={"noise_scale": flat(4.0)}),
    ),
    Case(
        "R21",
        "overfitting",
        "warning",
        lambda: drawn(falling(0.01), series={"val/loss": evaluated([2, 1, 0.5, 0.3, *np.linspace(0.3, 0.9, 16)])}),
        lambda: drawn(falling(0.2), series={"val/loss": evaluated([2, 1, 0.5, 0.3, *np.full(16, 0.31)])}),
    ),
    Case(
        "R22",
        "schedule_mismatch",
        "fault",
        lambda: drawn(flat(2.0, 0.01), {"schedule": {"kind": "step", "step_size": 10}}),
        lambda: drawn(flat(2.0, 0.01), {"schedule": {"kind": "cosine"}}),
    ),
    Case(
        "R22",
        "schedule_mismatch",
        "fault",
        lambda: drawn(series={"lr": np.where(AT < 500, 0.05, 0.06)}),
        lambda: drawn(series={"lr": np.full(STEPS, 0.05 * (1 + 1e-7))}),
    ),
    Case(  # 1 / (1 + step), never below a thousandth for long: on average 1 % of the largest
        "R22",
        "schedule_mismatch",
        "fault",
        lambda: drawn(flat(2.0, 0.01), {"schedule": {"kind": "inverse_time", "decay_rate": 1.0, "decay_steps": 1}}),
        lambda: drawn(falling(), {"schedule": {"kind": "inverse_time", "decay_rate": 1.0, "decay_steps": 1}}),
    ),
    Case(  # three drops by ten
        "R22",
        "schedule_mismatch",
        "fault",
        lambda: drawn(flat(2.0, 0.01), {"schedule": {"kind": "multistep", "milestones": [100, 200, 300]}}),
        lambda: drawn(flat(2.0, 0.01), {"schedule": {"kind": "multistep", "milestones": [500, 700, 900]}}),
    ),
    Case(  # a rate that follows a measured series
        "R22",
        "schedule_mismatch",
        "fault",
        lambda: drawn(flat(2.0, 0.01), PLATEAU, series={"lr": np.where(AT < 60, 0.05, 1e-8)}),
        lambda: drawn(flat(2.0, 0.01), PLATEAU, series={"lr": np.where(AT < 700, 0.05, 1e-8)}),
    ),
    Case(
        "R22",
        "schedule_mismatch",
        "warning",
        lambda: drawn(None, {"schedule": {"kind": "cosine", "T_max": 400}}),
        lambda: drawn(None, {"schedule": {"kind": "cosine", "T_max": STEPS}}),
    ),
    Case(
        "R9",
        "lr_too_small",
        "fault",
        lambda: drawn(flat(2.2), CLIPPED, series={"update_ratio": flat(3e-6), "grad_norm": flat(1.0)}),
        lambda: drawn(flat(2.2), CLIPPED, series={"update_ratio": flat(3e-4), "grad_norm": flat(1.0)}),
    ),
    Case("R5", "softmax_applied_twice", "fault", lambda: drawn(falling(1.6), TWICE), lambda: drawn(falling(1.6), ONCE)),
    Case(
        "R23",
        "bn_statistics",
        "warning",
        lambda: drawn(flat(1.0), BATCH_NORM, series={"bn_gap": evaluated([0.2] * 10)}),
        lambda: drawn(flat(1.0), BATCH_NORM, series={"bn_gap": evaluated([0.7] * 10)}),
    ),
    Case(
        "R24",
        "setting_had_no_effect",
        "fault",
        lambda: drawn(flat(2.0), FROZEN),
        lambda: drawn(None, {"groups": [{"match": {"name": "layers.0.*"}, "lr": 0.01}]}),
    ),
    Case(
        "R25",
        "update_underflow",
        "fault",
        lambda: drawn(FLAT, series={"underflow_share": flat(0.8)}),
        lambda: drawn(FLAT, series={"underflow_share": flat(0.3)}),
    ),
    Case(
        "R26",
        "within_noise",
        "info",
        lambda: drawn(siblings=seeds(0.1, 0.2, 2.2, 1.9)),
        lambda: drawn(siblings=seeds(0.1, 0.12, 0.15)),
    ),
    Case(  # folds share training rows: the spread of single runs is larger than theirs
        "R26",
        "within_noise",
        "info",
        lambda: drawn(spec={"dataset": {"kind": "digits", "folds": 2}}, siblings=seeds(0.1, 1.0, 0.5, 0.9)),
        lambda: drawn(siblings=seeds(0.1, 1.0, 0.5, 0.9)),
    ),
    Case(
        "R27",
        "equal_rows",
        "warning",
        lambda: drawn(readings=equal_rows(validation=(9, 90), test=(0, 50))),
        lambda: drawn(readings=equal_rows(validation=(0, 90), test=(0, 50))),
    ),
    Case(
        "R27",
        "equal_rows",
        "info",
        lambda: drawn(readings=equal_rows(validation=(0, 90), test=(2, 50))),
        lambda: drawn(readings=equal_rows(validation=(0, 90), test=(None, 0))),
    ),
    Case(
        "R28",
        "waits_for_data",
        "info",
        lambda: drawn(series={"system/data_wait": evaluated([0.0] * 5 + [0.3] * 5)}),
        lambda: drawn(series={"system/data_wait": evaluated([0.9] * 5 + [0.08] * 5)}),
    ),
]
LEARNS, LITTLE, NOTHING = 0.5, 1.9, LN10


def by_heart() -> RunRecord:
    """A run whose training rows are known as well as those of the simple model, which holds better on others."""
    found = beside(run=LITTLE, same=LITTLE, other=LEARNS)
    entry = found[0].data["run"]
    entry["loss"]["train"], entry["groups"]["train"] = LEARNS, found[0].data["other"]["groups"]["train"]
    return drawn(readings=found)


CASES += [
    Case(
        "R29",
        "optimizer_settings",
        "fault",
        lambda: drawn(readings=beside(run=NOTHING, same=LEARNS)),
        lambda: drawn(readings=beside(run=LEARNS * 1.2, same=LEARNS)),
    ),
    Case(
        "R29",
        "optimizer_settings",
        "warning",
        lambda: drawn(readings=beside(run=LITTLE, same=LEARNS)),
        lambda: drawn(readings=beside(run=LITTLE, same=LEARNS, noise=5.0)),
    ),
    Case(
        "R29",
        "lr_too_small",
        "fault",
        lambda: drawn(readings=beside(run=NOTHING, same=LEARNS), series={"update_ratio": flat(1e-4)}),
        lambda: drawn(readings=beside(run=LEARNS, same=LEARNS), series={"update_ratio": flat(1e-4)}),
    ),
    Case(
        "R29",
        "lr_above_stability",
        "fault",
        lambda: drawn(readings=beside(run=9.0, same=LEARNS), series={"update_ratio": flat(0.5)}),
        lambda: drawn(readings=beside(run=LEARNS * 1.1, same=LEARNS), series={"update_ratio": flat(0.5)}),
    ),
    Case(
        "R29",
        "schedule_mismatch",
        "warning",
        lambda: drawn(readings=beside(run=LITTLE, same=LEARNS), series={"lr": np.where(AT < 10, 0.05, 1e-5)}),
        lambda: drawn(readings=beside(run=LEARNS, same=LEARNS), series={"lr": np.where(AT < 10, 0.05, 1e-5)}),
    ),
    Case(
        "R29",
        "pipeline_or_capacity",
        "warning",
        lambda: drawn(readings=beside(run=LITTLE, same=LITTLE, other=LEARNS)),
        lambda: drawn(readings=beside(run=LITTLE, same=LITTLE, other=LEARNS, steps=5)),
    ),
    Case(
        "R29",
        "pipeline_or_capacity",
        "fault",
        lambda: drawn(readings=beside(run=NOTHING, same=NOTHING, other=LEARNS)),
        by_heart,
    ),
    Case(
        "R29",
        "bad_init_or_scale",
        "fault",
        lambda: drawn(
            spec={"dataset": {"kind": "digits", "scaling": "none"}},
            readings=[*reading("start", feature_largest=1e6), *beside(run=NOTHING, same=NOTHING, other=LEARNS)],
        ),
        lambda: drawn(
            spec={"dataset": {"kind": "digits", "scaling": "none"}},
            readings=[*reading("start", feature_largest=1e6), *beside(run=LEARNS, same=LEARNS, other=LEARNS)],
        ),
    ),
    Case(
        "R29",
        "labels_unrelated",
        "fault",
        lambda: drawn(readings=beside()),
        lambda: drawn(readings=beside(train=1.0, control=2.2)),
    ),
    Case(
        "R29",
        "labels_unrelated",
        "fault",
        lambda: drawn(readings=beside(noise=0.1)),
        lambda: drawn(readings=beside(noise=1.0)),  # it may be learned: the rows are too few to tell
    ),
    Case(
        "R29",
        "validation_shift",
        "warning",
        lambda: drawn(readings=beside(held_out=LEARNS)),
        lambda: drawn(readings=beside(held_out=LEARNS, run=LITTLE, same=LITTLE)),
    ),
    Case(  # even a short training shows it
        "R29",
        "validation_shift",
        "warning",
        lambda: drawn(readings=beside(held_out=LEARNS, steps=5)),
        lambda: drawn(readings=beside(steps=5)),
    ),
]
SHIFTED = {"shifted_features": 0.4, "largest_shift": 2.0, "class_shift": 0.0, "class_shift_noise": 0.05}
RARER = {"shifted_features": 0.0, "largest_shift": 0.0, "class_shift": 0.5, "class_shift_noise": 0.05}
DEEP_LINEAR = {"model": {"kind": "mlp", "hidden": [32, 32], "activation": "identity"}}
DROPPED = {"model": {"kind": "mlp", "hidden": [32], "dropout": 0.9}}
FROZEN_HEAD = {"groups": [{"match": {"name": "layers.2.*"}, "freeze": True}]}
SETTINGS = beside(run=LITTLE, same=LEARNS)
MODEL = beside(run=LITTLE, same=LITTLE, other=LEARNS)


def elsewhere(held: float, **differences: float) -> RunRecord:
    """A run that learns its training rows, and whose validation loss ends at `held`."""
    start = reading("start", 0, trivial_loss=LN10, initial_loss=LN10, features=64, rows=1000, **differences)
    return drawn(readings=start, series={"val/loss": evaluated([LN10, held, held])})


def with_start(loss: object, **data: float) -> RunRecord:
    values = np.asarray(loss, dtype=np.float64)
    return drawn(values, readings=reading("start", 0, trivial_loss=LN10, initial_loss=LN10, **data))


CASES += [
    Case(
        "R29",
        "weight_decay_too_strong",
        "warning",
        lambda: drawn(spec=DECAYED, readings=SETTINGS),
        lambda: drawn(spec=DECAYED, readings=beside(run=LEARNS, same=LEARNS)),
    ),
    Case(
        "R29",
        "lr_above_stability",
        "warning",
        lambda: drawn(spec={"optimizer": {"kind": "sgd", "lr": 0.01, "momentum": 0.999}}, readings=SETTINGS),
        lambda: drawn(spec={"optimizer": {"kind": "sgd", "lr": 0.01, "momentum": 0.999}}),
    ),
    Case(
        "R29",
        "eps_dominated_parameters",
        "warning",
        lambda: drawn(spec=COARSE, readings=SETTINGS),
        lambda: drawn(spec=COARSE),
    ),
    Case(
        "R29",
        "accumulator_exhausted",
        "warning",
        lambda: drawn(spec={"optimizer": {"kind": "adagrad", "lr": 0.01}}, readings=SETTINGS),
        lambda: drawn(spec={"optimizer": {"kind": "adagrad", "lr": 0.01}}),
    ),
    Case(  # both could be told: the model gains more
        "R29",
        "pipeline_or_capacity",
        "warning",
        lambda: drawn(readings=beside(run=LITTLE, same=1.4, other=0.1)),
        lambda: drawn(readings=beside(run=0.5, same=0.45, other=0.4)),
    ),
    Case("R29", "bad_init_or_scale", "warning", lambda: drawn(spec=WIDE, readings=MODEL), lambda: drawn(spec=WIDE)),
    Case(
        "R29",
        "dropout_too_strong",
        "warning",
        lambda: drawn(spec=DROPPED, readings=MODEL),
        lambda: drawn(spec=DROPPED),
    ),
    Case(
        "R29",
        "vanishing_gradient",
        "warning",
        lambda: drawn(spec={"model": {"kind": "mlp", "hidden": [8] * 5, "activation": "sigmoid"}}, readings=MODEL),
        lambda: drawn(spec={"model": {"kind": "mlp", "hidden": [8] * 5, "activation": "sigmoid"}}),
    ),
    Case(
        "R30",
        "validation_shift",
        "warning",
        lambda: elsewhere(1.9, **SHIFTED),
        lambda: elsewhere(0.3, **SHIFTED),  # it does no harm
    ),
    Case(
        "R30",
        "validation_shift",
        "fault",
        lambda: elsewhere(4.0, **RARER),
        lambda: elsewhere(4.0, **RARER | {"class_shift": 0.15}),  # chance
    ),
    Case(
        "R30",
        "leakage",
        "warning",
        lambda: elsewhere(1.9, shifted_features=0.0, told=0.9999, told_validation=0.1, telling_feature=3),
        lambda: elsewhere(1.9, shifted_features=0.0, told=0.95, told_validation=0.1, telling_feature=3),
    ),
    Case(  # of a few rows that are repeated, a feature tells the target by chance
        "R30",
        "leakage",
        "warning",
        lambda: elsewhere(0.1, shifted_features=0.0, told=1.0, told_validation=1.0, telling_feature=3),
        lambda: elsewhere(0.1, shifted_features=0.0, told=1.0, telling_feature=3, duplicate_rows=970),
    ),
    Case(
        "R29",
        "setting_had_no_effect",
        "warning",
        lambda: drawn(spec=FROZEN_HEAD, readings=SETTINGS),
        lambda: drawn(spec=FROZEN_HEAD, readings=beside(run=LEARNS, same=LEARNS)),
    ),
    Case(
        "R29",
        "bn_statistics",
        "warning",
        lambda: drawn(spec=BATCH_NORM, readings=SETTINGS),
        lambda: drawn(spec=BATCH_NORM),
    ),
    Case(
        "R29",
        "too_few_updates",
        "warning",
        lambda: drawn(spec={"steps": 100}, step=100, readings=reading("learnability", 100, **SETTINGS[0].data)),
        lambda: drawn(
            spec={"steps": 100}, step=100, readings=reading("learnability", 100, **beside(run=0.5, same=0.5)[0].data)
        ),
    ),
    Case(
        "R31",
        "constant_features",
        "warning",
        lambda: with_start(flat(1.5, 0.01), constant_features=50, features=64),
        lambda: with_start(falling(), constant_features=50, features=64),
    ),
    Case(
        "R32",
        "pipeline_or_capacity",
        "warning",
        lambda: drawn(flat(0.7, 0.01), DEEP_LINEAR),
        lambda: drawn(flat(0.1, 0.01), DEEP_LINEAR),
    ),
    Case(
        "R32",
        "pipeline_or_capacity",
        "info",
        lambda: drawn(spec={"model": {"kind": "mlp", "hidden": [32, 3, 32]}}),
        lambda: drawn(spec={"model": {"kind": "mlp", "hidden": [32, 8, 32]}}),
    ),
    Case(
        "R32",
        "dropout_too_strong",
        "warning",
        lambda: drawn(flat(1.9, 0.01), DROPPED, series={"val/loss": evaluated([2.0, 1.2, 1.2])}),
        lambda: drawn(flat(1.9, 0.01), DROPPED, series={"val/loss": evaluated([2.0, 0.3, 0.3])}),
    ),
    Case(
        "R33",
        "too_few_updates",
        "warning",
        lambda: drawn(2.3 - 0.7 * AT / STEPS + noise(0.05)),
        lambda: drawn(1.5 - 0.05 * AT / STEPS + noise(0.05)),
    ),
]
CASES += [
    Case(
        "R34",
        "rows_not_shuffled",
        "warning",
        lambda: drawn(flat(1.2, 0.5), {"shuffle": False}),
        lambda: drawn(flat(1.2, 0.05), {"shuffle": False}),
    )
]
CASES += [
    Case(  # features and targets are fine in the batches that it sees, and it forgets the others
        "R34",
        "rows_not_shuffled",
        "warning",
        lambda: drawn(falling(), {"shuffle": False}, series={"val/loss": evaluated([2.0, 1.9, 1.8])}),
        lambda: drawn(falling(), {"shuffle": False}, series={"val/loss": evaluated([2.0, 0.9, 0.2])}),
    ),
    Case(
        "R35",
        "lr_above_stability",
        "warning",
        lambda: drawn(falling(), LONG_MEMORY, series={"val/loss": evaluated([2.0, 0.8, 1.0])}),
        lambda: drawn(falling(), LONG_MEMORY, series={"val/loss": evaluated([2.0, 0.3, 0.2])}),
    ),
    Case(  # a value that stands for a missing one
        "R15",
        "ill_conditioned_inputs",
        "warning",
        lambda: drawn(flat(0.5), UNSCALED, readings=reading("start", 0, feature_std_ratio=2.0, feature_largest=999.0)),
        lambda: drawn(flat(0.5), UNSCALED, readings=reading("start", 0, feature_std_ratio=2.0, feature_largest=20.0)),
    ),
    Case(  # a rate that falls to a sixth on average, while the loss still falls
        "R22",
        "schedule_mismatch",
        "warning",
        lambda: drawn(1.4 - 0.9 * AT / STEPS + noise(0.05), SIXTH),
        lambda: drawn(np.where(AT < 200, falling(), 0.8) + noise(0.01), SIXTH),
    ),
    Case(
        "R32",
        "dropout_too_strong",
        "warning",
        lambda: drawn(flat(1.9, 0.01), {"model": {"kind": "mlp", "hidden": [32], "dropout": 0.95}}),
        lambda: drawn(falling(), {"model": {"kind": "mlp", "hidden": [32], "dropout": 0.95}}),
    ),
    Case(  # half of the way is done, and the last quarter took a third of what was left
        "R33",
        "too_few_updates",
        "warning",
        lambda: drawn(LN10 * np.exp(-1.2 * AT / STEPS) + noise(0.05)),
        lambda: drawn(LN10 * np.exp(-1.8 * AT / STEPS) + noise(0.05)),
    ),
    Case(
        "R29",
        "lr_too_small",
        "fault",
        lambda: drawn(FLAT, CLIPPED, series={"grad_norm": flat(1.0)}, readings=beside(same=0.5)),
        lambda: drawn(FLAT, CLIPPED, series={"grad_norm": flat(1.0)}),
    ),
    Case(  # unscaled targets keep a network at their scale, though its first loss is that of a constant
        "R2",
        "bad_init_or_scale",
        "fault",
        lambda: drawn(flat(5000.0, 10.0), RAW, readings=reading("start", 0, **WIDE_TARGETS)),
        lambda: drawn(flat(50.0, 1.0), RAW, readings=reading("start", 0, **WIDE_TARGETS | {"target_variance": 50.0})),
    ),
    Case(  # weights so near zero that the first loss is that of any constant
        "R2",
        "bad_init_or_scale",
        "fault",
        lambda: drawn(flat(1.9, 0.01), NEAR_ZERO),
        lambda: drawn(falling(), NEAR_ZERO),
    ),
    Case(  # decay that takes the weights before they learn leaves dead units behind
        "R3",
        "weight_decay_too_strong",
        "fault",
        lambda: drawn(FLAT, DECAYED, series=norms(0.0, 0.1)),
        lambda: drawn(falling(), DECAYED, series=norms(0.0, 0.1)),
    ),
]
NAMES = [f"{case.rule}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_rule_finds_what_it_is_for(case: Case) -> None:
    found = BY_ID[case.rule].judge(case.hit())
    assert isinstance(found, Finding), found
    assert (found.verdict, found.level) == (case.verdict, case.level)
    assert found.verdict in BY_ID[case.rule].verdicts
    assert found.evidence
    assert not found.text[0].islower()
    assert 0 < found.confidence <= 1
    assert found.steps[0] <= found.steps[1]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_rule_lets_a_near_miss_pass(case: Case) -> None:
    outcome = BY_ID[case.rule].judge(case.miss())
    assert isinstance(outcome, NoFinding | Inconclusive), outcome
    assert outcome.why


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_patch_leads_to_another_spec_that_can_be_posted(case: Case) -> None:
    record = case.hit()
    found = BY_ID[case.rule].judge(record)
    assert isinstance(found, Finding)
    if not found.patch:
        assert case.rule in WITHOUT_PATCH or case.verdict in WITHOUT_PATCH
        return
    changed = parse_experiment(apply_patch(record.plan.document, found.patch)).spec
    assert changed.hash != record.plan.spec.hash


WITHOUT_PATCH = {
    "nonfinite:input",
    "labels_unrelated",
    "validation_shift",
    "flat",
    "R4",
    "minimum",
    "schedule_mismatch",
    "R27",
    "R28",
    "bad_init_or_scale",
    "leakage",
    "R32",
    "constant_features",
}


def test_there_is_a_case_for_every_verdict_that_needs_no_other_run() -> None:
    named = {verdict for rule in RULES for verdict in rule.verdicts}
    assert named - {case.verdict for case in CASES} == {"nonfinite:amp", "nonfinite:log0"}


def test_every_threshold_is_used_and_has_a_source() -> None:
    folder = Path(diagnosis.__path__[0])
    text = "\n".join(path.read_text() for path in folder.rglob("*.py") if path.name != "thresholds.py")
    assert [each.key for each in TABLE if f'"{each.key}"' not in text] == []
    assert all(each.source and each.unit and each.meaning for each in TABLE)
    assert len({each.key for each in TABLE}) == len(TABLE)


def test_what_goes_on_from_a_trained_state_is_not_blamed_for_its_small_losses() -> None:
    """Batches of a trained model differ by a factor, and the first one may be the luckiest."""
    loss = 0.0035 * np.exp(noise(0.5))
    loss[0] = 0.0024
    record = going_on(loss)
    assert isinstance(BY_ID["R2"].judge(record), NoFinding)
    assert isinstance(BY_ID["R6"].judge(record), NoFinding)
    assert isinstance(BY_ID["R19"].judge(record), NoFinding | Inconclusive)
    untrained = replace(record, origin=0)
    assert isinstance(BY_ID["R2"].judge(untrained), Finding), "the same losses from the first step on are suspicious"


def test_what_goes_on_at_too_high_a_rate_is() -> None:
    for loss in (0.0035 * np.exp(np.minimum(AT, 400) / 60), flat(2.5, 0.01) - 2.49 * (AT < 10)):
        found = BY_ID["R6"].judge(going_on(loss))
        assert isinstance(found, Finding)
        assert found.verdict == "lr_above_stability"


@pytest.mark.parametrize(("times", "outcome"), [(2.5, NoFinding), (5.0, Finding)])
def test_a_rise_is_found_above_three_times_the_minimum(times: float, outcome: type) -> None:
    """It stays below the first loss, so nothing but the rise can be what is found."""
    loss = np.where(AT <= 600, 0.4 + (LN10 - 0.4) * np.exp(-AT / 80), 0.4 * times) + noise(0.01)
    assert isinstance(BY_ID["R6"].judge(drawn(loss)), outcome)
