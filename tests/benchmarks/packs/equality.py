"""The largest difference of losses, packed against alone, of every model and optimizer that can be packed.

Over the largest loss of its run, of three runs with different rates: `in_process --equality`.
"""

from typing import Any

from service.spec import packs
from service.spec.experiment import Experiment
from tests.contract.test_catalog import document, members
from tests.worker.trainer.pack.together import alone, difference, together

UPDATES = 20


def print_differences() -> None:
    """Print a table for each precision."""
    optimizers = sorted(packs.OPTIMIZERS)
    for precision in ("fp64", "fp32"):
        print(
            f"| {precision} |", *(f"{each} |" for each in optimizers), "\n|", "---|" * (len(optimizers) + 1), flush=True
        )
        for member in members("model"):
            if (kind := member.model_fields["kind"].default) in packs.MODELS:
                apart = [apart_of(document("model", member), each, precision) for each in optimizers]
                print(f"| {kind} |", *(f"{each:.0e} |" for each in apart), flush=True)


def apart_of(spec: dict[str, Any], optimizer: str, precision: str) -> float:
    """The largest difference of three runs with different rates."""
    common = spec | {"precision": precision, "steps": 100, "probes": ()}
    rates = [{"optimizer": {"kind": optimizer, "lr": 3e-4 * (run + 1)}} for run in range(3)]
    specs = [Experiment.model_validate(common | rate) for rate in rates]
    return difference(alone(specs, UPDATES), together(specs, UPDATES))[0]
