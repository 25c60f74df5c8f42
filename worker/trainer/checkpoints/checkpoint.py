"""Checkpoints: folders with everything that later steps depend on, written once and verified by hash.

    step-120/tensors.safetensors   model/<name>, optimizer/<parameter>/<name> (further ones: optimizer-1/...),
                                   random/cpu, random/cuda:0 (of a GPU run, the generator of its device),
                                   random/rank-1/cpu, ... (the same of the further ranks of a run on several devices),
                                   mechanics/clipped, mechanics/average/<name>,
                                   loss/<name> of a loss with buffers
    step-120/predictions.parquet   of the validation part, in the last one of a run whose spec asks for it
    step-120/state.json            step, seed, spec and its hash, environment, which optimizer steps what, its plain
                                   values, a plateau's state, what precision, stop rules and the best so far remember,
                                   gradients computed by a line search, strides of what lay in another order,
                                   and the text that rebuilds the model without Saddle

Python's and numpy's generators are not saved: training does not draw from them.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.errors import RunFailure
from service.spec.experiment import Experiment
from service.storage.files import PREDICTIONS, STATE, TENSORS, sha256_of_folder, sync_to_disk
from worker.memory import available_bytes
from worker.trainer.checkpoints import optimizer_state
from worker.trainer.checkpoints.fork import layout, part_of, restore_fork, under
from worker.trainer.loop import Training
from worker.trainer.models.source import model_source

Tensors = dict[str, Tensor]
OWN_GPU = "cuda:0"  # how a trainer sees its device


class Saved(NamedTuple):
    """A checkpoint that is safely on disk."""

    folder: Path
    sha256: str  # of state.json and the tensors, in this order
    size_bytes: int


class State(NamedTuple):
    """What a checkpoint holds: tensors on the host, and the text of state.json."""

    step: int
    tensors: Tensors
    text: str
    is_copy: bool = False  # else further steps change it
    predictions: Path | None = None  # a file beside, which becomes part of the checkpoint
    copied: torch.cuda.Event | None = None  # on a GPU the copies are complete once this has passed


def save(folder: Path, training: Training, extra: dict[str, Any]) -> Saved:
    """Write the state of `training`; see `write`."""
    return write(folder, current_state(training, extra))


def current_state(training: Training, extra: dict[str, Any]) -> State:
    """Return the state of `training`, which must not go on before it is written."""
    tensors, document = snapshot(training)
    return State(training.step, tensors, _encode(document | extra))


def copy_state(training: Training, extra: dict[str, Any], buffers: Tensors) -> State:
    """Copy the state of `training`, so that it can go on at once; without room for a copy return the current state.

    The copies stay in `buffers` for the next call: memory that was used before is copied to five times as fast. On a
    GPU the copies, into pinned memory, are only queued.
    """
    tensors, document = _named_state(training)
    on_gpu = training.device.type == "cuda"
    for name in [name for name, buffer in buffers.items() if not _fits(buffer, tensors.get(name))]:
        del buffers[name]
    if not (on_gpu or _has_room([tensor for name, tensor in tensors.items() if name not in buffers])):
        return current_state(training, extra)
    for name, tensor in tensors.items():
        if name not in buffers:
            buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        buffers[name].copy_(tensor.detach(), non_blocking=tensor.is_cuda)
    copied = torch.cuda.current_stream().record_event() if on_gpu else None  # behind all copies
    return State(training.step, dict(buffers), _encode(document | extra), is_copy=True, copied=copied)


def _fits(buffer: Tensor, tensor: Tensor | None) -> bool:
    return tensor is not None and (buffer.shape, buffer.dtype) == (tensor.shape, tensor.dtype)


def _has_room(tensors: list[Tensor]) -> bool:
    """Whether new copies take at most half of the memory that is available."""
    available = available_bytes()
    return available is None or 2 * sum(tensor.nbytes for tensor in tensors) <= available


def _encode(document: dict[str, Any]) -> str:
    return json.dumps(document, allow_nan=False, sort_keys=True)


def write(folder: Path, state: State) -> Saved:
    """Write a state into a new folder inside `folder`, atomically.

    The name appears once the files are synced to disk, and is synced itself on return. Raises OSError where the disk is
    full or broken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = _free_name(folder, state.step)
    partial = folder / f".{final.name}.{os.getpid()}"
    partial.mkdir()
    try:
        if state.copied is not None:
            state.copied.synchronize()
        save_file(state.tensors, partial / TENSORS)
        (partial / STATE).write_text(state.text)
        if state.predictions is not None:
            shutil.copyfile(state.predictions, partial / PREDICTIONS)  # a confined trainer can move nothing
        for path in (*partial.iterdir(), partial):
            sync_to_disk(path)
        saved = Saved(final, sha256_of_folder(partial), sum(path.stat().st_size for path in partial.iterdir()))
        partial.rename(final)
        sync_to_disk(folder)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, SafetensorError):  # how its writer reports an OSError
            raise OSError(str(error)) from error
        raise
    finally:
        if state.predictions is not None:
            state.predictions.unlink(missing_ok=True)
    return saved


def _free_name(folder: Path, step: int) -> Path:
    """Return step-<n>, with a further number if that exists: a row may refer to the older one."""
    path, again = folder / f"step-{step}", 1
    while path.exists():
        again += 1
        path = folder / f"step-{step}-{again}"
    return path


def load(folder: Path, sha256: str, training: Training) -> dict[str, Any]:
    """Restore `training` from a checkpoint, random states last; return its state.json.

    Raise `RunFailure` checkpoint_damaged if anything is missing, truncated, changed, or another run's.
    """
    tensors, document = read(folder, sha256)
    check_owner(folder, document, training.spec, training.seed)
    restore(training, tensors, document)
    return document


def check_owner(folder: Path, document: dict[str, Any], spec: Experiment, seed: int) -> None:
    """Raise `RunFailure` for a checkpoint of another run."""
    if document["spec_hash"] not in (spec.hash, spec.hash_without_plugins) or document["seed"] != seed:
        raise _damaged(folder, "belongs to another spec or seed")


def load_fork(folder: Path, sha256: str, training: Training) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start a fork from its parent's checkpoint; return state.json and what was restored."""
    tensors, document = read(folder, sha256)
    taken = restore_fork(training, tensors, document)
    taken["random"] = document["seed"] == training.seed or "the seed was changed"
    if taken["random"] is True:
        _restore_random_states(training, tensors, document)
    return document, taken


def read(folder: Path, sha256: str, parts: tuple[str, ...] | None = None) -> tuple[Tensors, dict[str, Any]]:
    """Return tensors, all or those of `parts`, and state.json of a checkpoint.

    Raise `RunFailure` unless it is exactly what was written.
    """
    try:
        found = sha256_of_folder(folder)
    except OSError as error:
        raise _damaged(folder, f"cannot be read ({error.strerror})") from error
    if found != sha256:
        raise _damaged(folder, "is not what was written: its sha256 differs")
    try:
        document = json.loads((folder / STATE).read_bytes())
        tensors = _load_parts(folder / TENSORS, parts)
    except (OSError, ValueError, SafetensorError) as error:  # it changed since it was hashed
        raise _damaged(folder, f"cannot be read ({type(error).__name__})") from error
    strides = {name: each for name, each in document.get("strides", {}).items() if name in tensors}
    return _restore_strides(tensors, strides), dict(document)


def _load_parts(path: Path, parts: tuple[str, ...] | None) -> Tensors:
    if parts is None:
        return dict(load_file(path))
    with safe_open(path, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys() if name.split("/")[0] in parts}  # noqa: SIM118


def _damaged(folder: Path, what: str) -> RunFailure:
    return RunFailure("checkpoint_damaged", f"the checkpoint {folder.name} {what}", evidence={"folder": str(folder)})


def snapshot(training: Training) -> tuple[Tensors, dict[str, Any]]:
    """Return the state as tensors by name on the host, which later steps may change, and the rest as JSON."""
    tensors, document = _named_state(training)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, document


def _named_state(training: Training) -> tuple[Tensors, dict[str, Any]]:
    """Return the tensors of the state by name, and the rest as JSON."""
    state = training.state()
    tensors = {f"model/{name}": tensor for name, tensor in state["model"].items()}
    tensors |= {f"mechanics/{name}": tensor for name, tensor in state["mechanics"]["tensors"].items()}
    tensors |= {f"loss/{name}": tensor for name, tensor in state["loss"].items()}
    optimizers = {part_of(at): each for at, each in enumerate(state["optimizers"])}
    document: dict[str, Any] = {
        "step": state["step"],
        "seed": training.seed,
        "spec": training.spec.normalised(),
        "spec_hash": training.spec.hash,
        "layout": layout(training),
        "source": model_source(training.spec),
        "schedule": state["schedule"],
        "mechanics": state["mechanics"]["document"],
        "evaluations": state["evaluations"],
    }
    document |= {part: optimizer_state.flatten_state(each, part, tensors) for part, each in optimizers.items()}
    tensors |= random_states(training.device) | training.rank_states()
    document["strides"] = {name: list(tensor.stride()) for name, tensor in tensors.items() if _permuted(tensor)}
    return tensors, document


def _permuted(tensor: Tensor) -> bool:
    """Whether its memory order differs from a file's: products sum in memory order."""
    if tensor.is_contiguous():
        return False
    return torch.empty_like(tensor, device="meta").stride() == tensor.stride()  # else it has gaps, and is a view


def _restore_strides(tensors: Tensors, strides: dict[str, list[int]]) -> Tensors:
    """Return a file's tensors in their former memory order."""
    laid = {name: torch.empty_strided(tensors[name].shape, s, dtype=tensors[name].dtype) for name, s in strides.items()}
    return tensors | {name: tensor.copy_(tensors[name]) for name, tensor in laid.items()}


def restore(training: Training, tensors: Tensors, document: dict[str, Any]) -> None:
    """The reverse of `snapshot`."""
    model, mechanics = under("model", tensors), under("mechanics", tensors)
    names = [part_of(at) for at in range(len(training.optimizers))]
    optimizers = [optimizer_state.unflatten_state(document[name], name, tensors) for name in names]
    parts = {"model": model, "optimizers": optimizers, "schedule": document.get("schedule")}
    parts["evaluations"] = document.get("evaluations", 0)
    parts["loss"] = under("loss", tensors)
    parts["mechanics"] = {"tensors": mechanics, "document": document.get("mechanics")}
    training.load({"step": document["step"]} | parts)
    _restore_random_states(training, tensors, document)


def random_states(device: torch.device) -> Tensors:
    """Return the states of the generators that a training draws from: the CPU's and its own device's."""
    states = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":  # a query in a CPU run would start CUDA
        states[f"random/{OWN_GPU}"] = torch.cuda.get_rng_state(device)
    return states


def _restore_random_states(training: Training, tensors: Tensors, document: dict[str, Any]) -> None:
    states = under(f"random/rank-{training.rank}" if training.rank else "random", tensors)
    if not states:
        return  # of a rank that the writer did not have: it keeps the seed's
    # a trainer of an earlier release could be on any GPU, and saved the generators of all
    written_on = document.get("environment", {}).get("device")
    gpus = {name: state for name, state in states.items() if name != "cpu"}
    set_random_states(training.device, states["cpu"], gpus.get(written_on, gpus.get(OWN_GPU)))


def set_random_states(device: torch.device, cpu: Tensor, gpu: Tensor | None) -> None:
    """Set the generators of the CPU and of `device`; a GPU's keeps the seed's state if the writer had no GPU."""
    torch.set_rng_state(cpu)
    if device.type == "cuda" and gpu is not None:
        torch.cuda.set_rng_state(gpu, device)
