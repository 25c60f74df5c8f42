"""How far products reach, and full-batch descent at its edge: `python -m tests.benchmarks.curvature [lanczos|edge]`.

Lanczos: relative errors of both ends of the Hessian of a digits MLP with 2,410 parameters after 10 to 60 products, at
several ages of its training. The truth is a run of 400 products whose residuals say 1e-10.

Edge: plain full-batch gradient descent on digits whose answers were dealt out anew, which takes long to learn by heart.
Sharpness rises until it is at 2/lr and stays there (Cohen et al. 2021, arXiv:2103.00065, figure 1). With their own
answers digits are learnt before that, and the cross-entropy is flat.
"""

import argparse
import itertools
import json
import time
from typing import Any

import torch

from service.spec.experiment import Experiment
from service.spec.probes.on_demand import Sharpness as Spec
from worker.trainer.loop import Training, prepare, train
from worker.trainer.probes.lanczos import lanczos
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.probes.on_demand.sharpness import Sharpness, start_of

DIGITS: dict[str, Any] = {"dataset": {"kind": "digits"}, "loss": {"kind": "cross_entropy"}, "probes": []}
NET = {"model": {"kind": "mlp", "hidden": [32]}, "optimizer": {"kind": "sgd", "lr": 0.1}, "batch_size": 64}
DESCENT = {
    "dataset": {"kind": "digits", "shuffled_targets": 1.0},
    "model": {"kind": "mlp", "hidden": [32], "activation": "tanh"},
    "batch_size": "full",
}
AGES = (0, 50, 200, 1000)
PRODUCTS = (10, 20, 40, 50, 60)


def reached(document: dict[str, Any], steps: int) -> Training:
    """A training after so many updates."""
    spec = Experiment.model_validate_json(json.dumps(DIGITS | document | {"steps": max(steps, 1)}))
    training = prepare(spec, 0, torch.device("cpu"))
    for _ in train(training) if steps else ():
        pass
    return training


def reach_of_products(age: int) -> None:
    """One line an end."""
    copy = ModelCopy(reached(NET, age))
    start = start_of(copy)
    began = time.perf_counter()
    truth = lanczos(copy.product, start, 400, every=400)
    each = (time.perf_counter() - began) / 400
    low, high = float(truth.values[0]), float(truth.values[-1])
    print(
        f"step {age}: n {copy.n}, lambda_max {high:.8g}, lambda_min {low:.6g}, {1000 * each:.1f} ms a product;", end=" "
    )
    print(f"residuals {float(truth.residuals[-1]):.1e}, {float(truth.residuals[0]):.1e}")
    for products in PRODUCTS:
        found = lanczos(copy.product, start, products, every=products)
        above = abs(float(found.values[-1]) - high) / abs(high)
        below = abs(float(found.values[0]) - low) / abs(low)
        residual = float(found.residuals[0]) / abs(float(found.values[0]))
        print(
            f"  {products:3} products: lambda_max {above:.1e}, lambda_min {below:.1e} (residual {residual:.1e} of it)"
        )


def edge(lr: float, steps: int, looks: int) -> None:
    """The curve of lambda_max * lr / 2, and how often the loss rose between two steps."""
    spec = Experiment.model_validate_json(
        json.dumps(DIGITS | DESCENT | {"optimizer": {"kind": "sgd", "lr": lr}, "steps": steps})
    )
    training = prepare(spec, 0, torch.device("cpu"))
    tool, losses, curve = Sharpness(Spec(tolerance=1e-2)), list[float](), list[tuple[int, float, float]]()
    for step in train(training):
        losses.append(float(step.loss))
        if step.step % (steps // looks) == 0:
            curve.append((step.step, losses[-1], tool.measure(training).values["sharpness/ratio"]))
    rises = sum(later > earlier for earlier, later in itertools.pairwise(losses))
    print(f"lr {lr}, 2/lr {2 / lr:g}: loss {losses[0]:.3f} to {losses[-1]:.2e}, {rises} of {steps} updates raised it")
    print("  " + "  ".join(f"{step}: {ratio:.3f}" for step, _, ratio in curve))
    last = [ratio for _, _, ratio in curve[len(curve) // 2 :]]
    print(f"  second half: {min(last):.3f} to {max(last):.3f}, mean {sum(last) / len(last):.3f}")


def main() -> None:
    """Both, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", choices=("lanczos", "edge"), default=["lanczos", "edge"])
    parser.add_argument("--rates", type=float, nargs="*", default=[1.0])
    parser.add_argument("--steps", type=int, default=600)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if "lanczos" in asked.what:
        for age in AGES:
            reach_of_products(age)
    if "edge" in asked.what:
        for lr in asked.rates:
            edge(lr, asked.steps, 20)


if __name__ == "__main__":
    main()
