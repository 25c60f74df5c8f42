"""The weights that a run starts from, loaded from an uploaded or mounted safetensors file."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from service.errors import Invalid, RunFailure
from service.ingest.weights.mounted import weights_file
from service.spec.experiment import Experiment
from service.spec.start_weights import MAX_SHOWN, StartWeights, head_of, is_in
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.mounted import mounted_root
from worker.trainer.data.uploads import check_sha256, verify_upload


def load_start(model: nn.Module, spec: Experiment, files: DatasetFolders) -> None:
    """Copy the spec's start weights into the model; raise `RunFailure` where names, shapes or types differ.

    Every parameter and buffer must be in the file, except those of a new head; nothing is copied if one is not.
    """
    if spec.start is None:
        return
    given = _read(_verified(spec.start, files))
    own = model.state_dict()
    kept = _kept(spec.start, model)
    problems = [f"{name} is not in the model" for name in given if name not in own and not is_in(name, kept)]
    for name, tensor in own.items():
        if kept and is_in(name, kept):
            continue
        if name not in given:
            problems.append(f"{name} is not in the file")
        elif given[name].shape != tensor.shape:
            problems.append(f"{name} is {list(given[name].shape)} in the file, not {list(tensor.shape)}")
        elif tensor.is_floating_point() and (fault := _unfit(given[name])):
            problems.append(f"{name} {fault}")
    if problems:
        more = f", and {len(problems) - MAX_SHOWN} more" if len(problems) > MAX_SHOWN else ""
        raise RunFailure("spec_cannot_build", f"/start/{spec.start.source}: {', '.join(problems[:MAX_SHOWN])}{more}")
    with torch.no_grad():
        for name, tensor in own.items():  # the model's own tensors, not copies
            if not (kept and is_in(name, kept)):
                tensor.copy_(given[name])


def _unfit(tensor: Tensor) -> str:
    """Return why the numbers of a tensor are no weights or statistics: whole ones, or some that are not finite."""
    if not tensor.is_floating_point():
        return f"holds {str(tensor.dtype).removeprefix('torch.')} in the file, not floating-point numbers"
    bad = tensor.numel() - int(tensor.isfinite().sum())
    return f"has {bad} of {tensor.numel()} values in the file that are NaN or infinite" if bad else ""


def _verified(start: StartWeights, files: DatasetFolders) -> Path:
    """Return the file; raise `RunFailure` if it is missing or not what it was."""
    if start.mounted is None:
        return verify_upload(files, start.found.sha256)
    try:
        path = weights_file(mounted_root(files), start.mounted)
    except Invalid as error:
        raise RunFailure("dataset_missing", error.problems[0].detail) from error
    check_sha256(path, start.found.sha256, f"the mounted file {start.mounted}")
    return path


def _kept(start: StartWeights, model: nn.Module) -> str:
    """Return the module that keeps its initialisation: the last one with parameters; empty: none does."""
    return head_of([name for name, _ in model.named_parameters()]) if start.head == "new" else ""


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunFailure("dataset_changed", f"the start weights cannot be read ({type(error).__name__})") from error
