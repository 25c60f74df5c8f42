"""The trainer as a process of its own, over a real pipe: every outcome, and what its death leaves."""

import contextlib
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.ingest.splits.part_codes import decode_parts
from service.spec.datasets.splits import PARTS
from service.spec.experiment import Checkpointing, Experiment
from service.storage.files import PREDICTIONS, STATE
from worker.pipe import read_frame, write_frame
from worker.protocol import Alive, CheckpointFiles, PackRequest, Stop, StopRequest, TrainRequest
from worker.protocol import Frame as AnyFrame
from worker.trainer.channel import PARENT_GONE
from worker.trainer.checkpoints.checkpoint import read as read_checkpoint
from worker.trainer.data.split import split_dataset
from worker.trainer.loop import prepare, train

COMMAND = [sys.executable, "-m", "worker.trainer", "--device", "cpu", "--threads", "1"]
Frame = dict[str, Any]


class Trainer:
    """A trainer process, and what it says."""

    def __init__(self, *more: str) -> None:
        self.process = subprocess.Popen([*COMMAND, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ready: Frame | None = None

    def send(self, frame: AnyFrame) -> None:
        assert self.process.stdin is not None
        write_frame(self.process.stdin, frame)

    def stop(self, how: Stop) -> None:
        self.send(StopRequest(how=how))

    def read(self) -> Frame:
        """The next frame as a document; series with their steps and values."""
        assert self.process.stdout is not None
        frame = read_frame(self.process.stdout)
        while isinstance(frame, Alive):
            frame = read_frame(self.process.stdout)
        assert frame is not None, f"the trainer ended with {self.process.wait()}"
        header = {"type": frame.tag, **vars(frame)}
        at, payload = 0, header.pop("payload", b"")
        for entry in header.get("series", ()):
            n, every = entry["n"], entry["every"]
            entry["steps"] = list(range(entry["first"], entry["first"] + n * every, every)) if every else None
            if not every:
                entry["steps"] = np.frombuffer(payload, "<i8", n, at).tolist()
                at += 8 * n
            entry["values"] = np.frombuffer(payload, "<f8", n, at).tolist()
            at += 8 * n
        if frame.tag == "reading":
            header["data"], at = json.loads(payload), len(payload)
        assert at == len(payload)
        return header

    def train(self, spec: Experiment, folder: Path, **more: Any) -> None:
        plain = {"seed": 0, "threads": 1, "flush_s": 0.02, "checkpoint_s": 60.0}
        self.send(TrainRequest(spec=spec.normalised(), folder=str(folder), **(plain | more)))

    def until(self, *kinds: str) -> list[Frame]:
        """Frames up to the first of these kinds."""
        frames = [self.read()]
        while frames[-1]["type"] not in kinds:
            frames.append(self.read())
        return frames

    def run(self, spec: Experiment, folder: Path, **more: Any) -> list[Frame]:
        self.train(spec, folder, **more)
        return self.until("end", "failed")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def series(frames: list[Frame], name: str) -> dict[int, float]:
    """One series by step over all frames; each step once."""
    found: dict[int, float] = {}
    for frame in frames:
        for entry in frame.get("series", ()):
            if entry["name"] == name:
                assert not found.keys() & set(entry["steps"])
                found |= dict(zip(entry["steps"], entry["values"], strict=True))
    return found


def checkpoints(frames: list[Frame]) -> list[int]:
    """Steps of the checkpoints; at each one's snapshot exactly the losses up to it were sent."""
    steps, copied = [], None
    for position, frame in enumerate(frames):
        if frame["type"] == "snapshot":
            assert copied is None
            copied = frame["step"]
            assert max(series(frames[:position], "loss")) == copied
        elif frame["type"] in ("checkpoint", "checkpoint_failed"):
            assert frame["step"] == copied
            copied = None
        if frame["type"] == "checkpoint":
            assert Path(frame["folder"]).name == f"step-{frame['step']}"
            assert frame["size_bytes"] > 0
            steps.append(frame["step"])
    assert copied is None
    return steps


def resumable(frames: list[Frame]) -> CheckpointFiles:
    (last,) = [frame for frame in frames if frame["type"] == "checkpoint"][-1:]
    return {"folder": last["folder"], "sha256": last["sha256"]}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Trainer, Trainer]]:
    """Two warm trainers, started side by side because each needs seconds to import torch."""
    both = Trainer(), Trainer()
    try:
        for trainer in both:
            trainer.ready = trainer.until("ready")[0]
        yield both
    finally:
        for trainer in both:
            trainer.close()


@pytest.fixture
def trainer(pair: tuple[Trainer, Trainer]) -> Trainer:
    return pair[0]


@pytest.fixture
def noisy(experiment: Any) -> Experiment:
    """Dropout, batch normalisation, clipping, evaluation: everything that could differ."""
    made: Experiment = experiment(
        model={"kind": "mlp", "hidden": (8,), "norm": "batch", "dropout": 0.3},
        optimizer={"kind": "adamw"},
        schedule={"kind": "cosine"},
        clip={"norm": 1.0},
        evaluate={"every_steps": 7},
        steps=60,
    )
    return made


@pytest.fixture
def endless(experiment: Any) -> Experiment:
    made: Experiment = experiment(steps=10**6, evaluate={"every_steps": 10**6})
    return made


def test_it_says_what_it_is_once_it_is_warm(trainer: Trainer) -> None:
    assert trainer.ready is not None
    assert trainer.ready["device"].keys() == {"kind", "name", "memory_bytes", "threads"}
    assert (trainer.ready["device"]["kind"], trainer.ready["device"]["threads"]) == ("cpu", 1)


def test_a_full_run_sends_the_very_curve_that_the_loop_gives(
    trainer: Trainer, noisy: Experiment, tmp_path: Path
) -> None:
    frames = trainer.run(noisy, tmp_path, seed=5)
    started, end = frames[0], frames[-1]
    assert (started["type"], started["from_step"], started["total_steps"]) == ("started", 0, 60)
    environment = started["environment"]
    assert (environment["device"], environment["threads"], environment["torch"]) == ("cpu", 1, torch.__version__)
    assert (environment["deterministic"], environment["optimizer"]) == (True, {"fused": True})
    assert (end["outcome"], end["step"]) == ("succeeded", 60)
    assert checkpoints(frames) == [60]
    steps = list(train(prepare(noisy, 5, torch.device("cpu"))))
    assert series(frames, "loss") == {s.step: s.loss.item() for s in steps}
    assert series(frames, "lr") == {s.step: s.lr for s in steps}
    for name in ("grad_norm", "val/loss", "val/accuracy"):
        expected = {s.step: float(s.metrics[name]) for s in steps if s.metrics and name in s.metrics}
        assert series(frames, name) == expected
        assert len(expected) >= 9


def test_a_used_trainer_gives_the_same_bits_as_a_fresh_one(
    pair: tuple[Trainer, Trainer], noisy: Experiment, tmp_path: Path
) -> None:
    used, fresh = pair
    for seed in (1, 2):
        used.run(noisy, tmp_path / str(seed), seed=seed)
    curves = [series(t.run(noisy, tmp_path / str(i), seed=9), "loss") for i, t in enumerate((used, fresh), 10)]
    assert curves[0] == curves[1]


def test_the_first_step_is_sent_at_once(trainer: Trainer, endless: Experiment, tmp_path: Path) -> None:
    begin = time.monotonic()
    trainer.train(endless, tmp_path, flush_s=5.0)
    frames = trainer.until("points")
    assert time.monotonic() - begin < 2.5
    assert list(series(frames, "loss")) == [1]
    trainer.stop("cancel")
    assert trainer.until("end")[-1]["outcome"] == "cancelled"


def test_cancel_keeps_the_points_and_writes_no_checkpoint(
    trainer: Trainer, endless: Experiment, tmp_path: Path
) -> None:
    trainer.train(endless, tmp_path)
    frames = trainer.until("points")
    trainer.stop("cancel")
    frames += trainer.until("end")
    assert frames[-1]["outcome"] == "cancelled"
    assert checkpoints(frames) == []
    assert list(series(frames, "loss")) == list(range(1, frames[-1]["step"] + 1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("stop", "outcome"), [("pause", "paused"), ("drain", "drained"), ("yield", "yielded")])
def test_a_stopped_run_goes_on_in_another_process_as_if_nothing_had_been(
    stop: Stop, outcome: str, pair: tuple[Trainer, Trainer], noisy: Experiment, tmp_path: Path
) -> None:
    one, two = pair
    spec = noisy.model_copy(update={"steps": 3000})
    one.train(spec, tmp_path / "a", seed=3)
    first = one.until("points")
    one.stop(stop)
    first += one.until("end")
    stopped = first[-1]["step"]
    assert first[-1]["outcome"] == outcome
    assert 1 <= stopped < 3000
    assert checkpoints(first) == [stopped]
    second = two.run(spec, tmp_path / "b", seed=3, resume=resumable(first))
    assert (second[0]["from_step"], second[-1]["outcome"]) == (stopped, "succeeded")
    assert second[0]["environment"]["reproducible"] is True
    whole = list(train(prepare(spec, 3, torch.device("cpu"))))
    assert series(first, "loss") | series(second, "loss") == {s.step: s.loss.item() for s in whole}
    assert min(series(second, "loss")) == stopped + 1


def test_a_run_pauses_by_itself_after_exactly_the_step_it_was_told_and_measures_there(
    pair: tuple[Trainer, Trainer], noisy: Experiment, tmp_path: Path
) -> None:
    one, two = pair
    spec = noisy.model_copy(update={"steps": 60, "evaluate": noisy.evaluate.model_copy(update={"every_steps": 20})})
    whole = one.run(spec, tmp_path / "whole", seed=3)
    first = one.run(spec, tmp_path / "a", seed=3, pause_at=20)
    assert (first[-1]["outcome"], first[-1]["step"], checkpoints(first)) == ("paused", 20, [20])
    second = two.run(spec, tmp_path / "b", seed=3, resume=resumable(first), pause_at=41)
    assert (second[0]["from_step"], second[-1]["outcome"], second[-1]["step"]) == (20, "paused", 41)
    third = one.run(spec, tmp_path / "c", seed=3, resume=resumable(second))
    assert (third[0]["from_step"], third[-1]["outcome"], third[-1]["step"]) == (41, "succeeded", 60)
    for name in ("loss", "val/loss"):
        assert [*series(first, name)][-1] == 20
        parts = series(first, name) | series(second, name) | series(third, name)
        assert parts == series(whole, name)


def test_a_run_that_starts_where_it_was_to_pause_trains_no_step(
    trainer: Trainer, noisy: Experiment, tmp_path: Path
) -> None:
    first = trainer.run(noisy, tmp_path / "a", pause_at=10)
    again = trainer.run(noisy, tmp_path / "b", resume=resumable(first), pause_at=10)
    assert (again[-1]["outcome"], again[-1]["step"], series(again, "loss")) == ("paused", 10, {})


def test_what_is_trained_beside_a_run_at_its_end_changes_no_bit_of_it(
    pair: tuple[Trainer, Trainer], noisy: Experiment, tmp_path: Path
) -> None:
    """Noisy draws at every step, and learns nothing at this rate; resumed in another process after half of it."""
    one, two = pair
    slow = noisy.optimizer.model_copy(update={"lr": 1e-7})
    auto = noisy.model_copy(update={"steps": 40, "optimizer": slow, "diagnose": "auto"})
    plain = one.run(auto.model_copy(update={"diagnose": "never"}), tmp_path / "plain", seed=3)
    half = two.run(auto, tmp_path / "half", seed=3, last_step=20)
    rest = two.run(auto, tmp_path / "rest", seed=3, resume=resumable(half))
    readings = {name: [f["name"] for f in frames if f["type"] == "reading"] for name, frames in
                (("plain", plain), ("half", half), ("rest", rest))}  # fmt: skip
    assert readings["rest"].count("learnability") == 1
    assert "learnability" not in readings["plain"] + readings["half"]
    assert series(half, "loss") | series(rest, "loss") == series(plain, "loss")
    ends = [next(f for f in frames if f["type"] == "checkpoint") for frames in (plain, rest)]
    one_end, other_end = (read_checkpoint(Path(end["folder"]), end["sha256"])[0] for end in ends)
    assert one_end.keys() == other_end.keys()
    assert all(torch.equal(value, other_end[name]) for name, value in one_end.items())
    again = two.run(auto, tmp_path / "again", seed=3)
    assert series(again, "loss") == series(plain, "loss")


def test_checkpoints_come_by_steps_where_the_spec_says_so(trainer: Trainer, experiment: Any, tmp_path: Path) -> None:
    spec = experiment(checkpoint={"every_steps": 15})
    assert checkpoints(trainer.run(spec, tmp_path, checkpoint_s=1e-9)) == [15, 30, 40]


def test_checkpoints_come_by_time_otherwise(trainer: Trainer, experiment: Any, tmp_path: Path) -> None:
    assert checkpoints(trainer.run(experiment(steps=5), tmp_path / "now", checkpoint_s=1e-9)) == [1, 2, 3, 4, 5]
    assert checkpoints(trainer.run(experiment(steps=5), tmp_path / "end", checkpoint_s=1e9)) == [5]


def test_a_checkpoint_that_cannot_be_written_is_said_and_the_run_goes_on(
    trainer: Trainer, noisy: Experiment, tmp_path: Path
) -> None:
    """A limit on file sizes is as real as a full disk: the kernel refuses the bytes beyond it."""
    spec = noisy.model_copy(update={"checkpoint": Checkpointing(every_steps=20)})
    pid, (_, hard) = trainer.process.pid, resource.prlimit(trainer.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, hard))
    try:
        frames = trainer.run(spec, tmp_path)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    failed = [frame for frame in frames if frame["type"] == "checkpoint_failed"]
    assert [(frame["step"], frame["reason"]) for frame in failed] == [(20, "due"), (40, "due"), (60, "end")]
    assert all("File too large" in frame["detail"] for frame in failed)
    assert (frames[-1]["type"], frames[-1]["outcome"]) == ("end", "succeeded")
    assert list(tmp_path.iterdir()) == []  # no half of one is left
    assert checkpoints(trainer.run(spec, tmp_path)) == [20, 40, 60]


def test_the_best_evaluation_and_each_kth_step_are_kept_and_say_why(
    trainer: Trainer, experiment: Any, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"optimizer": {"kind": "sgd", "lr": 3.0}, "evaluate": {"every_steps": 3}, "steps": 31}
    spec = experiment(**changes, checkpoint={"keep_every": 14, "best": {"series": "val/loss"}})
    frames = trainer.run(spec, tmp_path)
    values = series(frames, "val/loss")
    best = [step for step in values if all(values[step] < v for s, v in values.items() if s < step)]
    assert 1 < len(best) < len(values)
    said = {frame["step"]: (frame["reason"], frame["value"]) for frame in frames if frame["type"] == "checkpoint"}
    expected = {14: ("due", None), 28: ("due", None), 31: ("end", None)}
    assert said == expected | {step: ("best", values[step]) for step in best}
    at = next(frame for frame in frames if frame["type"] == "checkpoint" and frame["step"] == best[0])
    resume = {"folder": at["folder"], "sha256": at["sha256"]}
    again = trainer.run(spec, tmp_path / "again", resume=resume)
    rest = {frame["step"]: (frame["reason"], frame["value"]) for frame in again if frame["type"] == "checkpoint"}
    assert rest == {step: what for step, what in said.items() if step > best[0]}  # it remembers the best


@pytest.mark.parametrize("fields", [{}, {"test": 0.1, "split_seed": 4}, {"folds": 3}])
def test_the_split_of_data_that_only_workers_read_is_reported_once(
    fields: dict[str, Any], trainer: Trainer, experiment: Any, tmp_path: Path
) -> None:
    spec = experiment(dataset={"kind": "iris", **fields}, steps=4, checkpoint=Checkpointing(every_steps=2))
    frames = trainer.run(spec, tmp_path, seed=4)
    (told,) = [frame for frame in frames if frame["type"] == "reading" and frame["name"] == "split"]
    splits = split_dataset(spec.dataset, fold=spec.fold(4) or 0)
    expected = {
        name: sorted(part.numbers) for name, part in zip(PARTS, splits[:3], strict=True) if part.numbers is not None
    }
    assert (told["step"], decode_parts(told["data"].pop("parts"))) == (0, expected)
    assert told["data"] == {"rows": 150, **{name: len(rows) for name, rows in expected.items()}}
    at = next(frame for frame in frames if frame["type"] == "checkpoint")
    again = trainer.run(spec, tmp_path / "again", seed=4, resume={"folder": at["folder"], "sha256": at["sha256"]})
    assert "split" not in [frame["name"] for frame in again if frame["type"] == "reading"]


def test_predictions_are_written_into_the_last_checkpoint_and_shown(
    trainer: Trainer, experiment: Any, tmp_path: Path
) -> None:
    frames = trainer.run(experiment(steps=6, checkpoint=Checkpointing(every_steps=3), predictions=True), tmp_path)
    readings = [frame["name"] for frame in frames if frame["type"] == "reading" and frame["step"] == 6]
    assert readings == ["largest_losses", "confusion_matrix", "reliability"]
    assert checkpoints(frames) == [3, 6]
    first, last = (Path(frame["folder"]) for frame in frames if frame["type"] == "checkpoint")
    assert not (first / PREDICTIONS).exists()
    content = (last / PREDICTIONS).read_bytes()
    assert content[:4] == b"PAR1"
    told = json.loads((last / STATE).read_text())["predictions"]
    assert told == {"sha256": hashlib.sha256(content).hexdigest()}
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    sizes = [frame["size_bytes"] for frame in frames if frame["type"] == "checkpoint"]
    assert sizes[1] >= sizes[0] + len(content)


def test_a_replay_stops_at_its_last_step_on_the_whole_runs_schedule(
    trainer: Trainer, noisy: Experiment, tmp_path: Path
) -> None:
    whole, part = (trainer.run(noisy, tmp_path / str(last), last_step=last) for last in (60, 25))
    assert (part[-1]["outcome"], part[-1]["step"], part[0]["total_steps"]) == ("succeeded", 25, 25)
    for name in ("loss", "lr"):
        assert series(part, name) == {step: v for step, v in series(whole, name).items() if step <= 25}
    again = trainer.run(noisy, tmp_path / "again", last_step=25, resume=resumable(part))
    assert (series(again, "loss"), again[-1]["outcome"]) == ({}, "succeeded")


def test_another_machine_on_resume_is_said_with_what_differs(
    trainer: Trainer, noisy: Experiment, tmp_path: Path
) -> None:
    resume = resumable(trainer.run(noisy, tmp_path / "a", last_step=20))
    told = trainer.run(noisy, tmp_path / "b", resume=resume, threads=2)[0]["environment"]
    assert (told["reproducible"], told["differs"]) == (False, {"threads": [1, 2]})


def test_a_fork_says_what_it_took_over(trainer: Trainer, noisy: Experiment, tmp_path: Path) -> None:
    resume = resumable(trainer.run(noisy, tmp_path / "a", last_step=20))
    frames = trainer.run(noisy, tmp_path / "b", resume=resume, fork=True)
    assert frames[0]["from_step"] == 20
    assert frames[0]["environment"]["taken_over"] == {"model": True, "optimizer": True, "random": True}
    whole = series(trainer.run(noisy, tmp_path / "c"), "loss")
    assert series(frames, "loss") == {step: loss for step, loss in whole.items() if step > 20}


def test_a_stop_of_the_run_before_does_not_stop_the_next(trainer: Trainer, noisy: Experiment, tmp_path: Path) -> None:
    trainer.stop("cancel")
    assert trainer.run(noisy, tmp_path)[-1]["outcome"] == "succeeded"


def test_each_run_of_a_pack_has_its_own_frames_stop_and_end(
    trainer: Trainer, noisy: Experiment, endless: Experiment, tmp_path: Path
) -> None:
    specs = {"a": noisy, "b": noisy.model_copy(update={"steps": 40}), "c": endless}
    broken = noisy.normalised() | {"dataset": {"kind": "no such dataset"}}
    plain = {"seed": 5, "threads": 1, "flush_s": 0.02, "checkpoint_s": 60.0}
    requests = [
        TrainRequest(spec=spec, lease=lease, folder=str(tmp_path / lease), **plain)
        for lease, spec in [*((lease, spec.normalised()) for lease, spec in specs.items()), ("d", broken)]
    ]
    trainer.send(PackRequest.of(requests))
    frames: list[Frame] = []
    while sum(frame["type"] in ("end", "failed") for frame in frames) < len(requests):
        frames.append(trainer.read())
        if frames[-1]["lease"] == "c" and frames[-1]["type"] == "started":
            trainer.send(StopRequest(how="cancel", lease="c"))
    of = {lease: [frame for frame in frames if frame["lease"] == lease] for lease in "abcd"}
    assert sum(map(len, of.values())) == len(frames)
    ends = {lease: of[lease][-1] for lease in of}
    outcomes = [(ends[lease]["outcome"], ends[lease]["step"]) for lease in "ab"]
    assert outcomes == [("succeeded", 60), ("succeeded", 40)]
    assert ends["c"]["outcome"] == "cancelled"
    assert (ends["d"]["type"], ends["d"]["kind"], ends["d"]["trainer_usable"]) == ("failed", "spec_cannot_build", True)
    for lease, steps in (("a", 60), ("b", 40)):
        assert list(series(of[lease], "loss")) == list(range(1, steps + 1))
    assert trainer.run(noisy, tmp_path / "next")[-1]["outcome"] == "succeeded"


def test_a_diverging_run_fails_with_its_last_losses_and_the_trainer_stays(
    trainer: Trainer, experiment: Any, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "dataset": {"kind": "diabetes"},
        "model": {"kind": "linear"},
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 10.0},
        "steps": 500,
    }
    frames = trainer.run(experiment(**changes), tmp_path)
    failed, losses = frames[-1], series(frames, "loss")
    assert (failed["type"], failed["kind"]) == ("failed", "diverged")
    assert failed["step"] == max(losses) < 500
    assert not np.isfinite(losses[failed["step"]])
    assert np.isfinite([losses[step] for step in range(1, failed["step"])]).all()
    assert failed["evidence"]["last_finite_losses"] == [
        losses[s] for s in range(max(1, failed["step"] - 16), failed["step"])
    ]
    assert checkpoints(frames) == []
    goes_on = trainer.run(experiment(**changes, nonfinite="continue"), tmp_path)
    assert goes_on[-1]["outcome"] == "succeeded"
    assert np.isnan(series(goes_on, "loss")[500])


def test_a_run_may_bear_some_losses_in_a_row_that_are_no_numbers(
    trainer: Trainer, experiment: Any, tmp_path: Path
) -> None:
    data: dict[str, Any] = {"dataset": {"kind": "diabetes"}, "model": {"kind": "linear"}, "loss": {"kind": "mse"}}
    changes = data | {"optimizer": {"kind": "sgd", "lr": 10.0}, "steps": 500}
    frames = trainer.run(experiment(**changes, nonfinite={"stop_after": 4}), tmp_path)
    losses = series(frames, "loss")
    assert (frames[-1]["kind"], frames[-1]["step"]) == ("diverged", max(losses))
    assert [np.isfinite(losses[max(losses) - back]) for back in range(5)] == [False] * 4 + [True]


def test_a_run_that_a_stop_rule_ends_has_succeeded_and_says_which(
    trainer: Trainer, experiment: Any, tmp_path: Path
) -> None:
    stop = {"target": {"series": "val/loss", "below": 100.0}}
    frames = trainer.run(experiment(stop=stop, evaluate={"every_steps": 7}), tmp_path)
    end = frames[-1]
    assert (end["type"], end["outcome"], end["step"]) == ("end", "succeeded", 7)
    assert end["note"].startswith("stopped at step 7 by target: val/loss ")
    assert max(series(frames, "loss")) == 7
    assert checkpoints(frames) == [7]
    assert trainer.run(experiment(), tmp_path / "free")[-1]["note"] is None


def test_a_spec_that_cannot_be_built_is_said_and_the_trainer_stays(
    trainer: Trainer, experiment: Any, tmp_path: Path
) -> None:
    plain = {"seed": 0, "threads": 1, "flush_s": 1, "checkpoint_s": 1}
    trainer.send(TrainRequest(spec={"name": "x"}, folder=str(tmp_path), **plain))  # type: ignore[arg-type]
    assert trainer.until("failed")[-1]["kind"] == "spec_cannot_build"
    failed = trainer.run(experiment(model={"kind": "cnn"}), tmp_path)[-1]  # a row of iris is no image
    assert (failed["kind"], failed["step"]) == ("spec_cannot_build", None)
    assert failed["detail"].startswith("ValueError")
    assert trainer.process.poll() is None


def test_a_damaged_checkpoint_is_refused_and_the_trainer_stays(
    trainer: Trainer, noisy: Experiment, tmp_path: Path
) -> None:
    resume = resumable(trainer.run(noisy, tmp_path / "a"))
    with (Path(resume["folder"]) / "tensors.safetensors").open("r+b") as file:
        file.truncate(100)
    failed = trainer.run(noisy, tmp_path / "b", resume=resume)[-1]
    assert (failed["type"], failed["kind"]) == ("failed", "checkpoint_damaged")
    assert trainer.run(noisy, tmp_path / "b")[-1]["outcome"] == "succeeded"


def test_terminating_it_is_the_supervisors_business(trainer: Trainer, noisy: Experiment, tmp_path: Path) -> None:
    trainer.process.send_signal(signal.SIGTERM)
    trainer.process.send_signal(signal.SIGINT)
    assert trainer.run(noisy, tmp_path)[-1]["outcome"] == "succeeded"


def test_anything_else_is_a_crash_that_ends_the_process(
    pair: tuple[Trainer, Trainer], noisy: Experiment, tmp_path: Path
) -> None:
    _, trainer = pair
    frames = trainer.run(noisy, tmp_path / "no\0name")
    failed = frames[-1]
    assert (failed["kind"], failed["step"]) == ("crashed", 60)
    assert failed["detail"].startswith("ValueError")
    assert max(series(frames, "loss")) == 60
    assert trainer.process.wait(timeout=10) == 1


def test_an_end_of_the_pipe_ends_it_at_once_even_while_it_trains(
    trainer: Trainer, endless: Experiment, tmp_path: Path
) -> None:
    trainer.train(endless, tmp_path)
    trainer.until("points")
    assert trainer.process.stdin is not None
    trainer.process.stdin.close()
    assert trainer.process.wait(timeout=5) == PARENT_GONE


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's; elsewhere the closed pipe must do")
def test_the_kernel_kills_it_with_its_parent_although_the_pipe_stays_open() -> None:
    inward, held = os.pipe()  # the test holds the writing end: there is no end of file
    script = f"import subprocess as s; p = s.Popen({COMMAND!r}, stdin={inward}); print(p.pid, flush=True); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", script], pass_fds=[inward], stdout=subprocess.PIPE)
    os.close(inward)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        deadline = time.monotonic() + 20
        while not _ignores_sigterm(child) and time.monotonic() < deadline:  # set right after the death signal
            time.sleep(0.01)
        parent.kill()
        parent.wait()
        while _alive(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _alive(child)
    finally:
        os.close(held)
        parent.kill()
        parent.wait()
        if parent.stdout is not None:
            parent.stdout.close()


def _status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":", 1) for line in text.splitlines())


def _ignores_sigterm(pid: int) -> bool:
    return bool(int(_status(pid).get("SigIgn", "0").strip(), 16) >> (signal.SIGTERM - 1) & 1)


def _alive(pid: int) -> bool:
    return _status(pid).get("State", "\tZ").strip()[0] != "Z"


def test_a_stray_print_does_not_reach_the_pipe() -> None:
    script = (
        "import os, sys; from worker.trainer.channel import take_over_stdio; i, o = take_over_stdio();"
        "print('stray', flush=True); os.write(o, b'frame'); sys.exit(len(sys.stdin.read()))"
    )
    done = subprocess.run([sys.executable, "-c", script], input=b"order", capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"frame", b"stray\n")
