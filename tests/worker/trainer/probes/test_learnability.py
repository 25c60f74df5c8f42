"""What fresh trainings beside a run say about it: which of the optimizer, the model and the data keeps it back."""

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from service.analysis.run_data import Reading
from service.diagnosis.plan import Plan
from service.diagnosis.rules.learnability import less_than_possible
from service.diagnosis.run_record import RunRecord
from service.spec.probes.on_demand import Learnability as Component
from service.spec.training import Resources
from worker.trainer.loop import Training, train
from worker.trainer.probes.learnability.at_end import Took, learnability_at_end, learned_little
from worker.trainer.probes.learnability.instrument import Learnability
from worker.trainer.probes.learnability.reference_models import BagOfTokens, Bigrams
from worker.trainer.probes.learnability.rows import choose_rows
from worker.trainer.probes.learnability.trial import Clock

from .trained import spec_of

CIRCLES = {"dataset": {"kind": "circles"}, "model": {"kind": "linear"}, "optimizer": {"kind": "adam", "lr": 0.01}}
SHUFFLED = {"dataset": {"kind": "digits", "shuffled_targets": 1.0}, "model": {"kind": "mlp", "hidden": [8]}}
NOISY = {
    "dataset": {"kind": "regression", "rows": 1000, "noise": 300},
    "model": {"kind": "linear"},
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "adam", "lr": 0.02},
}


@pytest.fixture
def ended() -> Callable[..., Training]:
    """A training that has made all its updates."""

    def make(**changes: Any) -> Training:
        from worker.trainer.loop import prepare

        training = prepare(spec_of(**{"steps": 200, **changes}), 0, torch.device("cpu"))
        for _ in train(training):
            pass
        return training

    return make


def measured(training: Training, **asked: Any) -> dict[str, Any]:
    return Learnability(Component(**{"seconds": 60, **asked})).measure(training).data or {}


def judged(training: Training, data: dict[str, Any]) -> Any:
    reading = Reading(1, training.step, "learnability", data)
    return less_than_possible(RunRecord(Plan(training.spec), {}, [reading], step=training.step))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"optimizer": {"kind": "sgd", "lr": 1e-5}}, "optimizer_settings"),
        ({"optimizer": {"kind": "sgd", "lr": 8.0}, "nonfinite": "continue"}, "optimizer_settings"),
        (CIRCLES, "pipeline_or_capacity"),
        (SHUFFLED, "labels_unrelated"),
    ],
)
def test_the_part_that_keeps_a_run_back_is_found(ended: Any, changes: dict[str, Any], verdict: str) -> None:
    training = ended(**changes)
    assert learned_little(training)
    found = judged(training, measured(training))
    assert getattr(found, "verdict", found) == verdict


def test_the_rate_that_worked_is_the_remedy(ended: Any) -> None:
    training = ended(optimizer={"kind": "sgd", "lr": 1e-5}, schedule={"kind": "cosine"}, clip={"norm": 0.1})
    data = measured(training)
    patch = {each["path"]: each["value"] for each in judged(training, data).patch}
    assert patch["/optimizer"] == {"kind": "adam", "lr": data["same"]["rate"]}
    assert patch["/clip"] is None
    assert patch["/schedule"] == {"kind": "constant"}
    assert "/groups" not in patch


def test_a_run_that_learned_what_noise_allows_has_learned_enough(ended: Any) -> None:
    training = ended(**NOISY)
    assert learned_little(training)
    found = judged(training, measured(training))
    assert found.enough, found


def test_a_likelihood_without_a_known_minimum_is_compared_too(ended: Any) -> None:
    training = ended(**NOISY | {"loss": {"kind": "gaussian_nll"}, "model": {"kind": "mlp", "hidden": [16]}})
    assert learned_little(training), "nobody knows"
    data = measured(training)
    assert data["other"]["loss"]["validation"] < data["constant"]["loss"]["validation"]


def test_a_run_that_learned_well_is_left_alone(ended: Any) -> None:
    training = ended(steps=300)
    assert not learned_little(training)
    assert learnability_at_end(training, Took(1.0), lambda: False) is None


def test_parts_are_disjoint_and_the_control_permutes_the_same_targets(ended: Any) -> None:
    training = ended(steps=20)
    rows = choose_rows(training, 500)
    held, fitted = ({row.numpy().tobytes() for row in x} for x in (rows.parts["held_out"][0], rows.fitted[0]))
    assert not held & fitted
    assert len(held) + len(fitted) == len(training.batches.x)
    true, control = rows.batches(0), rows.batches(0, shuffled_targets=True)
    assert torch.equal(true.x, control.x)
    assert not torch.equal(true.y, control.y)
    assert torch.equal(true.y.sort().values, control.y.sort().values)


def test_sorted_rows_that_are_not_shuffled_are_chosen_from_everywhere(ended: Any) -> None:
    training = ended(**{"shuffle": False, "steps": 20, "dataset": {"kind": "digits"}})
    rows = choose_rows(training, 5)
    assert len(rows.fitted[1].unique()) == 10


def test_it_ends_when_its_time_is_over_or_it_is_told_to(ended: Any) -> None:
    training = ended(optimizer={"kind": "sgd", "lr": 1e-5}, steps=20_0)
    data = measured(training, seconds=0.05)
    assert not data["same"]["complete"]
    assert data["seconds"] < 5
    instrument = Learnability(Component(seconds=60))
    instrument.stopped = lambda: True
    data = instrument.measure(training).data or {}
    assert data["trained_steps"] == 0
    assert Clock(10, lambda: True).left == 0


def test_time_is_the_processor_s_and_at_most_three_times_as_long_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"thread_time": 0.0, "monotonic": 0.0}
    monkeypatch.setattr(
        "worker.trainer.probes.learnability.trial.time",
        SimpleNamespace(thread_time=lambda: now["thread_time"], monotonic=lambda: now["monotonic"]),
    )
    clock = Clock(10, lambda: False)
    now |= {"thread_time": 2.0, "monotonic": 20.0}
    assert clock.left == 8
    assert clock.part(0.5).left == 4
    now["monotonic"] = 29.0
    part = clock.part(0.5)
    now["monotonic"] = 31.0
    assert (clock.left, part.left) == (0, 0)


def test_too_few_updates_beside_the_run_say_nothing_about_what_cannot_be_learned(ended: Any) -> None:
    training = ended(**SHUFFLED)
    found = judged(training, measured(training, seconds=1e-6))
    assert not hasattr(found, "verdict")
    assert not getattr(found, "enough", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"diagnose": "never"},
        {"max_seconds": 10.0},
        {"steps": 10},
        {"probes": [{"kind": "learnability", "steps": 5}]},
    ],
    ids=str,
)
def test_it_is_not_done_where_the_spec_does_not_allow_it(ended: Any, changes: dict[str, Any]) -> None:
    training = ended(**{"optimizer": {"kind": "sgd", "lr": 1e-5}, "steps": 30, **changes})
    assert learnability_at_end(training, Took(0.5), lambda: False) is None


def test_a_run_whose_steps_are_slow_is_left_alone(ended: Any) -> None:
    training = ended(optimizer={"kind": "sgd", "lr": 1e-5}, steps=30)
    assert learnability_at_end(training, Took(30 * 0.05), lambda: False) is None


def test_it_is_done_at_the_end_and_says_what_it_cost(ended: Any) -> None:
    training = ended(optimizer={"kind": "sgd", "lr": 1e-5}, steps=40)
    found = learnability_at_end(training, Took(0.5), lambda: False)
    assert found is not None
    kind, data = found
    assert kind == "learnability"
    assert data["asked"] == {"by": "diagnose", "seconds": 5.0}
    assert data["trained_steps"] > 0
    assert data["seconds"] > 0


def test_a_failure_is_the_reading_and_not_the_run_s(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training = ended(optimizer={"kind": "sgd", "lr": 1e-5}, steps=40)

    def fail(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("worker.trainer.probes.learnability.instrument.choose_rows", fail)
    found = learnability_at_end(training, Took(0.5), lambda: False)
    assert found is not None
    assert "out of memory" in str(found[1]["error"])


def test_the_weights_and_the_random_states_are_the_run_s_own_afterwards(ended: Any) -> None:
    training = ended(
        optimizer={"kind": "sgd", "lr": 1e-5},
        model={"kind": "mlp", "hidden": [8], "norm": "batch", "dropout": 0.3},
        steps=30,
    )
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    drawn = torch.get_rng_state()
    assert learnability_at_end(training, Took(0.5), lambda: False) is not None
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[name]) for name, value in training.model.state_dict().items())
    assert training.model.training


def test_several_devices_are_left_alone(ended: Any) -> None:
    training = ended(optimizer={"kind": "sgd", "lr": 1e-5}, steps=30)
    training.spec = training.spec.model_copy(update={"resources": Resources(devices=2)})
    assert learnability_at_end(training, Took(0.5), lambda: False) is None


def test_bigrams_are_shares_of_what_follows_each_token() -> None:
    tokens = torch.randint(5, (40, 9), generator=torch.Generator().manual_seed(0))
    x, y = tokens[:, :-1], tokens[:, 1:]
    model = Bigrams((x, y), 5)
    own = [(y == token).sum().item() + 0.5 for token in range(5)]
    for before in range(5):
        counts = [((x == before) & (y == after)).sum().item() for after in range(5)]
        smoothed = [count + 2 * own[after] / sum(own) for after, count in enumerate(counts)]
        expected = torch.tensor([each / sum(smoothed) for each in smoothed])
        assert torch.allclose(model(torch.tensor([[before]]))[0, 0].exp(), expected, atol=1e-6)


def test_a_bag_of_tokens_does_not_see_their_order() -> None:
    model = BagOfTokens(7, 3)
    torch.nn.init.normal_(model.weights.weight)
    x = torch.randint(7, (4, 10), generator=torch.Generator().manual_seed(0))
    assert model(x).shape == (4, 3)
    assert torch.allclose(model(x), model(x.flip(1)), atol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "gaussian_nll", "poisson_nll"])
def test_a_simple_model_starts_near_the_best_constant_answer_whatever_the_targets_size(ended: Any, loss: str) -> None:
    targets = {"kind": "diabetes", "target_scaling": "none"}  # from 25 to 346
    training = ended(dataset=targets, loss={"kind": loss}, steps=20, optimizer={"kind": "sgd", "lr": 1e-9})
    data = measured(training, steps=50)
    constant, other = (data[who]["loss"]["train"] for who in ("constant", "other"))
    assert other < constant
    first = data["other"]["legs"][0][1]
    assert first < constant + 0.5 * abs(constant), "not thrown far off by its start"


def test_trainings_beside_a_run_import_no_compiler() -> None:
    code = """
import sys, torch
from tests.worker.trainer.probes.trained import spec_of
from worker.trainer.loop import prepare
from worker.trainer.probes.learnability.instrument import Learnability
from service.spec.probes.on_demand import Learnability as Component
training = prepare(spec_of(steps=20), 0, torch.device("cpu"))
assert Learnability(Component(seconds=60)).measure(training).data["trained_steps"] > 20
print(*sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
