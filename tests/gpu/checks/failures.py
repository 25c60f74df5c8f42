"""Failures: assertions, memory that runs out anywhere, and NaN, each by its kind and cause.

A trainer process of its own meets each; after what a trainer does not survive, a fresh one warms up on the device.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from tests.gpu.trainers import MIB, Trainer
from tests.harness import troubled_model
from worker.protocol import Ended, Failed, Ready, TrainRequest
from worker.supervisor.causes import assertion_evidence

LIMIT_S = 120
RUNS_ON_CPU = True
PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 10,
    "evaluate": {"every_steps": 5},
    "probes": (),
}
LABEL, INDEX, FULL = "label is outside 0..K-1", "index is outside its tensor", "GPU's memory is full"
HOG_LEFT_MIB = 600  # what a process of its own leaves: less than a run needs, and enough for a trainer's context
WIDE = {"kind": "mlp", "hidden": (8192, 8192)}  # 0.25 GiB of parameters, as much of gradients, twice that of Adam


def check() -> dict[str, float | str]:
    """Meet each failure; return the seconds until it was reported, and until a fresh trainer was warm."""
    on = device()
    full = "cuda_oom" if on.type == "cuda" else "out_of_memory"
    met = [("nan", "diverged", ""), ("label", "crashed", LABEL), ("full", full, "")]
    if on.type == "cuda":
        met += [("token", "crashed", INDEX), ("full_at_build", full, FULL), ("full_in_evaluation", full, FULL)]
    figures: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as folder, environment(PYTHONPATH=str(troubled_model.install(Path(folder)))):
        trainer = FailingTrainer(on)
        for trouble, kind, cause in met:
            began = time.perf_counter()
            usable = meet(trainer, folder, trouble, kind, cause)
            figures[f"{trouble}, s"] = time.perf_counter() - began
            if not usable:
                trainer.kill()
                trainer = FailingTrainer(on)
        trainer.run(normalised(PLAIN), folder)
        trainer.kill()
        if on.type == "cuda":
            figures["after a hog, s"] = meet_a_hog(on, folder)
    return figures


def meet(trainer: "FailingTrainer", folder: str, trouble: str, kind: str, cause: str) -> bool:
    """Train the troubled model; its failure has this kind and cause. Return whether the trainer can be used again."""
    model = {"kind": "troubled", "trouble": trouble, "at": 3}
    failed = trainer.fail(normalised(PLAIN) | {"model": model}, folder)
    assert failed.kind == kind, f"{trouble}: {failed.kind} ({failed.detail}), not {kind}"
    if not failed.trainer_usable:
        told = failed.evidence | assertion_evidence(trainer.output())
        assert cause in told.get("cause", ""), f"{trouble}: {told}"
    return failed.trainer_usable


def meet_a_hog(on: torch.device, folder: str) -> float:
    """Run out of memory beside a process that holds nearly all of it; return the seconds to train once it has gone."""
    spec = normalised(PLAIN | {"dataset": {"kind": "digits"}, "model": WIDE, "optimizer": {"kind": "adam"}})
    trainer = FailingTrainer(on)
    free, _ = torch.cuda.mem_get_info(on)
    hog = torch.empty(free - HOG_LEFT_MIB * MIB, dtype=torch.uint8, device=on)
    failed = trainer.fail(spec, folder)
    assert failed.kind == "cuda_oom", f"beside a hog: {failed.kind} ({failed.detail})"
    trainer.kill()
    del hog
    torch.cuda.empty_cache()
    began = time.perf_counter()
    fresh = FailingTrainer(on)
    fresh.run(spec, folder)
    fresh.kill()
    return time.perf_counter() - began


class FailingTrainer(Trainer):
    """A trainer whose run is expected to fail, once it is warm; its stderr is kept."""

    def __init__(self, on: torch.device) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the trainer
        super().__init__(on, self._stderr)
        self.wait(Ready)

    def fail(self, spec: dict[str, Any], folder: str) -> Failed:
        """Train until the failure."""
        plain: dict[str, Any] = {"threads": 1, "flush_s": 0.2, "checkpoint_s": 60.0}
        self.send(TrainRequest(spec=spec, seed=0, folder=folder, **plain))
        frame = self.wait(Ended, Failed)
        assert isinstance(frame, Failed), "the run succeeded"
        return frame

    def output(self) -> str:
        """Return what it wrote to stderr; it ends after a failure that it does not survive."""
        self.process.wait(10)
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")


def normalised(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec with every default."""
    return Experiment.model_validate(spec).normalised()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables for the processes started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


if __name__ == "__main__":
    main(check)
