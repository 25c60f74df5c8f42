"""Each demonstration shows its point, in a shorter version where that is enough."""

from typing import Any

import pytest
import torch

from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.presets import presets
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")


class Run:
    """A preset, trained."""

    def __init__(self, name: str, seed: int = 0, **changes: Any) -> None:
        self.spec = parse_experiment({"preset": name, **changes}).spec
        self.training: Training = prepare(self.spec, seed, CPU)
        self.losses: list[float] = []
        self.series: dict[str, list[float]] = {}
        for step in train(self.training):
            self.losses.append(step.loss.item())
            for series, value in (step.metrics or {}).items():
                self.series.setdefault(series, []).append(float(value))

    def last(self, series: str) -> float:
        """The last value of a series."""
        return self.series[series][-1]


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_an_experiment_without_contradictions_and_goes_by_its_file(name: str) -> None:
    spec = presets()[name]
    assert find_problems(spec) == []
    assert find_warnings(spec) == []
    assert spec.name == name
    assert "preset" in spec.tags
    assert spec.notes.endswith(".")
    for word in spec.notes.replace(".", " ").replace(":", " ").split():  # those it sends the reader to
        if word.startswith(f"{name.rsplit('-', 1)[0]}-") and "'" not in word:
            assert word in presets()


def test_a_rate_can_be_too_low_right_and_too_high() -> None:
    low, right, high = (Run(f"rate-{name}", steps=150) for name in ("too-low", "right", "too-high"))
    assert right.last("val/accuracy") > 0.9
    assert low.last("val/accuracy") < 0.5
    assert low.losses[-1] < low.losses[0] * 1.1
    assert not high.losses[-1] < 1000  # large, or no number at all


def test_in_as_many_epochs_smaller_batches_make_more_updates_and_noisier_ones() -> None:
    full, mini, single = (Run(f"batch-{name}", epochs=2) for name in ("full", "mini", "single"))
    assert [len(run.losses) for run in (full, mini, single)] == [2, 90, 2876]
    assert full.last("val/loss") > mini.last("val/loss") > single.last("val/loss")
    tails = [torch.tensor(run.losses[-40:]) for run in (mini, single)]
    noise = [(tail.std() / tail.mean()).item() for tail in tails]  # a batch's loss is near the mean, a row's is not
    assert noise[1] > 4 * noise[0]


def test_momentum_rolls_over_the_bump() -> None:
    assert Run("bump-momentum").last("x/0") == pytest.approx(1.036, abs=0.01)
    assert Run("bump-plain").last("x/0") == pytest.approx(-0.960, abs=0.01)


def test_sgd_with_a_schedule_is_ahead_of_adam_on_rows_it_never_saw() -> None:
    adam = [Run("adam-constant", seed, epochs=25) for seed in (0, 1)]
    sgd = [Run("sgd-scheduled", seed, epochs=25) for seed in (0, 1)]
    for one, other in zip(adam, sgd, strict=True):
        assert other.last("val/accuracy") > one.last("val/accuracy")
        assert one.series["val/accuracy"][0] > other.series["val/accuracy"][0]  # Adam is ahead at first


def test_decay_inside_the_gradient_is_another_decay() -> None:
    inside, beside = Run("decay-l2", steps=300), Run("decay-decoupled", steps=300)
    assert beside.last("val/accuracy") > 0.95
    assert inside.last("val/accuracy") < 0.9
    size = [sum(p.detach().square().sum() for p in run.training.model.parameters()) for run in (inside, beside)]
    assert size[0] < size[1] / 4


def test_from_a_bad_start_a_squared_error_is_flat_and_cross_entropy_is_not() -> None:
    flat, steep = Run("bad-start-mse", steps=200), Run("bad-start-cross-entropy", steps=200)
    assert flat.last("val/accuracy") < 0.4
    assert steep.last("val/accuracy") > 0.8


def test_batch_normalisation_lets_a_deep_network_learn() -> None:
    alone, normalised = Run("norm-none", steps=200), Run("norm-batch", steps=200)
    assert alone.last("val/accuracy") < 0.2
    assert normalised.last("val/accuracy") > 0.7


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_warmup_gets_through_a_rough_start(seed: int) -> None:
    assert Run("warmup-linear", seed).last("val/accuracy") > 0.85
    assert Run("warmup-none", seed).last("val/accuracy") < 0.5


def test_of_several_restarts_some_find_the_answer() -> None:
    losses = [Run("restarts-xor", seed, steps=200).losses[-1] for seed in range(6)]
    assert min(losses) < 0.1
    assert max(losses) > 0.3


def test_more_rectified_units_find_the_kink_more_surely() -> None:
    lost = {units: [Run(f"fit-abs-{units}", seed, steps=1000).losses[-1] for seed in (0, 1, 2)] for units in (2, 4, 16)}
    assert sum(loss < 1e-3 for loss in lost[2]) == 1
    assert all(loss < 1e-3 for loss in (*lost[4], *lost[16]))


def test_each_demonstration_of_the_lectures_has_its_presets() -> None:
    shown = {tag for spec in presets().values() for tag in spec.tags} - {"preset", "demonstration"}
    assert shown == {
        *("rate", "batch", "bump", "adam-or-sgd", "decay"),
        *("bad-start", "norm", "warmup", "restarts", "fit-abs"),
    }
