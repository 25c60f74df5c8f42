import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.client import Client


def until(client: Client, run: str, state: str) -> None:
    end = time.monotonic() + 60
    while client.run(run).state != state:
        assert time.monotonic() < end, client.run(run)
        time.sleep(0.05)


def test_a_run_is_paused_resumed_cancelled_and_retried(
    client: Client, saddle: Callable[..., int], spec: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run = client.submit(spec(name="wished", steps=1_000_000)).runs[0].id
    until(client, run, "running")
    assert saddle("pause", "wished") == 0
    until(client, run, "paused")
    assert saddle("resume", "wished:0") == 0
    assert saddle("cancel", run) == 0
    until(client, run, "cancelled")
    assert saddle("pause", run) == 2
    assert run in capsys.readouterr().err
    assert saddle("watch", run) == 1
    capsys.readouterr()
    assert saddle("retry", "wished", "--from", "start", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["relation"], again["parent_run_id"]) == ("retry", run)
    assert saddle("cancel", "wished", "--json") == 0  # the name now means the retry, not what it takes the place of
    assert [each["id"] for each in json.loads(capsys.readouterr().out)] == [again["id"]]
    until(client, again["id"], "cancelled")


WILD: dict[str, Any] = {
    "dataset": {"kind": "diabetes"},
    "model": {"kind": "linear"},
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "sgd", "lr": 1.0},
    "steps": 60,
}


def test_a_run_that_diverged_is_examined_its_end_made_again_and_its_remedy_tried(
    client: Client,
    saddle: Callable[..., int],
    spec: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    run = client.submit(spec(name="wild", **WILD)).runs[0].id
    assert saddle("watch", "wild") == 1
    (autopsy,) = client.readings(run, "autopsy")
    assert autopsy.data["kind"] is not None
    script = tmp_path / "autopsy.py"
    script.write_text(client.autopsy_script(run))
    said = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "first not finite: " in said.stdout
    assert "nothing" not in said.stdout
    capsys.readouterr()
    first = client.diagnosis(run).findings[0]
    finding = first["id"]
    assert saddle("verify", "wild", first["verdict"], "--watch") == 0
    assert "helped" in capsys.readouterr().out
    assert [each.outcome for each in client.verifications(run, finding)] == ["helped"]


def test_instruments_look_at_a_run_on_demand(
    client: Client, saddle: Callable[..., int], spec: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    run = client.submit(spec(name="looked-at")).runs[0].id
    assert saddle("watch", "looked-at") == 0
    capsys.readouterr()
    assert saddle("probe", "looked-at", "--kind", "sharpness", "--kind", "gradient_check", "--watch") == 0
    (job,) = client.probes(run)
    assert (job.state, job.relation, job.step) == ("succeeded", "probe", 40)
    found = {each.kind: each.data for each in client.readings(run) if each.run_id == job.id}
    assert set(found) == {"sharpness", "gradient_check"}
    assert not any("error" in data for data in found.values()), found
    assert saddle("probe", "looked-at", "--kind", "gradients") == 2
    assert "/probes/0/kind" in capsys.readouterr().err


def test_a_run_is_replayed_forked_and_its_weights_taken_home(
    client: Client,
    saddle: Callable[..., int],
    spec: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    made = client.submit(spec(name="parent", predictions=True))
    assert saddle("watch", "parent") == 0
    assert saddle("replay", "parent", "--steps", "10", "--watch") == 0
    assert "identical to the last bit over 10 steps" in capsys.readouterr().out
    assert (
        saddle("fork", "parent", "--set", "steps=60", "--set", "optimizer.lr=1e-3", "--name", "child", "--watch") == 0
    )
    child = client.series(next(client.runs(limit=1)).id, ["loss", "lr"])
    assert child["loss"].step.tolist() == list(range(41, 61))
    assert set(child["lr"].value.tolist()) == {1e-3}
    folder = tmp_path / "weights"
    assert saddle("checkpoints", "parent", "--download", "40", "-o", folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "tensors.safetensors"]
    total = hashlib.sha256()
    for name in ("state.json", "tensors.safetensors"):
        content = (folder / name).read_bytes()
        total.update(f"{name} {len(content)}\n".encode() + content)
    assert total.hexdigest() == client.checkpoints(made.runs[0].id)[0].sha256
    assert saddle("checkpoints", "parent", "--download", "40", "-o", folder) == 2
    assert saddle("checkpoints", "parent", "--download", "7", "-o", tmp_path / "other") == 2
    assert "kept are: 40" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [folder]
    assert saddle("model", "parent", tmp_path / "model", "--step", "40") == 0
    assert f"{tmp_path / 'model'}/load.py rows.json" in capsys.readouterr().out
    names = ["card.md", "inputs.json", "load.py", "model.safetensors", "spec.json"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == names
    assert saddle("model", "parent", tmp_path / "model") == 2
    assert saddle("model", "parent", tmp_path / "averaged", "--average") == 2
    assert saddle("predictions", "parent", "-o", tmp_path / "rows.parquet") == 0
    assert (tmp_path / "rows.parquet").read_bytes()[:4] == b"PAR1"
    compare_predictions(saddle, capsys, tmp_path)
    assert saddle("predictions", "parent", "-o", tmp_path / "rows.parquet") == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert saddle("card", "parent") == 0
    assert capsys.readouterr().out.startswith("# parent\n")
    assert saddle("workers") == 0
    assert "idle" in capsys.readouterr().out


def compare_predictions(saddle: Callable[..., int], capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """Rows of the validation part are predicted alike by a job, by load.py and in the Parquet file."""
    import pyarrow.parquet as pq
    from sklearn.datasets import load_digits

    table = pq.read_table(folder / "rows.parquet").slice(0, 3).to_pydict()
    rows = folder / "rows.json"
    rows.write_text(json.dumps([[load_digits().images[at].tolist()] for at in table["row"]]))
    capsys.readouterr()
    assert saddle("predict", "parent", rows, "--weights", 40, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    code = f"import sys; sys.path.insert(0, {str(folder / 'model')!r}); import load, json, pathlib; "
    code += f"print(json.dumps(load.predict(json.loads(pathlib.Path({str(rows)!r}).read_text()))))"
    at_home = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found["predictions"] == json.loads(at_home.stdout)
    for answer, prediction, likely in zip(
        found["predictions"], table["prediction"], table["probabilities"], strict=True
    ):
        assert answer["class"] == str(prediction)
        assert list(answer["probabilities"].values()) == pytest.approx(likely, rel=1e-5)
    assert saddle("predict", "parent", rows) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5, "where it is from, a head, a line a row"
    rows.write_text("[[1]]")
    assert saddle("predict", "parent", rows) == 2
    assert "/rows/0/0: give numbers of the shape [8, 8]" in capsys.readouterr().err


def test_what_is_deleted_is_named_first_and_gone_after(
    client: Client,
    saddle: Callable[..., int],
    spec: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    made = client.submit(spec(name="unloved"))
    assert saddle("watch", "unloved") == 0
    assert saddle("delete", "unloved") == 2
    assert f"would delete {made.id}  unloved, of admin: 1 runs" in capsys.readouterr().err
    assert next(client.experiments(limit=1)).name == "unloved"
    assert saddle("delete", "unloved", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"id": made.id}]
    assert saddle("show", made.id) == 2
    assert "is in the bin" in capsys.readouterr().err
    assert saddle("bin") == 0
    assert "unloved" in capsys.readouterr().out
    assert saddle("restore", "unloved", "no such thing") == 2
    assert saddle("restore", "unloved") == 0
    assert saddle("show", made.id) == 0
    assert saddle("delete", made.id, "--yes", "--forever") == 0
    capsys.readouterr()
    assert saddle("restore", made.id) == 2
    assert "nothing in the bin" in capsys.readouterr().err
    going = client.submit(spec(name="going", steps=1_000_000))
    assert saddle("delete", "going", "--yes") == 2
    assert "cancel the experiment first" in capsys.readouterr().err
    client.cancel(going.runs[0].id)
    until(client, going.runs[0].id, "cancelled")
    table = tmp_path / "table.csv"
    table.write_text("size,kind\n" + "1,a\n2,b\n" * 20)
    upload = client.upload(table)
    assert saddle("delete", "going", upload.id, "--yes") == 0
    assert upload.id not in [each.id for each in client.datasets()]
    assert saddle("restore", upload.id, going.id) == 0
    assert upload.id in [each.id for each in client.datasets()]


def test_experiments_are_commented_on_shared_and_the_project_is_set(
    client: Client,
    saddle: Callable[..., int],
    spec: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = client.submit(spec(name="talked of"))
    assert saddle("comment", "talked of:0", "@admin look") == 0
    assert "admin named" in capsys.readouterr().out
    assert saddle("comment", "talked of") == 0
    assert "@admin look" in capsys.readouterr().out
    assert saddle("share", "talked of", "no such project") == 2
    assert saddle("share", "talked of", "default") in (0, 2)
    assert saddle("move", made.id, "no such project") == 2
    assert "You are in no project" in capsys.readouterr().err
    assert saddle("project", "--members-manage", "on") == 0
    assert "may change" in capsys.readouterr().out
    assert saddle("project", "--members-manage", "off", "--json") == 0
    assert json.loads(capsys.readouterr().out)["members_manage"] is False
