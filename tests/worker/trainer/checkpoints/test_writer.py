"""Checkpoints are written beside the training: it goes on, and what is written is the state at their step."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from service.errors import RunFailure
from worker.protocol import Checkpoint, CheckpointFailed, Ended, Frame, Points, Snapshot, Stop, TrainRequest
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.checkpoint import Saved, State
from worker.trainer.loop import prepare, train
from worker.trainer.requests import run_request

CPU = torch.device("cpu")
EVERY, STEPS = 10, 40
write = checkpoint.write


class Supervisor:
    """Collects frames; tells when points beyond a step have come."""

    def __init__(self, beyond: int = EVERY) -> None:
        self.stop: Stop | None = None
        self.received: list[Frame] = []
        self.beyond, self.came = beyond, threading.Event()

    def send(self, frame: Frame) -> None:
        self.received.append(frame)
        if isinstance(frame, Points) and any(s["first"] + s["n"] - 1 > self.beyond for s in frame.series):
            self.came.set()

    def of(self, *kinds: type[Frame]) -> list[Any]:
        return [frame for frame in self.received if isinstance(frame, kinds)]


@pytest.fixture
def spec(experiment: Any) -> Any:
    model = {"kind": "mlp", "hidden": (8,), "norm": "batch", "dropout": 0.3}
    return experiment(
        model=model,
        optimizer={"kind": "adamw"},
        steps=STEPS,
        checkpoint={"every_steps": EVERY},
        average={"kind": "ema"},
    )


def run(spec: Any, folder: Path, supervisor: Supervisor, **more: Any) -> None:
    plain: dict[str, Any] = {"seed": 0, "threads": 1, "flush_s": 0.005, "checkpoint_s": 60.0}
    run_request(TrainRequest(spec=spec.normalised(), folder=str(folder), **(plain | more)), CPU, supervisor)


def late(monkeypatch: pytest.MonkeyPatch, wait: Callable[[State], object]) -> None:
    """Let every write wait first."""

    def waiting(folder: Path, state: State) -> Saved:
        wait(state)
        return write(folder, state)

    monkeypatch.setattr(checkpoint, "write", waiting)


def test_the_training_goes_on_and_the_state_of_the_step_is_written(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor()
    late(monkeypatch, lambda state: state.step > EVERY or supervisor.came.wait(60))
    run(spec, tmp_path / "beside", supervisor)
    assert supervisor.came.is_set()  # points beyond the step came before its checkpoint was written
    monkeypatch.setattr(checkpoint, "write", write)
    saved = supervisor.of(Checkpoint)
    assert [frame.step for frame in saved] == [10, 20, 30, 40]
    assert [type(f) for f in supervisor.of(Snapshot, Checkpoint, Ended)] == [Snapshot, Checkpoint] * 4 + [Ended]
    training = prepare(spec, 0, CPU)
    for step in train(training):
        if step.step % EVERY == 0:
            tensors, document = checkpoint.read(Path(saved[0].folder), saved[0].sha256)
            expected, _ = checkpoint.snapshot(training)
            assert document["step"] == step.step
            assert tensors.keys() == expected.keys()
            assert all(torch.equal(tensors[name], value) for name, value in expected.items())
            saved.pop(0)


@pytest.mark.parametrize("optimizer", [{"kind": "adamw"}, {"kind": "lbfgs", "lr": 0.1, "history_size": 3}])
def test_a_copy_is_independent_and_the_same_bytes(optimizer: Any, experiment: Any, tmp_path: Path) -> None:
    """Also where the buffers of an earlier copy are used again, and the tensors of the state are others by then."""
    training = prepare(experiment(optimizer=optimizer), 0, CPU)
    steps, buffers = train(training), {}
    for _ in range(4):
        next(steps)
        direct, copy = checkpoint.save(tmp_path, training, {}), checkpoint.copy_state(training, {}, buffers)
        next(steps)
        assert copy.is_copy
        assert checkpoint.write(tmp_path, copy).sha256 == direct.sha256
        assert copy.tensors.keys() == buffers.keys()
    assert not checkpoint.current_state(training, {}).is_copy


def test_without_room_for_a_copy_the_training_waits(spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor()
    monkeypatch.setattr(checkpoint, "available_bytes", lambda: 1000)
    late(monkeypatch, lambda state: state.step > EVERY or supervisor.came.wait(0.3))
    run(spec, tmp_path, supervisor)
    frames = supervisor.received
    copied = frames.index(supervisor.of(Snapshot)[0])
    saved = frames.index(supervisor.of(Checkpoint)[0])
    assert not any(isinstance(frame, Points) for frame in frames[copied:saved])
    assert [frame.step for frame in supervisor.of(Checkpoint)] == [10, 20, 30, 40]


@pytest.mark.parametrize("how", ["cancel", "pause"])
def test_a_stop_waits_for_the_write_under_way(
    how: Stop, spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor()

    def stop_first(state: State) -> None:
        if state.step == EVERY:
            supervisor.stop = how
            threading.Event().wait(0.2)

    late(monkeypatch, stop_first)
    run(spec, tmp_path, supervisor)
    ended = supervisor.received[-1]
    assert isinstance(ended, Ended)
    steps = [frame.step for frame in supervisor.of(Checkpoint)]
    assert steps == ([EVERY] if how == "cancel" else [EVERY, ended.step])
    assert not list(tmp_path.glob(".*"))


def test_a_failed_run_waits_for_it_too(experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor()
    late(monkeypatch, lambda state: threading.Event().wait(0.3))
    diverging = experiment(
        dataset={"kind": "diabetes"},
        model={"kind": "linear"},
        loss={"kind": "mse"},
        optimizer={"kind": "sgd", "lr": 10.0},
        checkpoint={"every_steps": 4},
        steps=500,
    )
    with pytest.raises(RunFailure, match="the loss is"):
        run(diverging, tmp_path, supervisor)
    written = [Path(frame.folder).name for frame in supervisor.of(Checkpoint)]
    assert written
    assert len(written) == len(supervisor.of(Snapshot))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)


def test_a_full_disk_is_told_and_anything_else_fails_the_run(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, state: State) -> Saved:
        raise OSError(28, "No space left on device")

    def broken(folder: Path, state: State) -> Saved:
        raise ValueError("a mistake in the code")

    monkeypatch.setattr(checkpoint, "write", full)
    supervisor = Supervisor()
    run(spec, tmp_path, supervisor)
    assert [frame.step for frame in supervisor.of(CheckpointFailed)] == [10, 20, 30, 40]
    assert isinstance(supervisor.received[-1], Ended)
    monkeypatch.setattr(checkpoint, "write", broken)
    with pytest.raises(RunFailure, match="a mistake in the code"):
        run(spec, tmp_path, Supervisor())
