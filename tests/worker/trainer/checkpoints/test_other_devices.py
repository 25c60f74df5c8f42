"""A checkpoint of another kind of device: the reader keeps its own switches and its own generator.

The meta device stands in for the other kind, and the writer's switches are faked in its file.
"""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.worker.trainer.checkpoints.test_checkpoint import FURTHER, NOISY, OPTIMIZERS, trace, weights
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import Training, prepare
from worker.trainer.optim.load_state import COUNTERS, SWITCHES, load_optimizer

CPU = torch.device("cpu")
SPECS: dict[str, dict[str, Any]] = {
    **{"-".join(map(str, each.values())): {"optimizer": each} for each in OPTIMIZERS},
    **FURTHER,
}
TORCHS: dict[str, Any] = {
    "capturable": [
        *(torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax, torch.optim.NAdam, torch.optim.RAdam),
        *(torch.optim.RMSprop, torch.optim.Adadelta, torch.optim.Rprop, torch.optim.ASGD),
    ],
    "fused": [torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad],
}


def switches(training: Training) -> list[dict[str, Any]]:
    groups = [group for optimizer in training.optimizers for group in optimizer.param_groups]
    return [{name: group[name] for name in SWITCHES if name in group} for group in groups]


def as_from_another_device(document: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Turn every switch that the file has the other way, and give each step another type."""
    for part in (name for name in document if name.partition("-")[0] == "optimizer"):
        for group in document[part]["param_groups"]:
            group |= {name: not group[name] for name in SWITCHES if name in group and name != "differentiable"}
    for name, value in tensors.items():
        if name.startswith("optimizer") and name.endswith("/step") and value.is_floating_point():
            tensors[name] = value.double()


@pytest.mark.parametrize("name", SPECS)
def test_a_reader_keeps_its_own_switches_and_goes_on_the_same(name: str, experiment: Any) -> None:
    spec = experiment(model=NOISY, steps=20, **SPECS[name])
    whole = prepare(spec, 3, CPU)
    trace(whole, 9)
    tensors, document = copy.deepcopy(checkpoint.snapshot(whole))
    as_from_another_device(document, tensors)
    rest = trace(whole)
    reader = prepare(spec, 3, CPU)
    own = switches(reader)
    checkpoint.restore(reader, tensors, document)
    assert switches(reader) == own
    if type(reader.optimizers[0]).__module__.startswith("torch.optim."):
        steps = [state.get("step") for state in reader.optimizers[0].state.values()]
        assert {step.dtype for step in steps if isinstance(step, Tensor)} <= {torch.float32}
    assert trace(reader) == rest
    assert all(torch.equal(a, b) for a, b in zip(weights(reader), weights(whole), strict=True))


@pytest.mark.parametrize(
    ("switch", "optimizer"),
    [(switch, each) for switch, optimizers in TORCHS.items() for each in optimizers],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_step_lies_where_the_readers_kernel_reads_it(switch: str, optimizer: Any) -> None:
    """Written on a CPU; read by a training on a device whose kernel does, or does not, read it there."""
    weight = nn.Parameter(torch.ones(3))
    writer = optimizer([weight])
    weight.grad = torch.ones(3)
    writer.step()
    brought_back = optimizer is not torch.optim.NAdam  # torch moves its product to meta, where no value is
    for on_device in (True, False) if brought_back else (True,):
        reader = optimizer([nn.Parameter(torch.ones(3, device="meta"))])
        reader.param_groups[0][switch] = on_device
        load_optimizer(reader, writer.state_dict())
        (state,) = reader.state.values()
        expected = "meta" if on_device or optimizer is torch.optim.ASGD else "cpu"
        counters = [state[name] for name in COUNTERS if name in state]
        assert {(value.device.type, value.dtype) for value in counters} == {(expected, torch.float32)}
        assert {value.device.type for name, value in state.items() if name not in COUNTERS} <= {"meta"}
        assert reader.param_groups[0][switch] is on_device


# generators


class Cuda:
    """A stand-in for torch.cuda's generators of two GPUs."""

    def __init__(self) -> None:
        self.states = {index: torch.tensor([index], dtype=torch.uint8) for index in range(2)}

    def get_rng_state(self, device: torch.device) -> Tensor:
        return self.states[device.index or 0]

    def set_rng_state(self, state: Tensor, device: torch.device) -> None:
        self.states[device.index or 0] = state


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()
    for name in ("get_rng_state", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    return made


def test_only_the_generators_of_the_cpu_and_of_the_own_device_are_saved(cuda: Cuda) -> None:
    assert set(checkpoint.random_states(CPU)) == {"random/cpu"}
    found = checkpoint.random_states(torch.device("cuda:0"))
    assert set(found) == {"random/cpu", "random/cuda:0"}
    assert torch.equal(found["random/cuda:0"], cuda.states[0])


@pytest.mark.parametrize(
    ("gpus", "written_on", "expected"),
    [
        ((7,), "cuda:0", 7),
        ((7,), None, 7),
        ((7, 8, 9), "cuda:2", 9),  # of an earlier release, which saved the generators of all
        ((7, 8, 9), "cuda:0", 7),
        ((), "cpu", 0),  # of a CPU run: the generator stays
    ],
)
def test_a_gpu_gets_the_state_of_the_writers_device(
    gpus: tuple[int, ...], written_on: str | None, expected: int, cuda: Cuda, experiment: Any
) -> None:
    training = prepare(experiment(), 0, CPU)
    tensors, document = checkpoint.snapshot(training)
    tensors |= {f"random/cuda:{at}": torch.tensor([value], dtype=torch.uint8) for at, value in enumerate(gpus)}
    document |= {"environment": {"device": written_on}} if written_on else {}
    reader = prepare(experiment(), 0, CPU)
    reader.device = torch.device("cuda:0")
    checkpoint.restore(reader, tensors, document)
    assert cuda.states[0].item() == expected
    assert cuda.states[1].item() == 1
    reader.device = CPU  # a CPU reads it too, and leaves the GPUs alone
    cuda.states[0] = torch.tensor([3], dtype=torch.uint8)
    checkpoint.restore(reader, tensors, document)
    assert cuda.states[0].item() == 3


def test_a_fork_of_a_gpu_run_takes_the_gpus_generator(cuda: Cuda, experiment: Any, tmp_path: Path) -> None:
    parent = prepare(experiment(), 0, CPU)
    parent.device = torch.device("cuda:0")
    cuda.states[0] = torch.tensor([9], dtype=torch.uint8)
    saved = checkpoint.save(tmp_path, parent, {"environment": {"device": "cuda:0"}})
    cuda.states[0] = torch.tensor([3], dtype=torch.uint8)
    fork = prepare(experiment(), 0, CPU)
    fork.device = torch.device("cuda:0")
    checkpoint.load_fork(saved.folder, saved.sha256, fork)
    assert cuda.states[0].item() == 9
