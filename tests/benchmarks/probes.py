"""The cost of probes: `python -m tests.benchmarks.probes [mlp|cnn]`.

The loop as the trainer runs it, its recorder included, without a pipe: with no probes, with those that read only what
a step has anyway, and with the default set. The three take turns within each round; a figure is the median over the
rounds of the ratio to the same round's run without. Seconds are the loop's thread's own.
The last line is what the probes' own calls took in runs with the default set: noise between two runs leaves it alone.

`--beside`: the cost of what is trained beside a run at its end. Seconds of the thread that trains: the run's, those of
the question whether it learned little, which every run pays, and those of the probe `learnability`, which only runs pay
that did.
"""

import argparse
import statistics
import time
from typing import Any

import torch

from service.spec.experiment import Experiment
from service.spec.probes import DEFAULT_PROBES
from tests.benchmarks.recording import spec_of
from worker.trainer.loop import prepare, train
from worker.trainer.probes import runner
from worker.trainer.probes.learnability.at_end import Took, learnability_at_end, learned_little
from worker.trainer.recorder import make_recorder

STEPS = {"mlp": 6000, "cnn": 600}
FREE = tuple(probe for probe in DEFAULT_PROBES if not probe.cost)
SLOW = 1e-6  # a rate at which nothing is learned
RUNS = (("mlp", 6000, None), ("mlp", 6000, SLOW), ("mlp", 400, SLOW), ("cnn", 5000, None), ("cnn", 5000, SLOW))
SETS = {"none": (), "free": FREE, "default": DEFAULT_PROBES}


def spent(spec: Experiment) -> float:
    """Seconds of the thread that trains."""
    training = prepare(spec, 0, torch.device("cpu"))
    recorder = make_recorder(training.device, 1)
    begun = time.thread_time()
    for step in train(training):
        recorder.record(step)
    recorder.drain()
    return time.thread_time() - begun


def within(spec: Experiment) -> float:
    """The share of a run's time spent in its probes' calls, without hooks in the forward pass."""
    plain, seconds = runner.ProbeRunner._call, 0.0

    def timed(*arguments: Any) -> None:
        nonlocal seconds
        begun = time.thread_time()
        plain(*arguments)
        seconds += time.thread_time() - begun

    runner.ProbeRunner._call = timed  # type: ignore[method-assign]
    try:
        whole = spent(spec)
    finally:
        runner.ProbeRunner._call = plain  # type: ignore[method-assign]
    return seconds / (whole - seconds)


def main() -> None:
    """Print the step without probes, and what each set adds to it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", nargs="*", default=["mlp", "cnn"], help="mlp, cnn")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="updates of a run")
    parser.add_argument("--beside", action="store_true", help="what is trained beside a run at its end")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.beside:
        return beside()
    for subject in asked.subject:
        steps = asked.steps or STEPS[subject]
        specs = {name: spec_of(subject, steps).model_copy(update={"probes": each}) for name, each in SETS.items()}
        spent(spec_of(subject, 50))
        found: dict[str, list[float]] = {name: [] for name in SETS}
        for turn in range(asked.rounds):
            for name in list(SETS)[turn % 3 :] + list(SETS)[: turn % 3]:
                found[name].append(spent(specs[name]) / steps * 1e6)
        plain = statistics.median(found["none"])
        print(f"{subject}: {plain:.1f} us a step, {steps} steps, {asked.rounds} rounds")
        for name in ("free", "default"):
            ratios = [each / base - 1 for each, base in zip(found[name], found["none"], strict=True)]
            looks = len(measured_steps(specs[name]))
            each = statistics.median(ratios) * plain * steps / looks
            low, high = min(ratios), max(ratios)
            share = f"{statistics.median(ratios):+.2%} ({low:+.2%} to {high:+.2%})"
            print(f"  {name}: {share}, {each:.0f} us each for {looks} measurements")
        shares = ", ".join(f"{within(specs['default']):.1%}" for _ in range(3))
        print(f"  within the default set's calls: {shares} of the rest")


def beside() -> None:
    """Print the cost of what is trained beside each of `RUNS`."""
    for subject, steps, rate in RUNS:
        spec = spec_of(subject, steps)
        if rate is not None:
            spec = spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"lr": rate})})
        training = prepare(spec, 0, torch.device("cpu"))
        begun = time.thread_time()
        for _ in train(training):
            pass
        run = time.thread_time() - begun
        begun = time.thread_time()
        learned_little(training)
        asked = time.thread_time() - begun
        begun = time.thread_time()
        found = learnability_at_end(training, Took(run), lambda: False)
        beside = time.thread_time() - begun if found else 0.0
        name = f"{subject}, {steps} steps, rate {spec.optimizer.lr:g}"
        print(f"{name:30} run {run:6.2f} s, asked {asked / run:6.2%}, beside {beside:5.2f} s = {beside / run:6.1%}")


def measured_steps(spec: Experiment) -> list[int]:
    """Return the steps at which the first probe with series measures."""
    found, step = [], 0
    while (step := spec.probes[1].next_look(step, spec.total_steps)) <= spec.total_steps:
        found.append(step)
    return found


if __name__ == "__main__":
    main()
