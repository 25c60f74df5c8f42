"""What a diagnosis costs a run: `python -m tests.benchmarks.verdicts.overhead [--steps 5000] [--rounds 7]`.

Pairs of runs of an MLP on digits, batches of 64: with the default probes, what is asked and trained at the end, and
the diagnosis itself; and with `"probes": []`, `"diagnose": "never"`. Which of a pair comes first alternates. A figure
is the median over the pairs of their ratio, of CPU seconds of the process and of wall seconds. The last is what the
calls of the probes took: noise between two runs leaves it alone.
"""

import argparse
import statistics
import time

import torch

from service.diagnosis.diagnose import diagnose
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment
from tests.benchmarks.probes import within
from tests.symptoms.training import facts_of, recorded
from worker.trainer.loop import prepare, train
from worker.trainer.probes.learnability.at_end import Took, learnability_at_end
from worker.trainer.recorder import make_recorder

DOCUMENT = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [64]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam"},
    "batch_size": 64,
}
Cost = tuple[float, float]  # CPU seconds of the process, wall seconds


def _now() -> Cost:
    return time.process_time(), time.perf_counter()


def _since(begun: Cost) -> Cost:
    cpu, wall = _now()
    return cpu - begun[0], wall - begun[1]


def whole(spec: Experiment, seed: int) -> Cost:
    """Return what a run costs, its recorder and its end included."""
    begun = _now()
    training = prepare(spec, seed, torch.device("cpu"))
    recorder = make_recorder(training.device, 1)
    for step in train(training):
        recorder.record(step)
    recorder.drain()
    learnability_at_end(training, Took(_since(begun)[1]), lambda: False)
    return _since(begun)


def diagnosis(spec: Experiment) -> Cost:
    """Return what it takes to diagnose the run once, on the server."""
    facts = facts_of(spec, recorded(spec, 0))
    diagnose(facts)
    begun = _now()
    diagnose(facts)
    return _since(begun)


def main() -> None:
    """Print the ratio of both, and the diagnosis alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    full, bare = (
        parse_experiment(DOCUMENT | {"steps": asked.steps} | more).spec
        for more in ({}, {"probes": [], "diagnose": "never"})
    )
    once = diagnosis(full)
    pairs = list[tuple[Cost, Cost]]()
    for turn in range(asked.rounds):
        specs = (full, bare) if turn % 2 else (bare, full)
        costs = [whole(spec, turn) for spec in specs]
        pairs.append((costs[turn % 2 == 0], costs[turn % 2]))
    print(f"{asked.steps} steps, {asked.rounds} pairs; bare: {statistics.median(b[0] for _, b in pairs):.2f} s of CPU")
    for at, name in enumerate(("CPU", "wall")):
        ratios = [(with_all[at] + once[at]) / without[at] - 1 for with_all, without in pairs]
        print(f"  {name}: {statistics.median(ratios):+.2%} ({min(ratios):+.2%} to {max(ratios):+.2%})")
    print(f"  of it the diagnosis: {once[0]:.3f} s of CPU; the probes' calls: {within(full):.2%} of the rest")


if __name__ == "__main__":
    main()
