"""Recording small steps, against recording nothing and against reading each loss."""

import json
import statistics
from collections.abc import Callable
from typing import Any

import torch

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from tests.gpu.trainers import seconds_of
from worker.trainer.loop import Step, Training, prepare, train
from worker.trainer.recorder import make_recorder

LIMIT_S = 45
RUNS_ON_CPU = True
WARM_STEPS = 20
DRAIN_EVERY = 100  # steps, as a flusher would
SUBJECTS: dict[str, dict[str, Any]] = {
    "mlp": {"model": {"kind": "mlp", "hidden": [64]}, "clip": {"norm": 1.0}},
    "resnet": {"model": {"kind": "resnet", "width": 16}},
}


def check() -> dict[str, float | str]:
    """Time the same steps in three ways, in turns; on a GPU recording a ResNet costs at most a hundredth."""
    on, figures = device(), dict[str, float | str]()
    rounds, steps = (5, 500) if on.type == "cuda" else (1, 40)
    for name in SUBJECTS:
        ways: dict[str, Callable[[Training], float]] = {"recorded": recorded, "nothing": nothing, "item": read_each}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, timed in ways.items():
                seconds[way].append(timed(training_of(name, steps, on)))
        middle = {way: statistics.median(each) for way, each in seconds.items()}
        figures[f"{name}: us a step, nothing"] = middle["nothing"] / steps * 1e6
        figures |= {f"{name}: {way} / nothing": middle[way] / middle["nothing"] for way in ("recorded", "item")}
    assert on.type == "cpu" or float(figures["resnet: recorded / nothing"]) <= 1.01, figures
    return figures


def training_of(name: str, steps: int, on: torch.device) -> Training:
    """Return a training on digits without evaluations before its end."""
    document = {"dataset": {"kind": "digits"}, "loss": {"kind": "cross_entropy"}, "batch_size": 128, "probes": []}
    document |= {"optimizer": {"kind": "sgd", "lr": 0.01}, "steps": steps + WARM_STEPS + 1}
    document |= {"evaluate": {"every_steps": 10**6}} | SUBJECTS[name]
    return prepare(Experiment.model_validate_json(json.dumps(document)), 0, on)


def timed_with(training: Training, use: Callable[[Step], None]) -> float:
    """Return the seconds of all steps but the first few and the last, which evaluates."""
    steps = train(training)
    for _ in range(WARM_STEPS):
        use(next(steps))
    count = training.spec.total_steps - WARM_STEPS - 1
    seconds = seconds_of(lambda: [use(next(steps)) for _ in range(count)], training.device)
    list(steps)
    return seconds


def nothing(training: Training) -> float:
    """Drop each step."""
    return timed_with(training, lambda step: None)


def read_each(training: Training) -> float:
    """Read each loss at once."""
    return timed_with(training, lambda step: float(step.loss) and None)


def recorded(training: Training) -> float:
    """Record each step and drain now and then; every loss comes back, in order."""
    recorder, losses, seen = make_recorder(training.device, 1), list[torch.Tensor](), list[float]()

    def use(step: Step) -> None:
        recorder.record(step)
        losses.append(step.loss)
        if step.step % DRAIN_EVERY == 0:
            seen.extend(value for points in recorder.drain() if points.name == "loss" for value in points.values)

    seconds = timed_with(training, use)
    seen.extend(value for points in recorder.drain(wait=True) if points.name == "loss" for value in points.values)
    expected = torch.stack(losses).tolist()
    assert seen == expected, f"{len(seen)} of {len(expected)} losses came back, or others"
    return seconds


if __name__ == "__main__":
    main(check)
