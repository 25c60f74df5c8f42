"""`compile: true`: equal runs are equal, losses agree with eager ones; steps a second of both."""

import json
from typing import Any

import torch

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from tests.gpu.checks.mapped import train_timed
from tests.gpu.trainers import seconds_of
from worker.trainer.loop import Training, prepare

LIMIT_S = 60
RUNS_ON_CPU = True
AGREEING_STEPS = 10  # later ones amplify the differences of the last bits
TOLERANCE = 1e-4
SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam"},
    "batch_size": 64,
    "probes": [],
}


def check() -> dict[str, float | str]:
    """Train an MLP eagerly once and compiled twice."""
    on = device()
    steps, hidden = (2000, [128]) if on.type == "cuda" else (40, [])
    document = SPEC | {"steps": steps, "model": {"kind": "mlp", "hidden": hidden}}
    figures: dict[str, float | str] = {}
    losses: list[torch.Tensor] = []
    rates: list[float] = []
    for name, compiled in (("eager", False), ("compiled", True), ("compiled again", True)):
        spec = Experiment.model_validate_json(json.dumps(document | {"compile": compiled}))
        made: list[Training] = []
        figures[f"seconds to build, {name}"] = seconds_of(lambda: made.append(prepare(spec, 0, on)), on)  # noqa: B023
        found, rate = train_timed(made[0])
        losses.append(torch.stack(found))
        rates.append(rate)
        figures[f"steps/s, {name}"] = rate
    eager, first, second = losses
    assert torch.equal(first, second), "two equal compiled runs differ"
    apart = ((first - eager).abs() / eager.abs())[:AGREEING_STEPS].max().item()
    assert apart <= TOLERANCE, f"compiled losses are {apart:.2g} from eager ones"
    return figures | {"compiled / eager": rates[2] / rates[0], "relative difference": apart}


if __name__ == "__main__":
    main(check)
