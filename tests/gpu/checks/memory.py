"""Memory: an evaluation needs less than a step, a run gives it back, estimates are near the peak."""

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from service.spec.experiment import Experiment
from service.spec.memory import CHUNK_BYTES, estimate_memory
from tests.gpu.check import device, main
from tests.gpu.datasets import images, text
from tests.worker.trainer.live_bytes import LiveBytes
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.device_memory import free_share, give_back
from worker.trainer.loop import Training, prepare

LIMIT_S = 40
RUNS_ON_CPU = True
NEAR = (0.4, 2.5)  # estimate over peak
LEFT_BYTES = 32 * 2**20  # of libraries' workspaces, after a run has given its memory back


def check() -> dict[str, float | str]:
    """Train a step of a convolutional and a language model, evaluate, and give the memory back."""
    on = device()
    figures: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in specs(Path(folder), on.type == "cuda").items():
            training = prepare(spec, 0, on, DatasetFolders(Path(folder)))
            figures |= {f"{figure}, {name}": value for figure, value in compare(training).items()}
            del training
    if on.type == "cuda":
        figures["reserved MiB before"] = torch.cuda.memory_reserved(on) / 2**20
        give_back(on)
        left = torch.cuda.memory_reserved(on)
        figures["reserved MiB after"] = left / 2**20
        assert left <= LEFT_BYTES, f"{left} bytes stay reserved after a run"
        share = free_share()
        figures["free share by NVIDIA's library"] = "unknown" if share is None else share
    return figures


def compare(training: Training) -> dict[str, float]:
    """Compare the peaks of a step and of an evaluation with each other and with the estimate."""
    on, gradients, validation = training.device, training.pipeline.gradients, training.validation
    assert validation is not None
    gradients.compute(1)  # libraries make their workspaces
    training.model.zero_grad(set_to_none=True)
    step = peak_bytes(on, lambda: gradients.compute(2))
    training.model.zero_grad(set_to_none=True)
    evaluation = peak_bytes(on, lambda: validation.measure(training.model, training.criterion))
    assert evaluation < max(step, CHUNK_BYTES), f"an evaluation takes {evaluation} bytes, a step {step}"
    ratio = estimated(training) / step
    assert NEAR[0] < ratio < NEAR[1], f"the estimate is {ratio:.2f} of the peak of a step"
    return {"step MiB": step / 2**20, "evaluation MiB": evaluation / 2**20, "estimate / peak": ratio}


def specs(folder: Path, large: bool) -> dict[str, Experiment]:
    """Return a ResNet on CIFAR's shapes, the same in bf16, and a language model, each with more rows to evaluate."""
    rows, width, context = (4096, 64, 256) if large else (256, 8, 32)
    part = {"validation": 0.5}
    shape = (3, 32, 32) if large else (3, 16, 16)
    resnet = {"dataset": images(folder, rows, shape) | part, "model": {"kind": "resnet", "width": width}}
    words = {"kind": "transformer", "width": 4 * width, "heads": 4, "layers": 4, "outputs_at": "every", "causal": True}
    language = {"dataset": text(folder, 40 * context * 8, context) | part, "batch_size": 16}
    found: dict[str, dict[str, Any]] = {
        "resnet": resnet,
        "resnet bf16": resnet | {"precision": "bf16"},
        "transformer": language | {"model": words | {"vocabulary": 65}},
    }
    plain = {"loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "adam"}, "steps": 2, "batch_size": 64}
    return {name: Experiment.model_validate_json(json.dumps(plain | more)) for name, more in found.items()}


def peak_bytes(on: torch.device, work: Callable[[], object]) -> int:
    """Return how far the bytes in use grow while `work` runs."""
    gc.collect()
    if on.type != "cuda":
        with LiveBytes() as live:
            work()
        return live.peak
    torch.cuda.synchronize(on)
    before = torch.cuda.memory_allocated(on)
    torch.cuda.reset_peak_memory_stats(on)
    work()
    torch.cuda.synchronize(on)
    return torch.cuda.max_memory_allocated(on) - before


def estimated(training: Training) -> int:
    """Return the bytes that a step is estimated to add to the weights and the rows."""
    memory = estimate_memory(training.spec)
    assert memory is not None
    return memory.gradients + memory.activations


if __name__ == "__main__":
    main(check)
