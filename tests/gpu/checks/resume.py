"""Replays and resumed runs equal the run to the last bit; checkpoints move between GPU and CPU."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import Training, prepare, train

LIMIT_S = 60
RUNS_ON_CPU = True
CPU = torch.device("cpu")
STEPS, CUT = 16, 7
ACROSS = 1e-3  # relative difference of a loss after a change of the device's kind
DROPOUT = 0.3
FAMILIES: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "hidden": [32], "norm": "batch", "dropout": DROPOUT},
    "cnn": {"kind": "cnn", "channels": [8], "norm": "batch", "dropout": DROPOUT},
    "resnet": {"kind": "resnet", "width": 4},
    "rnn": {"kind": "rnn", "layers": 2, "dropout": DROPOUT},
    "gru": {"kind": "gru", "layers": 2, "dropout": DROPOUT, "bidirectional": True},
    "lstm": {"kind": "lstm", "layers": 2, "dropout": DROPOUT},
    "transformer": {"kind": "transformer", "width": 16, "layers": 2, "dropout": DROPOUT},
}
MECHANICS: dict[str, dict[str, Any]] = {
    **{kind: {"optimizer": {"kind": kind}} for kind in ("sgd", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop")},
    **{kind: {"optimizer": {"kind": kind}} for kind in ("adagrad", "adadelta", "rprop", "asgd", "adafactor")},
    "momentum": {"optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True}},
    "muon": {
        "optimizer": {"kind": "adamw"},
        "groups": [{"match": {"name": "layers.0.weight"}, "optimizer": {"kind": "muon"}}],
    },
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "tf32": {"precision": "tf32"},
    "accumulate, clip, ema": {"accumulate": 3, "clip": {"norm": 0.1}, "average": {"kind": "ema", "decay": 0.9}},
}


def check() -> dict[str, float | str]:
    """Run every case three times: whole, again, and cut with a checkpoint loaded into fresh state."""
    on = device()
    cases = {name: {"model": model} for name, model in FAMILIES.items()}
    cases |= {name: {"model": FAMILIES["mlp"]} | changes for name, changes in MECHANICS.items()}
    different, figures = dict[str, str](), dict[str, float | str]()
    with tempfile.TemporaryDirectory() as folder:
        for name, changes in cases.items():
            if what := difference(spec_of(changes), on, Path(folder, name)):
                different[name] = what
        if on.type == "cuda":
            for name in ("mlp", "lstm", "adam", "nadam", "asgd"):
                figures[f"{name}: GPU to CPU"] = across(spec_of(cases[name]), on, CPU, Path(folder, name))
                figures[f"{name}: CPU to GPU"] = across(spec_of(cases[name]), CPU, on, Path(folder, name))
    assert not different, f"not equal to the last bit: {different}"
    return {"cases identical": float(len(cases))} | figures


def spec_of(changes: dict[str, Any]) -> Experiment:
    """Return a run on digits that evaluates often."""
    document = {"dataset": {"kind": "digits"}, "loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "adamw"}}
    document |= {"batch_size": 32, "steps": STEPS, "evaluate": {"every_steps": 5}} | changes
    return Experiment.model_validate_json(json.dumps(document))


def trace(training: Training, until: int = STEPS) -> list[Any]:
    """Return every value that is recorded; the cosine with the gradient before is no part of a checkpoint."""
    seen = []
    for step in train(training):
        metrics = {name: float(v).hex() for name, v in (step.metrics or {}).items() if name != "cosine/gradient"}
        seen.append((step.step, step.lr, step.loss.item(), metrics))
        if step.step == until:
            break
    return seen


def resumed(spec: Experiment, on: torch.device, then: torch.device, folder: Path) -> tuple[list[Any], Training]:
    """Train to the cut, save, disturb the generators, and train on from the file."""
    training = prepare(spec, 3, on)
    seen = trace(training, CUT)
    saved = checkpoint.save(folder, training, {"environment": {"device": str(on)}})
    torch.manual_seed(99)
    training = prepare(spec, 3, then)
    checkpoint.load(saved.folder, saved.sha256, training)
    return seen + trace(training), training


def difference(spec: Experiment, on: torch.device, folder: Path) -> str | None:
    """Return what differs between a run, its replay and the same run cut in two; None: not a bit."""
    whole = prepare(spec, 3, on)
    expected, replay = trace(whole), trace(prepare(spec, 3, on))
    seen, training = resumed(spec, on, on, folder)
    for word, found in (("replay", replay), ("resumed", seen)):
        for one, other in zip(expected, found, strict=True):
            if str(one) != str(other):
                return f"{word} at step {one[0]}"
    weights = zip(whole.model.state_dict().items(), training.model.state_dict().values(), strict=True)
    return next((f"weight {name}" for (name, one), other in weights if not torch.equal(one, other)), None)


def across(spec: Experiment, on: torch.device, then: torch.device, folder: Path) -> float:
    """Return how far the first loss after a change of the device is from the one without it.

    Later losses differ by their dropout: each kind of device draws its own.
    """
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"dropout": 0.0})})
    expected, (seen, _) = trace(prepare(spec, 3, on)), resumed(spec, on, then, folder)
    one, other = expected[CUT][2], seen[CUT][2]
    apart = abs(one - other) / abs(one)
    assert apart <= ACROSS, f"{spec.model.kind} from {on} to {then}: {one} became {other}"
    return float(apart)


if __name__ == "__main__":
    main(check)
