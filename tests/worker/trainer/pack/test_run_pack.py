"""Runs of a pack report what they would report alone, and each of them stops, fails and resumes for itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.spec.packs import pack_key
from service.spec.probes import DEFAULT_PROBES
from tests.worker.conftest import Make
from worker.protocol import Alive, Checkpoint, Ended, Failed, Frame, Points, Reading, Started, Stop, TrainRequest
from worker.trainer.loop import Training
from worker.trainer.pack.session import run_pack
from worker.trainer.pack.steps import PackedSteps
from worker.trainer.probes.inline import sanity_checks
from worker.trainer.requests import run_request

CPU = torch.device("cpu")
RUNS = 4
CLOSE, EXACT = 1e-5, 1e-12  # in double precision


class Link:
    """What the supervisor hears from one run; asks it to stop once it hears of a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.frames: list[Frame] = []
        self.stop: Stop | None = None
        self.stop_at = stop_at

    def send(self, frame: Frame) -> None:
        self.frames.append(frame)
        if isinstance(frame, Points) and self.stop_at is not None:
            last = max(each["first"] + each["n"] - 1 for each in frame.series)
            self.stop = "cancel" if last >= self.stop_at else None

    def of(self, kind: type[Frame]) -> list[Any]:
        return [frame for frame in self.frames if isinstance(frame, kind)]

    @property
    def kinds(self) -> list[str]:
        return [type(frame).__name__ for frame in self.frames if not isinstance(frame, Points | Alive)]

    @property
    def points(self) -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = {}
        for frame in self.of(Points):
            payload = frame.payload
            for each in frame.series:
                steps = each["first"] + each["every"] * np.arange(each["n"])
                if not each["every"]:
                    steps, payload = np.frombuffer(payload, "<i8", each["n"]), payload[8 * each["n"] :]
                values, payload = np.frombuffer(payload, "<f8", each["n"]), payload[8 * each["n"] :]
                found.setdefault(each["name"], {}).update(zip(steps.tolist(), values.tolist(), strict=True))
        return found


class Links(dict[str, Link]):
    """The links of a pack by lease."""

    def member(self, lease: str) -> Link:
        return self.setdefault(lease, Link())


def requests(folder: Path, experiment: Make, changes: list[dict[str, Any]], **how: Any) -> list[TrainRequest]:
    """One request a run, with its number as lease and seed."""
    how = {"threads": 1, "flush_s": 0.0, "checkpoint_s": 1e9} | how
    return [
        TrainRequest(
            lease=str(at),
            spec=experiment(diagnose="never", **own).normalised(),
            seed=at,
            folder=str(folder / str(at)),
            **how,
        )
        for at, own in enumerate(changes)
    ]


def rates(**changes: Any) -> list[dict[str, Any]]:
    return [changes | {"optimizer": {"kind": "sgd", "lr": 0.02 * (at + 1)}} for at in range(RUNS)]


def alone(request: TrainRequest) -> Link:
    link = Link()
    run_request(request, CPU, link)
    return link


def check_same(packed: Link, single: Link, close: float = CLOSE) -> None:
    """The same frames, and nearly the same values at the same steps."""
    assert packed.kinds == single.kinds
    found, wanted = packed.points, single.points
    assert {name: each.keys() for name, each in found.items()} == {name: each.keys() for name, each in wanted.items()}
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=close, abs=close)


SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"clip": {"norm": 0.5}},
    "no decay of biases": {"no_decay": True, "layer_decay": 0.5},
    "probed": {"probes": ({"kind": "gradients", "every_steps": 7}, {"kind": "updates"})},
    "probed by default": {"probes": DEFAULT_PROBES},
    "probed on a copy": {"probes": ({"kind": "sharpness"}, {"kind": "weights"}, {"kind": "gradients"})},
    "watched at every step": {"probes": ({"kind": "cosines", "every_steps": 1},), "clip": {"norm": 0.5}},
    "evaluated": {
        "evaluate": {"every_steps": 6, "start": True, "train": True},
        "metrics": ({"kind": "balanced_accuracy"},),
    },
    "kept": {"checkpoint": {"keep_every": 8, "best": {"series": "val/loss"}}},
    "dropout": {"model": {"kind": "mlp", "hidden": (8,), "dropout": 0.2}},
    "plateau": {"schedule": {"kind": "plateau", "patience": 0}, "evaluate": {"every_steps": 4}},
}


@pytest.mark.parametrize("name", SPECS)
def test_a_run_of_a_pack_reports_what_it_would_alone(tmp_path: Path, experiment: Make, name: str) -> None:
    links = Links()
    run_pack(requests(tmp_path / "pack", experiment, rates(**SPECS[name])), CPU, links)
    for request in requests(tmp_path / "alone", experiment, rates(**SPECS[name])):
        check_same(links[request.lease or ""], alone(request))


@pytest.fixture
def common_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each call has made for all runs of a pack at once."""
    calls: list[int] = []
    run = PackedSteps.run

    def count(steps: PackedSteps, number: int, *probes: Any) -> Any:
        calls.append(number)
        return run(steps, number, *probes)

    monkeypatch.setattr(PackedSteps, "run", count)
    return calls


LATE: dict[str, dict[str, Any]] = {
    "by hand": {},
    "by autograd": {"model": {"kind": "mlp", "hidden": (8, 6), "activation": "gelu"}},
    "evaluated and clipped": {"evaluate": {"every_steps": 5}, "clip": {"norm": 0.5}},
    "of Adam": {"optimizer": {"kind": "adam"}},
    "of a cycled momentum": {
        "optimizer": {"kind": "sgd", "momentum": 0.9},
        "schedule": {"kind": "one_cycle", "max_lr": 0.1, "cycle_momentum": True},
    },
}


@pytest.mark.parametrize("name", LATE)
def test_parameters_begin_to_learn_in_a_pack_as_alone(
    tmp_path: Path, experiment: Make, common_steps: list[int], name: str
) -> None:
    late = [
        {"match": {"name": f"layers.{at}.*"}, "name": f"at{first}", "freeze": True, "unfreeze_at": first, "lr": 0.02}
        for at, first in ((0, 9), (2, 20))
    ]
    spec = {"model": {"kind": "mlp", "hidden": (8, 6)}, "precision": "fp64", "steps": 40, "probes": DEFAULT_PROBES}
    spec |= {"groups": tuple(late), "optimizer": {"kind": "sgd"}} | LATE[name]
    changes = [spec | {"optimizer": spec["optimizer"] | {"lr": 0.02 * (at + 1)}} for at in range(RUNS)]
    links = Links()
    run_pack(requests(tmp_path / "pack", experiment, changes), CPU, links)
    for request in requests(tmp_path / "alone", experiment, changes):
        check_same(links[request.lease or ""], alone(request), EXACT)
    assert sum(common_steps) == 40 - 3  # the first step and those that unfreeze are each run's own


@pytest.mark.parametrize(("seeds", "measured"), [([0, 0, 0], 1), ([0, 1, 0], 2)])
def test_runs_with_the_same_start_share_its_reading(
    tmp_path: Path, experiment: Make, monkeypatch: pytest.MonkeyPatch, seeds: list[int], measured: int
) -> None:
    calls: list[int] = []
    measure = sanity_checks.measure_start

    def count(training: Training) -> dict[str, Any]:
        calls.append(training.seed)
        return measure(training)

    made = requests(tmp_path / "pack", experiment, rates(probes=({"kind": "start"},), steps=2)[: len(seeds)])
    made = [replace(request, seed=seed) for request, seed in zip(made, seeds, strict=True)]
    single = [alone(request).of(Reading)[0].payload for request in made]
    monkeypatch.setattr(sanity_checks, "measure_start", count)
    links = Links()
    run_pack(made, CPU, links)
    assert [links[request.lease or ""].of(Reading)[0].payload for request in made] == single
    assert len(calls) == measured


@pytest.mark.parametrize(
    ("model", "runs", "common"), [("mlp", 2, True), ("cnn", 3, False), ("cnn", 4, True), ("mlp", 1, False)]
)
def test_steps_are_common_where_that_pays(
    tmp_path: Path, experiment: Make, common_steps: list[int], model: str, runs: int, common: bool
) -> None:
    changes = rates(dataset={"kind": "digits"}, model={"kind": model}, steps=5)[:runs]
    links = Links()
    run_pack(requests(tmp_path, experiment, changes), CPU, links)
    assert sum(common_steps) == (4 if common else 0)
    assert [links[str(at)].of(Ended)[0].step for at in range(runs)] == [5] * runs


@pytest.mark.parametrize(
    "schedule", [{"kind": "constant"}, {"kind": "one_cycle", "max_lr": 0.1}], ids=lambda s: s["kind"]
)
def test_runs_of_different_lengths_end_at_their_own_steps(
    tmp_path: Path, experiment: Make, schedule: dict[str, Any]
) -> None:
    links, lengths = Links(), (40, 25, 60, 41, 42, 43, 44, 45, 46, 47)
    run_pack(requests(tmp_path, experiment, [{"steps": n, "schedule": schedule} for n in lengths]), CPU, links)
    assert [links[str(at)].of(Ended)[0].step for at in range(len(lengths))] == [*lengths]


PLATEAU: dict[str, Any] = {"kind": "plateau", "patience": 0, "threshold": 0.3}
PLATEAUS: list[dict[str, Any]] = [
    *(PLATEAU | {"factor": 0.2}, PLATEAU | {"patience": 1}, PLATEAU | {"factor": 0.7, "min_lr": 0.01}),
    {"kind": "constant"},
]


@pytest.mark.parametrize("warmup", [False, True], ids=["", "after a warmup"])
def test_plateaus_of_different_numbers_are_one_pack_and_lower_each_rate_for_itself(
    tmp_path: Path, experiment: Make, warmup: bool
) -> None:
    schedules = [{"kind": "warmup", "steps": 5, "after": each} if warmup else each for each in PLATEAUS]
    changes = [{"schedule": each, "evaluate": {"every_steps": 4}} for each in schedules]
    assert len({pack_key(experiment(**each)) for each in changes}) == 1
    links = Links()
    run_pack(requests(tmp_path / "pack", experiment, changes), CPU, links)
    for request in requests(tmp_path / "alone", experiment, changes):
        check_same(links[request.lease or ""], alone(request))
    lowered = [len({*links[str(at)].points["lr"].values()}) for at in range(len(changes))]
    assert min(lowered[:3]) > 2 > lowered[3] - warmup * 5


def test_a_cancelled_run_leaves_the_others_alone(tmp_path: Path, experiment: Make) -> None:
    links = Links({"1": Link(stop_at=10)})
    run_pack(requests(tmp_path / "pack", experiment, rates(steps=60)), CPU, links)
    (ended,) = links["1"].of(Ended)
    assert (ended.outcome, ended.step < 60) == ("cancelled", True)
    check_same(links["2"], alone(requests(tmp_path / "alone", experiment, rates(steps=60))[2]))


def test_a_run_that_diverges_fails_at_its_step_and_alone(tmp_path: Path, experiment: Make) -> None:
    changes = rates(steps=60, loss={"kind": "mse"}, dataset={"kind": "diabetes"})
    changes[1]["optimizer"] = {"kind": "sgd", "lr": 10.0}
    links = Links()
    run_pack(requests(tmp_path / "pack", experiment, changes, autopsy_s=5.0), CPU, links)
    (failed,) = links["1"].of(Failed)
    assert (failed.kind, failed.trainer_usable) == ("diverged", True)
    assert failed.step == max(links["1"].points["loss"])
    assert links["1"].kinds[-3:] == ["Failing", "Reading", "Failed"]
    check_same(links["2"], alone(requests(tmp_path / "alone", experiment, changes)[2]))


def test_a_run_that_cannot_be_built_fails_alone(tmp_path: Path, experiment: Make) -> None:
    changes = requests(tmp_path, experiment, rates())
    broken = TrainRequest(**vars(changes[1]) | {"resume": {"folder": str(tmp_path / "none"), "sha256": "0"}})
    links = Links()
    run_pack([changes[0], broken, *changes[2:]], CPU, links)
    assert [failed.kind for failed in links["1"].of(Failed)] == ["checkpoint_damaged"]
    assert [links[str(at)].of(Ended)[0].outcome for at in (0, 2, 3)] == ["succeeded"] * 3


def test_a_run_resumes_in_a_pack_and_out_of_it(tmp_path: Path, experiment: Make) -> None:
    changes = rates(model={"kind": "mlp", "hidden": (8,), "dropout": 0.2}, optimizer={"kind": "adam"})
    first = Links()
    run_pack(requests(tmp_path / "first", experiment, changes, pause_at=17), CPU, first)
    whole = requests(tmp_path / "whole", experiment, changes)
    resumed = []
    for request in whole:
        (saved,) = first[request.lease or ""].of(Checkpoint)
        assert saved.step == 17
        resume = {"folder": saved.folder, "sha256": saved.sha256}
        resumed.append(TrainRequest(**vars(request) | {"resume": resume, "folder": request.folder + "-again"}))
    links = Links()
    run_pack(resumed, CPU, links)
    for request, again in zip(whole, resumed, strict=True):
        wanted = {step: loss for step, loss in alone(request).points["loss"].items() if step > 17}
        assert links[request.lease or ""].points["loss"] == pytest.approx(wanted, rel=CLOSE)
        outside = alone(again)
        assert outside.points["loss"] == pytest.approx(wanted, rel=CLOSE)
        (started,) = outside.of(Started)
        assert started.environment["reproducible"] is False
        assert started.environment["differs"]["pack"] == [{"runs": RUNS}, None]
