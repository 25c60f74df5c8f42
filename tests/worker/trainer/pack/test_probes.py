"""What the probes of a pack measure at once against what those of each run measure alone."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.spec.experiment import Experiment
from service.spec.probes import DEFAULT_PROBES
from tests.worker.conftest import Make
from tests.worker.trainer.pack.test_equality import DIFFERENT, EXACT, MODELS, OPTIMIZERS, SINGLE, of_rates
from tests.worker.trainer.pack.together import probed_alone, probed_together, stacked
from worker.trainer.build import resolve
from worker.trainer.pack.model import StackedModel
from worker.trainer.pack.probes import PackedProbes
from worker.trainer.probes.inline.activations import Activations
from worker.trainer.probes.inline.base import InlineProbe, StepProbe

STEPS = 21
SERIES = {  # of each default probe with values at a step
    "gradients": "grad_norm/",
    "updates": "update_ratio/",
    "cosines": "cosine/gradient",
    "activations": "activation/std/",
    "rates": "rate/q50",
}

# the share of biases in front of a normalisation, or of keys, whose gradient is 0 but for rounding
UNDERFLOW = {"mlp with batch norm": 0.1, "cnn with batch norm": 0.02, "transformer": 0.01}
UNDERFLOW |= {"cnn1d with group norm": 0.02, "cnn1d with instance norm": 0.02}
SAME_STATE = [name for name in DIFFERENT if name != "momentum"]  # runs without momentum share no pack with the others


def check(specs: Sequence[Experiment], most: float, *expected: str, underflow: float = 0.0) -> None:
    """The same series at the same steps, whose values agree; `expected` of them are there."""
    for ours, theirs in zip(probed_together(specs, STEPS), probed_alone(specs, STEPS), strict=True):
        assert {step: values.keys() for step, values in ours.items()} == {
            step: values.keys() for step, values in theirs.items()
        }
        for step, values in theirs.items():
            shares = [each.pop("underflow_share", 0.0) for each in (ours[step], values)]
            assert shares[0] == pytest.approx(shares[1], abs=max(most, underflow)), step
            assert ours[step] == pytest.approx(values, rel=most, abs=most, nan_ok=True), step
        assert all(any(name.startswith(series) for name in theirs[STEPS - 1]) for series in expected)


def expected(name: str) -> list[str]:
    """The series of the probes that apply: plain SGD has one rate, and an objective no activations."""
    missing = {"rates"} if "optimizer" not in MODELS[name] else set()
    missing |= {"activations"} if "loss" in MODELS[name] else set()
    return [series for kind, series in SERIES.items() if kind not in missing]


@pytest.mark.parametrize("name", MODELS)
def test_default_probes_of_a_pack_measure_what_they_measure_alone(experiment: Make, name: str) -> None:
    specs = of_rates(experiment, precision="fp64", probes=DEFAULT_PROBES, **MODELS[name])
    check(specs, EXACT, *expected(name), underflow=UNDERFLOW.get(name, 0.0))


@pytest.mark.parametrize("name", MODELS)
def test_in_single_precision_only_rounding_differs(experiment: Make, name: str) -> None:
    check(of_rates(experiment, probes=DEFAULT_PROBES, **MODELS[name]), SINGLE, underflow=UNDERFLOW.get(name, 0.0))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_rates_and_momenta_are_read_from_any_packed_optimizer(experiment: Make, optimizer: dict[str, Any]) -> None:
    check(of_rates(experiment, precision="fp64", optimizer=optimizer, probes=DEFAULT_PROBES), EXACT)


@pytest.mark.parametrize("name", SAME_STATE)
def test_members_that_differ_in_numbers_have_their_own_values(experiment: Make, name: str) -> None:
    specs = [experiment(**{"precision": "fp64", "probes": DEFAULT_PROBES} | changes) for changes in DIFFERENT[name]]
    check(specs, EXACT)


@pytest.mark.parametrize("name", ["mlp", "sum of units", "linear"])
def test_outputs_of_affine_layers_are_measured_without_another_forward_pass(
    experiment: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    specs = of_rates(experiment, precision="fp64", probes=DEFAULT_PROBES, **MODELS[name])
    alone = probed_alone(specs, 4)
    monkeypatch.setattr(StackedModel, "observed", None)
    for ours, theirs in zip(probed_together(specs, 4), alone, strict=True):
        assert any(series.startswith("activation/") for series in theirs[4])
        assert ours[4] == pytest.approx(theirs[4], rel=EXACT, abs=EXACT)


def test_every_default_probe_has_a_packed_form_or_measures_at_no_step() -> None:
    for component in DEFAULT_PROBES:
        target: type[InlineProbe] = resolve(component.target)
        assert issubclass(target, StepProbe) or component.kind == "start"


def test_runs_of_different_lengths_are_measured_at_their_own_steps(experiment: Make) -> None:
    specs = [experiment(precision="fp64", probes=DEFAULT_PROBES, steps=steps) for steps in (30, 22, 40)]
    alone = probed_alone(specs, 22)
    assert [bool(run[22]) for run in alone] == [False, True, False]
    assert [bool(run[21]) for run in probed_together(specs, 22)] == [False] * 3
    for ours, theirs in zip(probed_together(specs, 22), alone, strict=True):
        assert {step: values.keys() for step, values in ours.items()} == {
            step: values.keys() for step, values in theirs.items()
        }
        assert ours[22] == pytest.approx(theirs[22], rel=EXACT, abs=EXACT)


@pytest.mark.parametrize("after", [9, 19])
def test_members_that_leave_take_what_was_kept_of_them(experiment: Make, after: int) -> None:
    specs = of_rates(experiment, precision="fp64", probes=DEFAULT_PROBES, optimizer={"kind": "adam"})
    found, alone = probed_together(specs, STEPS, {after: [2, 0]}), probed_alone(specs, STEPS)
    assert max(found[1]) == after
    for run in (0, 2):
        assert "cosine/gradient" in found[run][20]
        assert found[run][20] == pytest.approx(alone[run][20], rel=EXACT, abs=EXACT)


def test_a_rate_of_0_is_no_underflow_of_its_run_alone(experiment: Make) -> None:
    specs = [experiment(probes=DEFAULT_PROBES, optimizer={"kind": "sgd", "lr": lr}) for lr in (0.1, 0.0)]
    assert ["underflow_share" in run[2] for run in probed_together(specs, 2)] == [True, False]


def test_a_probe_that_fails_is_removed_from_every_run_and_told_once(
    experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, _ = stacked([experiment(probes=DEFAULT_PROBES, optimizer={"kind": "sgd", "lr": lr}) for lr in (0.1, 0.2)])

    def fail(*_: Any) -> None:
        raise RuntimeError("this model is beyond me")

    monkeypatch.setattr(Activations, "forward_values", fail)
    probes = PackedProbes(packed)
    for _ in range(2):
        block = packed.run(1, probes)
        assert block.measured is not None
        for found in block.measured:
            assert "grad_norm" in found
            assert not any(name.startswith("activation") for name in found)
    for training in packed.trainings:
        told = [(each.step, each.kind, each.data) for each in training.probes.readings if "error" in each.data]
        assert told == [(2, "activations", {"error": "RuntimeError: this model is beyond me"})]
    assert not any(module._forward_hooks for module in packed.model.skeleton.modules())
