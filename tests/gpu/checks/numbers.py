"""fp32 and TF32 are what they say; curves, half precision and probes against a CPU."""

import json
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from service.spec.experiment import Experiment
from service.spec.memory import evaluation_rows
from service.spec.training import Precision
from tests.gpu.check import device, main
from worker.trainer.failures import run_failure_of
from worker.trainer.loop import Training, prepare, train
from worker.trainer.numerics import report_nondeterminism, set_numerics
from worker.trainer.probes.inline.sanity_checks import measure
from worker.trainer.probes.model_copy import ModelCopy
from worker.trainer.step.gradients import split_batch
from worker.trainer.step.losses import partial_loss

LIMIT_S = 60
RUNS_ON_CPU = True
CPU = torch.device("cpu")
FP32_ERROR, TF32_ERROR = 1e-5, 1e-2  # relative, of products whose sums have some hundred terms
CURVES = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 0.1, "fp16": 0.1}  # largest relative difference from fp32 on a CPU
PROBES = 1e-8  # of a gradient and a Hessian product in float64
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "hidden": [64]},
    "cnn": {"kind": "cnn", "channels": [8, 16]},
    "lstm": {"kind": "lstm", "hidden": 32, "layers": 2},
    "transformer": {"kind": "transformer", "width": 32, "layers": 2},
}
AUTOCAST_ON_CPU = ("mlp", "cnn")  # not every CPU has the kernels of the others


def check() -> dict[str, float | str]:
    """Compare everything with the same computation on a CPU, or in float64."""
    on = device()
    figures: dict[str, float | str] = products(on)
    for name in MODELS:
        figures |= curves(name, on) | probes(name, on)
    return figures | {"refused by strict": refused_and_reported(on)}


def products(on: torch.device) -> dict[str, float | str]:
    """Return the relative error of a product, a convolution and an LSTM in fp32 and in TF32, which only a GPU has."""
    figures: dict[str, float | str] = {}
    for precision in ("fp32", "tf32"):
        set_numerics(precision, "strict", on)
        for name, error in errors(on).items():
            figures[f"error of a {name}, {precision}"] = error
            exact = precision == "fp32" or on.type == "cpu"
            assert error <= (FP32_ERROR if exact else TF32_ERROR), f"{name} in {precision}: {error:.2g}"
            assert exact or error > FP32_ERROR, f"{name} in tf32 is as exact as fp32 ({error:.2g}): it is not used"
    return figures


def errors(on: torch.device) -> dict[str, float]:
    """Return relative errors against float64 on the CPU."""
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(512, 512, generator=draw) for _ in range(2))
    images, kernels = torch.randn(8, 64, 16, 16, generator=draw), torch.randn(64, 64, 3, 3, generator=draw)
    rows = torch.randn(16, 8, 256, generator=draw)
    torch.manual_seed(0)
    lstm = nn.LSTM(256, 256, batch_first=True)
    exact = lstm.double()(rows.double())[0]
    lstm = lstm.float().to(on)
    with torch.no_grad():
        found = {
            "product": (a.to(on) @ b.to(on), a.double() @ b.double()),
            "convolution": (conv2d(images.to(on), kernels.to(on)), conv2d(images.double(), kernels.double())),
            "LSTM": (lstm(rows.to(on))[0], exact),
        }
        return {name: apart(value, truth) for name, (value, truth) in found.items()}


def apart(value: Tensor, truth: Tensor) -> float:
    """Return the norm of the difference over the norm of the truth."""
    return float((value.detach().cpu().double() - truth.detach().cpu().double()).norm() / truth.detach().norm())


def training_of(name: str, precision: Precision, on: torch.device) -> Training:
    """Return a training on digits without randomness in its steps."""
    document = {"dataset": {"kind": "digits"}, "model": MODELS[name], "loss": {"kind": "cross_entropy"}, "probes": []}
    document |= {"optimizer": {"kind": "sgd", "lr": 0.05}, "batch_size": 64, "steps": 30, "precision": precision}
    return prepare(Experiment.model_validate_json(json.dumps(document)), 0, on)


def curve(name: str, precision: Precision, on: torch.device) -> Tensor:
    """Return the losses of a run."""
    return torch.stack([step.loss for step in train(training_of(name, precision, on))]).cpu()


def curves(name: str, on: torch.device) -> dict[str, float | str]:
    """Return the largest relative difference of each precision's losses from those of fp32 on the CPU."""
    truth, figures = curve(name, "fp32", CPU), dict[str, float | str]()
    for precision, limit in CURVES.items():
        if on.type == "cpu" and precision not in ("fp32", "tf32") and name not in AUTOCAST_ON_CPU:
            continue
        found = curve(name, precision, on)  # type: ignore[arg-type]
        difference = float(((found - truth).abs() / truth.abs()).max())
        figures[f"{name}, {precision}"] = difference
        assert difference <= limit, f"{name} in {precision} is {difference:.2g} from fp32 on a CPU"
    return figures


def probes(name: str, on: torch.device) -> dict[str, float | str]:
    """Return the difference of curvature from the CPU's; the initial loss is that of the first update's function."""
    copies = [ModelCopy(training_of(name, "fp32", where), rows=256) for where in (on, CPU)]
    v = torch.randn(copies[0].n, generator=torch.Generator().manual_seed(0), dtype=copies[1].dtype)
    gradient = apart(*(copy.gradient() for copy in copies))
    product = apart(*(copy.product(v.to(copy.training.device)) for copy in copies))
    assert max(gradient, product) <= PROBES, f"{name}: gradient {gradient:.2g}, product {product:.2g}"
    assert not any(copy.differences for copy in copies), f"{name} has no second backward: {copies[0].notes}"
    precision: Precision = "bf16" if on.type == "cuda" or name in AUTOCAST_ON_CPU else "fp32"
    training = training_of(name, precision, on)
    with torch.no_grad(), training.pipeline.precision.forward():
        rows = training.batches.x[:2048], training.batches.y[:2048]
        chunks = split_batch(rows, -(-len(rows[0]) // evaluation_rows(training.spec)))  # another order rounds otherwise
        loss = sum(float(partial_loss(training.criterion, training.model(x), y, len(rows[1]))) for x, y in chunks)
    assert measure(training)["initial_loss"] == loss, f"{name}: the initial loss is another function's"
    return {f"{name}, Hessian product": product}


def refused_and_reported(on: torch.device) -> str:
    """Return the operation that strict refuses by name; warn runs and reports it."""
    x, at = torch.zeros(4, device=on), torch.tensor([0], device=on)
    set_numerics("fp32", "strict", on)
    try:
        x.put(at, x[:1])
        raise AssertionError("strict let an operation without a deterministic kernel pass")
    except RuntimeError as error:
        failure = run_failure_of(error, 1)
    assert failure.kind == "nondeterministic", failure.detail
    set_numerics("fp32", "warn", on)
    reported: list[str] = []
    with report_nondeterminism(reported.append):
        x.put(at, x[:1])
    set_numerics("fp32", "strict", on)
    assert reported == [failure.evidence["operation"]], reported
    return reported[0]


if __name__ == "__main__":
    main(check)
