"""What a packed step costs: `python -m tests.benchmarks.packs.in_process [CASE ...] [--runs 64] [--threads 1]`.

Steps of a pack against steps of one run alone, which take turns in one process: wall and processor time of a run's step
alone over that of a run's step in the pack, and the products alone (batched, of the sizes of the affine layers) as the
limit. Rates differ from run to run. Probes are off but for `probed_cpu_s`: the processor time of a packed step at which
all default probes measure. `vmap_cpu` is of steps by `torch.func.vmap` and autograd alone, as `times_less_cpu`.
`recording` is the processor time of recording a block for each run and packing its points, over that of the block.
`two_s` is the wall time of a run's step alone in each of two processes at once, one thread each, and `faster_than_two`
what half of the runs take there over the packed step with two threads: for a quiet machine with two cores.
`kb_a_run` is what weights, gradients and the optimizer's state of a run take. `difference` is of the losses of both,
over the largest loss. With `--equality` it prints the difference of every model and optimizer that can be packed.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from torch import nn

from service.spec.experiment import Experiment
from service.spec.probes.base import DENSE
from tests.benchmarks.packs.equality import print_differences
from tests.worker.trainer.pack.together import stacked
from worker.trainer.loop import prepare, train
from worker.trainer.pack.heap import freed_memory_kept
from worker.trainer.pack.probes import PackedProbes
from worker.trainer.pack.steps import Block, PackedSteps
from worker.trainer.recorder import HostRecorder
from worker.trainer.session import pack_points

CPU = torch.device("cpu")
DIGITS: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [128]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 100_000,
}
FROZEN = {"groups": [{"match": {"name": "layers.0.*"}, "freeze": True}]}  # the first layer
CASES: dict[str, dict[str, Any]] = {
    "mlp-64": DIGITS | {"batch_size": 64},
    "mlp-16": DIGITS | {"batch_size": 16},
    "mlp-64-adam": DIGITS | {"batch_size": 64, "optimizer": {"kind": "adam"}},
    "mlp-16-adam": DIGITS | {"batch_size": 16, "optimizer": {"kind": "adam"}},
    "mlp-64-frozen": DIGITS | {"batch_size": 64} | FROZEN,
    "mlp-16-frozen": DIGITS | {"batch_size": 16} | FROZEN,
    "mlp-64-gelu": DIGITS | {"batch_size": 64, "model": {"kind": "mlp", "hidden": [128], "activation": "gelu"}},
    "mlp-16-gelu": DIGITS | {"batch_size": 16, "model": {"kind": "mlp", "hidden": [128], "activation": "gelu"}},
    "gru-16": DIGITS | {"batch_size": 16, "model": {"kind": "gru", "hidden": 32}},
    "cnn-64": DIGITS | {"batch_size": 64, "model": {"kind": "cnn"}},
    "cnn-16": DIGITS | {"batch_size": 16, "model": {"kind": "cnn"}},
    "cnn1d-16": DIGITS | {"batch_size": 16, "dataset": {"kind": "mnist1d"}, "model": {"kind": "cnn1d"}},
    "cnn1d-64": DIGITS | {"batch_size": 64, "dataset": {"kind": "mnist1d"}, "model": {"kind": "cnn1d"}},
    "resnet-64": DIGITS | {"batch_size": 64, "model": {"kind": "resnet"}},
    "resnet-16": DIGITS | {"batch_size": 16, "model": {"kind": "resnet"}},
    "transformer-16": DIGITS | {"batch_size": 16, "model": {"kind": "transformer", "width": 32}},
}


def specs_of(name: str, runs: int) -> list[Experiment]:
    """The case with as many rates."""
    case = CASES[name]
    rates = np.logspace(-3, -2, runs).tolist()
    documents = [case | {"optimizer": case["optimizer"] | {"lr": rate}} for rate in rates]
    return [Experiment.model_validate_json(json.dumps(each)) for each in documents]


def timed(work: Callable[[], Any], steps: int) -> tuple[float, float]:
    """Wall and processor seconds of a step."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps


def products(packed: PackedSteps, rows: int) -> Callable[[], None]:
    """The products of a step's affine layers: forward, and both backward but for the first layer."""
    sizes = [each.weight.shape for each in packed.trainings[0].model.modules() if isinstance(each, nn.Linear)]
    runs = len(packed.trainings)
    made = [(torch.rand(runs, rows, i), torch.rand(runs, o, i), torch.rand(runs, rows, o)) for o, i in sizes]

    def work() -> None:
        for at, (x, weight, slope) in enumerate(made):
            torch.bmm(x, weight.transpose(1, 2))
            torch.bmm(slope.transpose(1, 2), x)
            if at:
                torch.bmm(slope, weight)

    return work


def measure(name: str, runs: int, steps: int, rounds: int, two: bool) -> dict[str, float]:
    """Medians over the rounds; with those of `two` processes."""
    specs = specs_of(name, runs)
    packed, _ = stacked(specs)
    whole = prepare(specs[0].model_copy(update={"probes": ()}), 0, CPU)
    alone = train(whole)
    first = [float(step.loss) for step in islice(alone, 6)]
    block = packed.run(5)
    probes = PackedProbes(packed)
    difference = abs(block.losses[:, 0] - first[1:]).max() / max(first)
    limit = products(packed, specs[0].rows_per_step)
    found, probed, recorded, by_vmap = [], [], [], []
    for _ in range(rounds):
        while packed.trainings[0].step < DENSE:
            probed.append(timed(lambda: probed_step(packed, probes), 1)[1])
        wall, processor = timed(lambda: packed.run(steps), steps)
        one_wall, one = timed(lambda: [step.loss.item() for step in islice(alone, 4 * steps)], 4 * steps)
        block = packed.run(steps)
        recorded.append(timed(lambda made=block: record(made), steps)[1] / processor)
        chain, packed.chain = packed.chain, None
        by_vmap.append(runs * one / timed(lambda: packed.run(steps), steps)[1])
        packed.chain = chain
        least = timed(lambda: [limit() for _ in range(steps)], steps)[1]
        found.append(
            (wall, processor, one_wall, one, runs * one_wall / wall, runs * one / processor, runs * one / least)
        )
    names = ("packed_s", "packed_cpu_s", "alone_s", "alone_cpu_s", "times_faster", "times_less_cpu", "limit_cpu")
    more = {"probed_cpu_s": float(np.median(probed)), "vmap_cpu": float(np.median(by_vmap))}
    more |= {"recording": float(np.median(recorded)), "kb_a_run": bytes_of(packed) / runs / 1024}
    more |= {"difference": float(difference)} | (beside_two(name, packed, steps) if two else {})
    return dict(zip(names, np.median(found, 0).tolist(), strict=True)) | more


def beside_two(name: str, packed: PackedSteps, steps: int) -> dict[str, float]:
    """Wall times of the pack with two threads, and of runs alone in two processes at once."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    with spawn.Pool(2, join, (barrier,)) as pool:
        alone = max(pool.map(steps_alone, [(name, 4 * steps)] * 2, chunksize=1))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    packed.run(2)
    together = timed(lambda: packed.run(steps), steps)[0]
    torch.set_num_threads(threads)
    return {"two_s": alone, "faster_than_two": len(packed.trainings) / 2 * alone / together}


def join(barrier: Any) -> None:
    """Let both processes begin at once."""
    torch.set_num_threads(1)
    globals()["together"] = barrier.wait


def steps_alone(case: tuple[str, int]) -> float:
    """Wall seconds of a step of one run, while the other process makes as many."""
    name, steps = case
    alone = train(prepare(specs_of(name, 1)[0].model_copy(update={"probes": ()}), 0, CPU))
    list(islice(alone, 5))
    globals()["together"]()
    return timed(lambda: [step.loss.item() for step in islice(alone, steps)], steps)[0]


def record(block: Block) -> None:
    """Record a block for each run, and pack its points into a frame."""
    for slot in range(block.losses.shape[1]):
        recorder = HostRecorder(1)
        recorder.record_block(1, block.losses[:, slot], block.rates[:, slot], [])
        pack_points(recorder.drain(wait=True))


def bytes_of(packed: PackedSteps) -> int:
    """The bytes of weights, gradients and optimizer state of all runs."""
    stacks = [stack for group in packed.groups for stack in (group.parameters, *group.stacks.values())]
    return sum(stack.nbytes for stack in stacks) + sum(each.nbytes for each in packed.slopes.values())


def probed_step(packed: PackedSteps, probes: PackedProbes) -> None:
    """A step of the pack at which every default probe measures."""
    assert packed.run(1, probes).measured is not None


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=[], choices=[*CASES, []])
    parser.add_argument("--runs", type=int, nargs="+", default=[64])
    parser.add_argument("--steps", type=int, default=40, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor", action="store_true", help="leave out the wall times of two processes")
    parser.add_argument("--kept", action="store_true", help="let malloc keep freed memory, also of the run alone")
    parser.add_argument("--equality", action="store_true", help="print the differences of every model and optimizer")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.equality:
        return print_differences()
    for name, runs in product(arguments.cases or CASES, arguments.runs):
        with freed_memory_kept() if arguments.kept else nullcontext():
            found = measure(name, runs, arguments.steps, arguments.rounds, not arguments.processor)
        print(name, runs, *(f"{key} {value:.3g}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
