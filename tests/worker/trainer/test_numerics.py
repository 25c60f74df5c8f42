"""Precision and determinism: set for each run, recorded, compared at a resume; what strict refuses and warn reports."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from service.errors import RunFailure
from service.lifecycle import FailureClass, failure_class
from service.spec.experiment import Experiment
from worker.protocol import Checkpoint, Ended, Frame, Reading, Started, Stop, TrainRequest
from worker.trainer import requests
from worker.trainer.environment import environment, environment_differences
from worker.trainer.failures import REUSABLE_AFTER
from worker.trainer.loop import Training, prepare, train
from worker.trainer.numerics import nondeterministic_operation, numerics, report_nondeterminism, set_numerics

CPU, GPU = torch.device("cpu"), torch.device("cuda")  # a GPU's settings can be made without one
EXACT = {"matmul": "ieee", "convolution": "ieee", "rnn": "ieee"}
TF32 = dict.fromkeys(EXACT, "tf32")


class Frames:
    """A supervisor that keeps what it is sent."""

    stop: Stop | None = None

    def __init__(self) -> None:
        self.sent: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.sent.append(frame)

    def of(self, kind: type[Any]) -> list[Any]:
        return [frame for frame in self.sent if isinstance(frame, kind)]


def train_session(spec: Experiment, folder: Path, **more: Any) -> Frames:
    frames, document = Frames(), spec.normalised()
    request = TrainRequest(spec=document, seed=0, threads=1, flush_s=1.0, checkpoint_s=60.0, folder=str(folder), **more)
    requests.run_request(request, CPU, frames)
    return frames


class Scattering(nn.Module):
    """The identity, by an operation that has no deterministic kernel on any device."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.put(torch.arange(x.numel()), x.reshape(-1))


@pytest.fixture
def scattering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model that a session builds ends in such an operation."""

    def with_scattering(*arguments: Any) -> Training:
        training = prepare(*arguments)
        training.model.register_forward_hook(lambda _, rows, outputs: Scattering()(outputs))
        return training

    monkeypatch.setattr(requests, "prepare", with_scattering)


@pytest.fixture(autouse=True)
def _numerics_as_before() -> Any:
    yield
    set_numerics("fp32", "off", CPU)


# precision


def test_fp32_is_fp32_in_every_backend_though_torch_would_take_tf32_for_convolutions(experiment: Any) -> None:
    torch.backends.cudnn.allow_tf32 = True  # torch's own default
    prepare(experiment(), 0, CPU)
    assert numerics(GPU)["fp32_products"] == numerics(CPU)["fp32_products"] == EXACT
    assert not torch.backends.cudnn.allow_tf32  # the older interface raises where it disagrees with the new one
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


def test_tf32_holds_for_products_convolutions_and_recurrent_cells_of_a_gpu_only() -> None:
    set_numerics("tf32", "strict", GPU)
    assert numerics(GPU)["fp32_products"] == TF32
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (True, True)
    set_numerics("tf32", "strict", CPU)
    assert numerics(GPU)["fp32_products"] == numerics(CPU)["fp32_products"] == EXACT


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_autocast_leaves_in_fp32_is_exact(precision: Any) -> None:
    set_numerics("tf32", "off", GPU)
    set_numerics(precision, "strict", GPU)
    assert numerics(GPU)["fp32_products"] == EXACT


def test_a_run_leaves_nothing_to_the_next_one(experiment: Any) -> None:
    prepare(experiment(), 0, CPU)
    first = numerics(GPU)
    set_numerics("tf32", "off", GPU)
    torch.backends.cudnn.enabled = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    changed = numerics(GPU)
    assert {name for name in first if first[name] != changed[name]} == set(first)
    prepare(experiment(), 0, CPU)
    assert numerics(GPU) == first
    assert torch.backends.cudnn.enabled
    assert torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction


def test_tf32_on_a_cpu_is_fp32_to_the_last_bit(experiment: Any) -> None:
    curves = [
        [step.loss.item() for step in train(prepare(experiment(**c), 0, CPU))] for c in ({}, {"precision": "tf32"})
    ]
    assert curves[0] == curves[1]


def test_the_environment_holds_the_numerics_and_tells_a_difference_at_a_resume(experiment: Any) -> None:
    prepare(experiment(), 0, CPU)
    exact = environment(CPU, 1)
    assert (exact["determinism"], exact["fp32_products"]) == ("strict", EXACT)
    set_numerics("tf32", "off", GPU)
    differs = environment_differences(exact, exact | numerics(GPU))
    assert differs["fp32_products"] == [EXACT, TF32]
    assert differs["determinism"] == ["strict", "off"]
    assert json.dumps(differs)


def test_precision_and_determinism_in_a_spec(experiment: Any) -> None:
    plain = experiment()
    assert plain.determinism == "strict"
    assert experiment(determinism="strict").hash == plain.hash  # old hashes stay
    others = [
        experiment(**change) for change in ({"determinism": "warn"}, {"determinism": "off"}, {"precision": "tf32"})
    ]
    assert len({plain.hash, *(each.hash for each in others)}) == 4


# determinism


@pytest.mark.usefixtures("scattering")
def test_strict_refuses_the_operation_by_name_once_and_for_all(experiment: Any, tmp_path: Path) -> None:
    with pytest.raises(RunFailure) as caught:
        train_session(experiment(), tmp_path)
    failure = caught.value
    assert (failure.kind, failure.step, failure.evidence) == ("nondeterministic", 0, {"operation": "put_"})
    assert "put_ has no deterministic kernel" in failure.detail
    assert "set it to warn" in failure.detail
    assert failure_class(failure.kind) is FailureClass.PERMANENT  # no further attempt
    assert failure.kind in REUSABLE_AFTER  # nothing is wrong with the trainer


@pytest.mark.usefixtures("scattering")
def test_warn_trains_and_reports_the_operations_of_each_run(experiment: Any, tmp_path: Path) -> None:
    """Python shows a warning of one place once in a process, and a trainer serves many runs."""
    for run in ("first", "second"):
        frames = train_session(experiment(determinism="warn"), tmp_path / run)
        (reading,) = [each for each in frames.of(Reading) if each.name == "nondeterministic_operations"]
        assert reading.step == 1
        assert json.loads(reading.payload) == {"operations": ["put_"]}
        (started,) = frames.of(Started)
        assert (started.environment["determinism"], started.environment["reproducible"]) == ("warn", False)
        assert frames.of(Ended)[0].outcome == "succeeded"


@pytest.mark.parametrize(("determinism", "reproducible"), [("strict", True), ("warn", False), ("off", False)])
def test_a_resume_promises_bits_in_a_strict_run_only(
    determinism: str, reproducible: bool, experiment: Any, tmp_path: Path
) -> None:
    spec = experiment(determinism=determinism)
    (saved,) = train_session(spec, tmp_path / "a").of(Checkpoint)
    resume = {"folder": saved.folder, "sha256": saved.sha256}
    (started,) = train_session(spec, tmp_path / "b", resume=resume).of(Started)
    assert started.environment["reproducible"] is reproducible


def test_what_a_fork_chose_is_no_other_environment(experiment: Any, tmp_path: Path) -> None:
    (saved,) = train_session(experiment(), tmp_path / "a").of(Checkpoint)
    resume = {"folder": saved.folder, "sha256": saved.sha256}
    fork = experiment(determinism="off", steps=50)
    (started,) = train_session(fork, tmp_path / "b", resume=resume, fork=True).of(Started)
    assert (started.environment["determinism"], started.environment["reproducible"]) == ("off", False)
    assert "differs" not in started.environment


@pytest.mark.usefixtures("scattering")
def test_off_lets_cudnn_choose_by_time_and_the_next_run_does_not(experiment: Any, tmp_path: Path) -> None:
    (started,) = train_session(experiment(determinism="off"), tmp_path).of(Started)
    assert (started.environment["determinism"], started.environment["cudnn_benchmark"]) == ("off", True)
    prepare(experiment(), 0, CPU)
    assert (numerics(GPU)["determinism"], numerics(GPU)["cudnn_benchmark"]) == ("strict", False)


def test_other_warnings_are_shown_as_before() -> None:
    found: list[str] = []
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        shown_before = warnings.showwarning
        with report_nondeterminism(found.append):
            warnings.warn("Named tensors are experimental", UserWarning, stacklevel=1)
        assert warnings.showwarning is shown_before
    assert (found, len(shown)) == ([], 1)


@pytest.mark.parametrize(
    ("message", "operation"),
    [
        ("cumsum_cuda_kernel does not have a deterministic implementation, but you set", "cumsum_cuda_kernel"),
        ("Memory Efficient attention defaults to a non-deterministic algorithm.", "memory-efficient attention"),
        (
            "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
            "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because it uses "
            "CuBLAS and you have CUDA >= 10.2.",
            "a product by cuBLAS",
        ),
        ("CUDA error: device-side assert triggered", None),
    ],
)
def test_torchs_messages_name_the_operation(message: str, operation: str | None) -> None:
    assert nondeterministic_operation(message) == operation
