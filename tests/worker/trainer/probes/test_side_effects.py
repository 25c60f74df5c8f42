"""A training that is looked at is the training that is not, to the last bit, whatever looks."""

import json
from typing import Any, get_args

import pytest
import torch

from service.nonfinite import dumps
from service.spec.probes import OnDemandProbe, Probe
from worker.trainer.build import resolve
from worker.trainer.loop import train
from worker.trainer.probes.measurement import Measurement

LOOKERS: list[type[OnDemandProbe]] = [m for m in get_args(get_args(Probe)[0]) if issubclass(m, OnDemandProbe)]
LEAST: dict[str, Any] = {  # what makes one quick
    "overfit_batch": {"steps": 10},
    "learnability": {"steps": 4, "seconds": 0.5},
    "range_test": {"steps": 10},
    "autopsy": {"steps": 5},
    "trajectory": {"points": 3},
    "plane": {"points": 3},
    "spectral_density": {"vectors": 2, "iterations": 5},
    "critical_point": {"anyway": True, "products": 20},
}
TROUBLESOME: dict[str, Any] = {  # draws at every step, and keeps statistics
    "model": {"kind": "mlp", "hidden": (6,), "norm": "batch", "dropout": 0.3},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "steps": 12,
    "probes": (),
}


def component_of(kind: type[OnDemandProbe]) -> OnDemandProbe:
    name = kind.model_fields["kind"].default
    return kind.model_validate(LEAST.get(name, {}) | {"every_steps": 5})


@pytest.mark.parametrize("kind", LOOKERS, ids=lambda kind: str(kind.__name__))
def test_a_training_that_looks_at_itself_every_few_steps_is_the_one_that_does_not(
    trained: Any, kind: type[OnDemandProbe]
) -> None:
    plain = trained(0, **TROUBLESOME)
    expected = [float(step.loss) for step in train(plain)]
    watched = trained(0, **TROUBLESOME | {"probes": (component_of(kind),)})  # seeds the generators anew
    assert [float(step.loss) for step in train(watched)] == expected
    for name, value in plain.model.state_dict().items():
        assert torch.equal(watched.model.state_dict()[name], value)
    told = watched.probes.readings
    assert [each.step for each in told] == [5, 10, 12]
    for each in told:
        text = dumps(each.data)
        assert "failed" not in json.loads(text)
        assert len(text) < 256 * 1024


@pytest.mark.parametrize("kind", LOOKERS, ids=lambda kind: str(kind.__name__))
def test_an_objective_can_be_looked_at_too_or_the_reading_says_why_not(
    objective: Any, kind: type[OnDemandProbe]
) -> None:
    training = objective("rosenbrock", (-1.2, 1.0), lr=1e-3)
    found: Measurement = resolve(kind.target)(component_of(kind)).measure(training)
    assert found.values or found.data
