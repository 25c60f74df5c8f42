"""A run that diverges is examined before its failure is told, in bounded time, and never loses its failure."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from service.errors import RunFailure
from service.export.reproduction import script
from worker.protocol import Checkpoint, Failing, Reading, TrainRequest
from worker.trainer.probes.on_demand import autopsy
from worker.trainer.requests import run_request

from .test_probe_job import Listening

CPU = torch.device("cpu")
WILD: dict[str, Any] = {
    "dataset": {"kind": "diabetes"},
    "model": {"kind": "linear"},
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "sgd", "lr": 3.0},
}


def request(spec: Any, folder: Path, **more: Any) -> TrainRequest:
    plain = {"seed": 3, "threads": 1, "folder": str(folder), "checkpoint_s": 60, "flush_s": 0.2, "autopsy_s": 30.0}
    return TrainRequest(spec=spec.normalised(), **(plain | more))


def examined(spec: Any, folder: Path, heard: Listening | None = None, **more: Any) -> tuple[Listening, RunFailure]:
    heard = heard or Listening()
    with pytest.raises(RunFailure) as caught:
        run_request(request(spec, folder, **more), CPU, heard)
    assert caught.value.kind == "diverged"
    return heard, caught.value


def test_the_failure_is_announced_and_the_first_number_that_is_none_is_found(experiment: Any, tmp_path: Path) -> None:
    heard, failure = examined(experiment(**WILD), tmp_path)
    kinds = [type(frame) for frame in heard.frames]
    assert kinds.index(Failing) < kinds.index(Reading)
    (announced,) = heard.of(Failing)
    assert (announced.kind, announced.step) == ("diverged", failure.step)
    found = heard.readings["autopsy"]
    assert found["kind"] in ("output", "loss", "gradient", "weight")
    assert 1 <= found["step"] <= failure.step
    assert found["retrained_from"] == 0
    assert found["preceded_by_growth"] is True
    assert len(heard.of(Failing)) == 1


def test_the_script_sees_the_same_with_nothing_but_torch(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(**WILD)
    heard, _ = examined(spec, tmp_path)
    found = heard.readings["autopsy"]
    text = script("run_1", 3, spec.normalised(), found)
    assert "import worker" not in text
    said = ran(text, tmp_path, "-I")
    assert said.returncode == 0, said.stderr
    assert f"first not finite: {words(found)}" in said.stdout


def words(found: dict[str, Any]) -> str:
    return {"gradient": "gradient of", "output": "output of", "loss": "the loss"}[found["kind"]]


def ran(text: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    file = folder / "autopsy.py"
    file.write_text(text)
    return subprocess.run([sys.executable, *options, file], capture_output=True, text=True, cwd=folder, check=False)


def test_what_is_not_small_is_made_again_with_saddle(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(**WILD, precision="bf16")
    heard, _ = examined(spec, tmp_path)
    found = heard.readings["autopsy"]
    assert "reproduction" not in found
    said = ran(script("run_1", 3, spec.normalised(), found), tmp_path)
    assert said.returncode == 0, said.stderr
    again = json.loads(said.stdout)
    assert {name: again[name] for name in ("step", "kind", "module", "tensor")} == {
        name: found[name] for name in ("step", "kind", "module", "tensor")
    }


def test_it_begins_at_the_last_checkpoint_from_before(experiment: Any, tmp_path: Path) -> None:
    calm = WILD | {"optimizer": {"kind": "sgd", "lr": 1e-6}}
    spec = experiment(
        **calm, schedule={"kind": "one_cycle", "max_lr": 10.0, "pct_start": 0.9}, checkpoint={"every_steps": 5}
    )
    heard, failure = examined(spec, tmp_path)
    found = heard.readings["autopsy"]
    saved = [each.step for each in heard.of(Checkpoint)]
    assert found["retrained_from"] == max(step for step in saved if step <= (failure.step or 0) - 2) > 0
    assert found["kind"] is not None


def test_it_takes_no_longer_than_it_may(experiment: Any, tmp_path: Path) -> None:
    heard, _ = examined(experiment(**WILD), tmp_path, autopsy_s=0.0)
    assert (heard.readings, heard.of(Failing)) == ({}, [])
    heard, _ = examined(experiment(**WILD), tmp_path, autopsy_s=1e-9)
    found = heard.readings["autopsy"]
    assert found["kind"] is None
    assert "too far" in found["why"] or "out of time" in found["why"]


def test_an_error_inside_is_told_and_the_run_fails_as_it_did(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no matrix")

    monkeypatch.setattr(autopsy, "autopsy", broken)
    heard, failure = examined(experiment(**WILD), tmp_path)
    assert heard.readings["autopsy"]["error"] == "ValueError: no matrix"
    assert failure.step == heard.readings["autopsy"]["step"]


def test_layers_that_are_no_plain_calls_are_not_written_into_a_script(experiment: Any) -> None:
    made = {"layers": ["Linear(2, __import__('os').getpid())"], "loss": "MSELoss()", "flatten": False}
    data = {"step": 3, "kind": "loss", "reproduction": made | {"weights": {}, "x": {}, "y": {}, "random": {}}}
    assert "import" in script("run_1", 0, {}, data)
    assert "__import__" not in script("run_1", 0, {}, data)
