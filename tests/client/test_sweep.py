"""`saddle sweep` on a real API with a real worker: posted, followed, confirmed, stopped, extended."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.client import Client
from service.spec.parse.json_patch import apply_patch
from tests.harness.waiting import until

from .conftest import SPEC

Saddle = Callable[..., int]
STUDY: dict[str, Any] = {
    "name": "asha on digits",
    "base": SPEC | {"steps": 90, "pack": "never", "evaluate": {"every_steps": 5}},
    "space": {"/optimizer/lr": {"kind": "log_uniform", "low": 1e-4, "high": 1.0}},
    "pruner": {"kind": "asha", "first": 10},
    "budget": {"trials": 6},
    "seeds": [0, 1],
    "parallel": 3,
}


def written(tmp_path: Path, **changes: Any) -> Path:
    file = tmp_path / "study.json"
    file.write_text(json.dumps(STUDY | changes))
    return file


def test_a_study_is_searched_followed_and_confirmed_from_the_terminal(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = written(tmp_path)
    assert saddle("sweep", file, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "valid, nothing stored: 6 trials of 180 steps each" in said
    assert "at the steps 10, 30" in said
    status = saddle("sweep", file, "--confirm", "--seeds", "3", "--against", "base")
    said = capsys.readouterr().out
    assert said.count("pruned") >= 4
    assert "best so far" in said
    assert "saved by stopping early" in said
    assert "The search alone would claim val/loss" in said
    study = next(client.studies())
    found = client.study(study.id)
    confirmation = found.confirmation
    assert confirmation is not None
    assert status == int(not confirmation.confirmation.confirmed)
    assert [each.n for each in confirmation.fresh] == [3, 3]
    assert confirmation.confirmation.seeds == [2, 3, 4]
    assert found.best is not None
    best = apply_patch(found.document["base"], found.best.patch)
    assert best["optimizer"]["lr"] == found.best.point["/optimizer/lr"]
    trials = list(client.trials(study.id))
    assert [trial.number for trial in trials] == list(range(6))
    assert all(len(trial.rungs) >= 1 for trial in trials)
    for trial in trials:
        steps = 2 * (90 if trial.state == "finished" else trial.rung_steps[len(trial.rungs) - 1])
        assert trial.steps == steps, "it trained to its last rung and no further"
    listed = list(client.experiments(filter=f"study = {study.id}"))
    assert len(listed) == 6
    assert saddle("list", "--filter", f"study = {study.id}", "--sort", "trial") == 0
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["experiment", "name", "study"]
    assert study.id[:20] in first


def test_a_trial_that_paused_at_its_rungs_equals_an_experiment_that_never_did(saddle: Saddle, client: Client) -> None:
    study = next(each for each in client.studies() if each.name == STUDY["name"])
    best = client.study(study.id).best
    assert best is not None
    whole = client.submit(apply_patch(client.study(study.id).document["base"], best.patch))
    for run in until(lambda: found.runs if (found := client.experiment(whole.id or "")).over else None):
        twin = next(each for each in client.experiment(best.experiment_id or "").runs if each.seed == run.seed)
        assert twin.attempt == 3
        mine, other = (client.series(each.id, ["loss", "val/loss"], points="all") for each in (run, twin))
        for name in ("loss", "val/loss"):
            assert mine[name].value.tolist() == other[name].value.tolist()


def test_json_is_a_line_for_each_trial_and_one_for_the_study(
    saddle: Saddle, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = written(tmp_path, name="json", pruner="none", budget={"trials": 2}, seeds=[0])
    assert saddle("sweep", file, "--json") == 0
    *trials, study = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(trial["number"] for trial in trials) == [0, 1]
    assert (study["state"], study["trials"]) == ("finished", {"finished": 2})


def test_a_study_is_stopped_extended_and_refused_by_its_id(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = written(tmp_path, name="long", pruner="none", budget={"trials": 500}, seeds=[0])
    assert saddle("sweep", file, "--detach") == 0
    study_id = capsys.readouterr().out.split()[0]
    assert saddle("sweep", study_id, "--pause") == 0
    assert "paused" in capsys.readouterr().out
    assert saddle("sweep", study_id, "--extend", "trials=2", "--detach") == 0
    assert client.study(study_id).budget.trials.limit == 502
    assert saddle("sweep", study_id, "--stop") == 0
    assert "stopped by " in capsys.readouterr().out
    assert saddle("sweep", study_id) == 1, "it did not finish"
    assert saddle("sweep", study_id, "--extend", "hours=2") == 2
    until(lambda: all(trial.ended_at for trial in client.trials(study_id)))
    until(lambda: saddle("delete", study_id, "--yes") == 0)  # once its runs have stopped
    said = capsys.readouterr()
    assert f"deleted {study_id}" in said.out
    assert "trials" in said.out
    assert study_id not in [each.id for each in client.studies()]
    assert saddle("restore", study_id) == 0
    assert study_id in [each.id for each in client.studies()]
    assert saddle("sweep", file, "--stop") == 2
    assert "take a study's id" in capsys.readouterr().err


def test_a_duel_is_told_with_the_steps_to_each_target(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sides = {"kind": "choice", "role": "scientific", "options": ["sgd", "adam"]}
    space = {"/optimizer": sides, "/optimizer/lr": STUDY["space"]["/optimizer/lr"]}
    duel = {"name": "duel", "space": space, "pruner": {"kind": "median", "first": 10, "every": 20}, "seeds": [0]}
    assert saddle("sweep", written(tmp_path, **duel)) == 0
    said = capsys.readouterr().out
    analysis = client.study_analysis(next(client.studies()).id)
    assert [each.label for each in analysis.contestants] == ["sgd", "adam"]
    table = said[said.index("steps to") :].splitlines()
    assert table[0].split() == ["steps", "to", "sgd", "adam"]
    for line, steps in zip(table[1:], analysis.steps_to_target, strict=False):
        assert line.split()[1:] == ["-" if each is None else f"{each:,}" for each in steps]
    assert len(analysis.targets) > 0
