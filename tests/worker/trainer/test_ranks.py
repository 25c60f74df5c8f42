"""One run on several devices: equal to one device, resumed to the last bit, and ended at once where a rank ends."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from service.errors import RunFailure
from service.spec.experiment import Experiment
from tests.harness.waiting import until
from tests.worker.trainer.test_trainer import Frame, Trainer, checkpoints, resumable, series
from worker.trainer.ranks.batch_norm import normalise_over_ranks
from worker.trainer.ranks.divided import digest, stream_seed
from worker.trainer.ranks.leader import device_of

SMALL_CNN = {"kind": "cnn", "channels": (4, 8), "norm": "batch"}
SMALL_TRANSFORMER = {"kind": "transformer", "width": 16, "heads": 2, "layers": 2}
ADAMW = {"kind": "adamw", "lr": 1e-3}
SAME: dict[str, dict[str, Any]] = {
    "mlp": {"model": {"kind": "mlp", "hidden": (32,)}},
    "mlp, batch norm": {"model": {"kind": "mlp", "hidden": (32,), "norm": "batch"}},
    "cnn, batch norm": {"model": SMALL_CNN, "steps": 20},
    "resnet": {"model": {"kind": "resnet", "width": 4, "stages": 2}, "steps": 10},
    "transformer": {"model": SMALL_TRANSFORMER, "optimizer": ADAMW, "steps": 20},
    "accumulation, clipping and an average": {
        "accumulate": 3,
        "clip": {"norm": 0.5},
        "average": {"kind": "ema", "decay": 0.9},
    },
    "accumulation, batch norm": {"accumulate": 2, "model": {"kind": "mlp", "hidden": (8,), "norm": "batch"}},
    "weighted classes": {"loss": {"kind": "cross_entropy", "weight": tuple(0.1 * (1 + k) for k in range(10))}},
    "plateau": {"schedule": {"kind": "plateau", "patience": 0, "factor": 0.5}, "optimizer": {"kind": "sgd", "lr": 2.0}},
    "gradient norms": {"probes": ({"kind": "gradients"},)},
    "a layer unfrozen at an update": {
        "model": {"kind": "mlp", "hidden": (8,), "norm": "batch"},
        "groups": (
            {"match": {"name": "layers.[01].*"}, "freeze": True, "unfreeze_at": 20, "norm_statistics": "frozen"},
        ),
        "probes": ({"kind": "gradients"},),
    },
    "full batch": {"batch_size": "full", "steps": 8},
}


def spec_of(devices: int = 2, **changes: Any) -> Experiment:
    """Digits: 1438 rows to train on, so the last batch of an epoch has 30."""
    plain: dict[str, Any] = {
        "dataset": {"kind": "digits"},
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
        "batch_size": 64,
        "steps": 40,
        "evaluate": {"every_steps": 5},
        "probes": (),
    }
    return Experiment.model_validate(plain | changes | {"resources": {"devices": devices}})


@pytest.fixture(scope="module")
def trainers() -> Iterator[tuple[Trainer, Trainer]]:
    """A trainer with one device, and one with two ranks."""
    both = Trainer(), Trainer("--ranks", "2")
    try:
        for trainer in both:
            trainer.ready = trainer.until("ready")[0]
        yield both
    finally:
        for trainer in both:
            trainer.close()


@pytest.fixture
def pair(trainers: tuple[Trainer, Trainer]) -> Trainer:
    return trainers[1]


def children(pid: int) -> list[int]:
    """Processes that this one started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process has not ended; whoever adopts it may not have collected it."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def all_series(frames: list[Frame]) -> dict[str, dict[int, float]]:
    names = {entry["name"] for frame in frames for entry in frame.get("series", ())}
    return {name: series(frames, name) for name in names}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_two_ranks_train_as_one_device_does(
    trainers: tuple[Trainer, Trainer], tmp_path: Path, changes: dict[str, Any]
) -> None:
    alone, together = (
        all_series(trainer.run(spec_of(devices, **changes), tmp_path / str(devices)))
        for devices, trainer in enumerate(trainers, 1)
    )
    assert alone.keys() == together.keys()
    assert len(alone["loss"]) == spec_of(**changes).total_steps
    for name, values in alone.items():
        assert values == pytest.approx(together[name], abs=1e-6, rel=1e-6), name


def test_a_batch_with_fewer_rows_than_ranks_is_the_same_batch(
    trainers: tuple[Trainer, Trainer], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"batch_size": 479, "epochs": 3, "steps": None}
    assert spec_of(**changes).smallest_batch == 1
    alone, together = (
        series(trainer.run(spec_of(devices, **changes), tmp_path / str(devices)), "loss")
        for devices, trainer in enumerate(trainers, 1)
    )
    assert alone == pytest.approx(together, abs=1e-6)


def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(pair: Trainer, tmp_path: Path) -> None:
    model = {"kind": "mlp", "hidden": (16,), "norm": "batch", "dropout": 0.3}
    spec = spec_of(model=model, optimizer=ADAMW, checkpoint={"every_steps": 15, "keep_every": 15})
    whole = pair.run(spec, tmp_path / "whole")
    assert checkpoints(whole)[0] == 15
    first = next(frame for frame in whole if frame["type"] == "checkpoint")
    resumed = pair.run(spec, tmp_path / "again", resume={"folder": first["folder"], "sha256": first["sha256"]})
    assert next(f for f in resumed if f["type"] == "started")["environment"]["reproducible"]
    wanted = {step: loss for step, loss in series(whole, "loss").items() if step > 15}
    assert series(resumed, "loss") == wanted
    ends = [load_file(Path(resumable(frames)["folder"]) / "tensors.safetensors") for frames in (whole, resumed)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert not torch.equal(ends[0]["random/cpu"], ends[0]["random/rank-1/cpu"])  # each draws its own masks


def test_a_rank_that_is_killed_ends_the_attempt_at_once_and_is_named(tmp_path: Path) -> None:
    trainer = Trainer("--ranks", "2")
    try:
        trainer.until("ready")
        (other,) = children(trainer.process.pid)
        trainer.train(spec_of(steps=10**6, evaluate={"every_steps": 10**6}), tmp_path)
        trainer.until("points")
        os.kill(other, signal.SIGKILL)
        since = time.monotonic()
        failed = trainer.until("failed")[-1]
        assert failed["kind"] == "trainer_died"
        assert failed["detail"] == "rank 1 of 2: ended by signal SIGKILL"
        assert failed["evidence"] == {"rank": 1}
        assert not failed["trainer_usable"]
        assert trainer.process.wait(timeout=5) == 1
        assert time.monotonic() - since < 5
    finally:
        trainer.close()


def test_the_other_ranks_end_with_the_trainer() -> None:
    trainer = Trainer("--ranks", "2")
    (other,) = until(lambda: children(trainer.process.pid))
    trainer.close()
    until(lambda: not runs(other), 5)


def test_a_run_that_diverges_leaves_the_ranks_usable(pair: Trainer, tmp_path: Path) -> None:
    hot = spec_of(optimizer={"kind": "sgd", "lr": 10.0, "weight_decay": 1.0})
    failed = pair.run(hot.model_copy(update={"steps": 10**4}), tmp_path)[-1]
    assert (failed["type"], failed["kind"], failed["trainer_usable"]) == ("failed", "diverged", True)
    assert pair.run(spec_of(steps=3), tmp_path)[-1]["outcome"] == "succeeded"


def test_a_stop_request_is_obeyed_and_its_checkpoint_has_every_ranks_state(pair: Trainer, tmp_path: Path) -> None:
    pair.train(spec_of(steps=10**6, evaluate={"every_steps": 10**6}), tmp_path)
    frames = pair.until("points")
    pair.stop("pause")
    frames += pair.until("end")
    assert frames[-1]["outcome"] == "paused"
    tensors = load_file(Path(resumable(frames)["folder"]) / "tensors.safetensors")
    assert {"random/cpu", "random/rank-1/cpu"} <= tensors.keys()


def test_a_stop_rule_ends_all_ranks(pair: Trainer, tmp_path: Path) -> None:
    frames = pair.run(spec_of(steps=10**5, stop={"grad_norm_below": 1e9}), tmp_path)
    assert (frames[-1]["outcome"], frames[-1]["step"]) == ("succeeded", 1)
    assert pair.run(spec_of(steps=3), tmp_path)[-1]["outcome"] == "succeeded"


def test_a_run_for_one_device_trains_on_rank_0_alone(trainers: tuple[Trainer, Trainer], tmp_path: Path) -> None:
    alone, on_two = (series(trainer.run(spec_of(1), tmp_path), "loss") for trainer in trainers)
    assert alone == on_two


def test_a_run_for_more_devices_than_the_trainer_has_is_refused(
    trainers: tuple[Trainer, Trainer], tmp_path: Path
) -> None:
    failed = trainers[0].run(spec_of(2), tmp_path)[-1]
    assert (failed["kind"], failed["trainer_usable"]) == ("spec_cannot_build", True)
    assert failed["detail"] == "/resources/devices is 2, and this trainer has 1"


def test_three_ranks_normalise_a_batch_of_two_rows_together(trainers: tuple[Trainer, Trainer], tmp_path: Path) -> None:
    changes: dict[str, Any] = {"model": SMALL_CNN, "batch_size": 359, "epochs": 2, "steps": None}
    spec = spec_of(3, **changes)
    assert spec.smallest_batch == 2
    three = Trainer("--ranks", "3")
    try:
        three.until("ready")
        together = series(three.run(spec, tmp_path / "3"), "loss")
    finally:
        three.close()
    alone = series(trainers[0].run(spec_of(1, **changes), tmp_path / "1"), "loss")
    assert alone == pytest.approx(together, abs=1e-6)


def test_batch_normalisations_keep_their_names_and_others_are_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    names = [type(layer).__name__ for layer in model]
    assert normalise_over_ranks(model)
    assert [type(layer).__name__ for layer in model] == names
    assert not normalise_over_ranks(nn.Sequential(nn.Linear(2, 3)))

    class Fused(nn.BatchNorm2d):
        """A layer that does more than to normalise."""

    with pytest.raises(RunFailure, match=r"1 \(Fused\) normalises a batch in its own way"):
        normalise_over_ranks(nn.Sequential(nn.Conv2d(1, 1, 1), Fused(1)))


def test_ranks_draw_from_streams_of_their_own() -> None:
    assert stream_seed(7, 0) == 7
    assert len({stream_seed(seed, rank) for seed in range(3) for rank in range(4)}) == 12


def test_a_digest_sees_a_single_bit() -> None:
    weights = [torch.randn(5, 3), torch.arange(4)]
    before = digest(weights)
    assert digest([each.clone() for each in weights]) == before
    weights[0][2, 1] = torch.nextafter(weights[0][2, 1], torch.tensor(9.0))
    assert digest(weights) != before


def test_ranks_take_consecutive_devices() -> None:
    assert [device_of("cuda:0", rank) for rank in (0, 1)] == ["cuda:0", "cuda:1"]
    assert device_of("cpu", 3) == "cpu"
    assert device_of("cuda", 2) == "cuda:2"
