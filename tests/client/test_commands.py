import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.client import Client
from service.client.__main__ import parser
from service.client.terminal import width_of
from tests.harness.product import Product

Saddle = Callable[..., int]
ROOT = Path(__file__).resolve().parents[2]
KINDS = {"sgd": 0.05, "momentum": 0.05, "adam": 3e-3, "adamw": 3e-3, "rmsprop": 3e-3}
YAML = """
name: from yaml
dataset: {kind: digits}
model: {kind: mlp, hidden: [16]}
loss: {kind: cross_entropy}
optimizer: {kind: adamw, lr: 1e-3}
steps: 20
"""


def test_every_command_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str], saddle: Saddle) -> None:
    names = re.search(r"\{(.*?)\}", parser().format_usage().replace("\n", "")) or parser().format_help()
    commands = next(a for a in parser()._actions if a.choices).choices or {}
    assert names
    assert len(commands) >= 15
    for name in commands:
        assert saddle(name, "--help") == 0
        said = capsys.readouterr().out
        assert f"example:\n  saddle {name} " in said + " " or f"example:\n  saddle {name}\n" in said
        assert "--json" in said
    assert saddle("lst") == 2


def test_a_yaml_spec_is_checked_submitted_and_watched(
    saddle: Saddle, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(YAML)
    assert saddle("submit", file, "--dry-run") == 0
    assert "nothing stored" in capsys.readouterr().out
    assert saddle("submit", file, "--set", "batch_size=16", "--seeds", "0-1", "--watch") == 0
    said = capsys.readouterr().out
    assert "2 succeeded" in said
    assert said.count("20/20") == 2
    assert saddle("list", "--json") == 0
    made = json.loads(capsys.readouterr().out)[0]
    assert made["name"] == "from yaml"
    assert saddle("show", "latest", "--spec") == 0
    spec = json.loads(capsys.readouterr().out)
    assert (spec["batch_size"], spec["optimizer"]["lr"], spec["seeds"]) == (16, 1e-3, [0, 1])
    assert saddle("show", f"{made['id'][-8:]}:1") == 0
    assert "succeeded" in capsys.readouterr().out
    assert saddle("watch", f"{made['id']}:0", "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "end"
    assert saddle("logs", f"{made['id']}:0", "--follow") == 0
    said = capsys.readouterr().out
    assert "trains from step 0 to 20" in said
    assert "succeeded at step 20" in said
    assert saddle("logs", f"{made['id']}:1", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["text"].startswith("claimed by ")
    assert saddle("logs", made["id"]) == 2
    assert "has 2 runs" in capsys.readouterr().err


def test_lists_and_comparisons_take_the_filters_of_the_api(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(YAML.replace("from yaml", "swept"))
    for rate in ("1e-3", "3e-2"):
        tagged = ["--set", f"optimizer.lr={rate}", "--set", 'tags=["filters"]']
        assert saddle("submit", file, *tagged, "--name", f"swept {rate}", "--watch") == 0
    capsys.readouterr()
    mine = ("--filter", "tag = filters")
    assert saddle("list", *mine, "--sort", "-best(val/accuracy)", "--columns", "optimizer.lr", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    accuracies = [each["values"]["best(val/accuracy)"] for each in found]
    assert {each["values"]["optimizer.lr"] for each in found} == {1e-3, 3e-2}
    assert accuracies == sorted(accuracies, reverse=True)
    assert len(accuracies) == 2
    assert saddle("list", *mine, "--sort", "optimizer.lr") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert "optimizer.lr" in head
    assert [row.split()[3] for row in rows] == ["0.001", "0.03"]
    results = {each["values"]["optimizer.lr"]: f"{each['main']['best']:.4g} best val/" for each in found}
    assert all(results[rate] in row for rate, row in zip((1e-3, 3e-2), rows, strict=True))
    assert saddle("list", "--runs", "--filter", "tag = filters AND step >= 20", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert saddle("list", "--filter", "tag = filters AND optimizer.lr > 1") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1, "the head alone"
    assert saddle("compare", *mine, "--json", "--series", "val/loss") == 0
    compared = json.loads(capsys.readouterr().out)
    assert {group["experiment_id"] for group in compared["groups"]} == {each["id"] for each in found}
    assert saddle("list", "--filter", "optimizer.lrr > 1") == 2
    assert "optimizer.lr" in capsys.readouterr().err
    assert saddle("compare", "swept 1e-3", *mine) == 2
    assert saddle("compare") == 2
    assert "--filter" in capsys.readouterr().err
    assert [each.id for each in client.experiments(filter="tag = filters", sort="created")] == sorted(
        each["id"] for each in found
    )


def test_experiments_are_labelled_put_away_and_weighed(
    saddle: Saddle, client: Client, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(YAML.replace("from yaml", "to be labelled"))
    assert saddle("submit", file, "--set", 'tags=["a", "b"]', "--watch") == 0
    assert saddle("label", "to be labelled", "--name", "labelled", "--tag", "c", "--untag", "a", "--notes", "why") == 0
    assert "b, c" in capsys.readouterr().out
    (item,) = client.experiments(filter="name = labelled")
    found = client.experiment(item.id)
    assert (found.name, found.raw["tags"], found.raw["notes"]) == ("labelled", ["b", "c"], "why")
    assert found.spec["name"] == "to be labelled", "what was posted stays"
    assert saddle("storage", "labelled", "--json") == 0
    used = json.loads(capsys.readouterr().out)
    assert (used["runs"], [each["run_id"] for each in used["greatest"]]) == (1, [found.runs[0].id])
    assert used["points"] >= 40, "loss and rate of 20 steps"
    assert saddle("storage") == 0
    assert re.match(r"\d+ runs: \d+ points in [\d.]+ [kM]?B, ", capsys.readouterr().out)
    assert saddle("archive", "labelled") == 0
    assert "archived" in capsys.readouterr().out
    assert saddle("show", "labelled") == 0, "what no list shows can still be named"
    assert "labelled" in capsys.readouterr().out
    assert saddle("list", "--filter", "name = labelled", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert [each.id for each in client.experiments(filter="name = labelled", archived=True)] == [item.id]
    assert saddle("unarchive", "labelled") == 0
    assert saddle("show", "labelled") == 0
    assert saddle("archive", "labelled") == 0
    assert saddle("delete", "labelled", "--yes") == 0
    capsys.readouterr()
    for wrong in (["labelled"], ["x", "y", "--name", "z"], ["no such", "--tag", "t"]):
        assert saddle("label", *wrong) == 2, wrong
        assert capsys.readouterr().err.startswith("saddle: ")


def test_what_is_wrong_is_said_and_the_exit_status_tells_the_kind(
    saddle: Saddle, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert saddle("submit", "preset:digits-adm") == 2
    assert "Did you mean 'digits-adam'?" in capsys.readouterr().err
    assert saddle("submit", "preset:digits-adam", "--set", "optimizer.lr=-1", "--set", "epocs=3") == 2
    said = capsys.readouterr().err
    assert "/optimizer/lr" in said
    assert "Did you mean 'epochs'?" in said
    assert saddle("submit", tmp_path / "nothing.yaml") == 2
    assert saddle("show", "no such name") == 2
    monkeypatch.setenv("SADDLE_KEY", "key_wrong")
    assert saddle("list") == 2
    assert "SADDLE_KEY" in capsys.readouterr().err
    monkeypatch.setenv("SADDLE_URL", "http://127.0.0.1:1")
    assert saddle("list") == 3
    assert "does not answer" in capsys.readouterr().err


def test_a_run_that_fails_is_told_with_its_reason(
    saddle: Saddle, spec: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = spec(name="diverges", dataset={"kind": "diabetes", "target_scaling": "none"}, loss={"kind": "mse"})
    (tmp_path / "bad.json").write_text(json.dumps(bad | {"optimizer": {"kind": "sgd", "lr": 10.0}}))
    assert saddle("submit", tmp_path / "bad.json", "--watch") == 1
    assert "diverged: the loss is inf at step" in capsys.readouterr().out
    assert saddle("export", "diverges", "--series", "loss") == 0
    assert re.search(r",(NaN|Infinity)$", capsys.readouterr().out.strip())


def test_a_diagnosis_is_a_text_with_a_status_or_json(
    saddle: Saddle, capsys: pytest.CaptureFixture[str], client: Client, spec: Callable[..., dict[str, Any]]
) -> None:
    fault = spec(name="far too fast", optimizer={"kind": "sgd", "lr": 10.0}, nonfinite="continue")
    made = [client.submit(each).runs[0].id for each in (fault, spec(name="as usual", steps=120))]
    for run in made:
        list(client.watch(run))
    capsys.readouterr()
    assert saddle("diagnose", made[0]) == 1
    said = capsys.readouterr().out
    assert "FAULT: " in said
    assert "/optimizer/lr" in said
    assert saddle("diagnose", made[1]) == 0
    capsys.readouterr()
    assert saddle("diagnose", "far too fast:0", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["findings"][0]["patch"]
    assert client.diagnosis(made[0]).headline == told["headline"]


def test_five_optimizers_are_compared_and_exported(
    saddle: Saddle, spec: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, rate in KINDS.items():
        optimizer = {"kind": "sgd", "lr": rate, "momentum": 0.9} if name == "momentum" else {"kind": name, "lr": rate}
        (tmp_path / "spec.json").write_text(json.dumps(spec(name=f"five {name}", optimizer=optimizer, probes=[])))
        assert saddle("submit", tmp_path / "spec.json", "--seeds", "0-2") == 0
    names = [f"five {name}" for name in KINDS]
    for name in names:
        assert saddle("watch", name) == 0
    capsys.readouterr()
    assert saddle("compare", *names) == 0
    said = capsys.readouterr().out
    assert "best val/loss of each run; lower is better" in said
    assert "95 % interval" in said
    assert "●" in said
    assert "/optimizer/lr" in said
    assert saddle("compare", *names, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    places = re.findall(r"^\s*(\d)\s+five (\w+)\s+(\d)", said, re.MULTILINE)
    assert places == [(str(i["rank"]), i["label"].removeprefix("five "), "3") for i in answer["ranking"]["items"]]
    assert saddle("compare", answer["id"]) == 0
    capsys.readouterr()
    assert saddle("compare", *names, "--target", "50%", "--baseline", "five sgd", "--no-chart") == 0
    said = capsys.readouterr().out
    assert "against five sgd, paired by seed" in said
    assert re.search(r"^five adam +(better|worse|indistinguishable) ", said, re.MULTILINE)
    assert re.search(r"step until val/loss reaches the target.*speed-up over five sgd", said)
    for form in ("parquet", "arrow", "csv", "ndjson"):
        assert saddle("export", *names, "-o", tmp_path / f"curves.{form}") == 0
    frames = read_back(tmp_path)
    for frame in frames.values():
        assert len(frame) == 5 * 3 * (2 * 40 + 2 * 2)
        assert frame.equals(frames["parquet"])


def test_the_best_of_several_rates_is_confirmed_by_fresh_seeds(
    client: Client, saddle: Saddle, spec: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, rates in {"sgd": (0.01, 0.05, 0.2), "adam": (3e-5,)}.items():
        for rate in rates:
            made = client.submit(
                spec(name=f"rate {kind} {rate}", optimizer={"kind": kind, "lr": rate}, probes=[], tags=["rates"]),
                seeds=[0, 1],
            )
            assert [saddle("watch", run.id) for run in made.runs] == [0, 0]
    capsys.readouterr()
    assert saddle("compare", "--filter", "tag = rates", "--group", "optimizer.kind", "--no-chart") == 0
    asked = re.search(r"by fresh seeds alone: saddle confirm (cmp_\w+) --watch", capsys.readouterr().out)
    assert asked
    assert saddle("confirm", asked[1], "--seeds", "3", "--watch") == 0
    said = capsys.readouterr().out
    assert "confirmed: On fresh seeds alone: optimizer.kind sgd is better than optimizer.kind adam, paired over" in said
    assert "fresh seeds 2-4" in said
    told = client.confirm(asked[1]).confirmation
    assert told
    assert told["confirmed"] is True
    assert [len(group["trials"]) for group in client.comparison(asked[1]).groups] == [3, 1]
    assert saddle("confirm", asked[1], "--seeds", "9") == 2
    assert "already has a confirmation" in capsys.readouterr().err
    assert saddle("confirm", "adam") == 2
    assert "at any time: After 3 seeds, this test has not decided; the test of the planned seeds has" in said
    assert f"saddle confirm {asked[1]} --more " not in said, "nothing is missing"
    assert saddle("confirm", asked[1], "--more", "2", "--seeds", "3") == 2
    assert saddle("confirm", asked[1], "--more", "8", "--watch") == 0
    said = capsys.readouterr().out
    assert (
        "confirmed: On fresh seeds alone, which were extended: After 11 seeds, optimizer.kind sgd is better than"
        in said
    )
    assert "fresh seeds 2-12" in said


def read_back(folder: Path) -> dict[str, Any]:
    """What pandas makes of the four files."""
    import pandas

    frames = {
        "parquet": pandas.read_parquet(folder / "curves.parquet"),
        "arrow": pandas.read_feather(folder / "curves.arrow"),
        "csv": pandas.read_csv(folder / "curves.csv"),
        "ndjson": pandas.read_json(folder / "curves.ndjson", lines=True, precise_float=True),
    }
    return {name: frame.astype({"value": "float64"}) for name, frame in frames.items()}


def test_names_of_others_cannot_command_the_terminal(
    server: Product,
    client: Client,
    saddle: Saddle,
    spec: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = client.submit(spec(name="harmless", steps=1, optimizer={"kind": "sgd", "lr": 0.01}))
    server.sql("UPDATE experiment SET name = %s WHERE id = %s", "\x1b]0;owned\x07\x1b[2J\u202egnp.exe", made.id)
    try:
        for command in (["list"], ["show", made.id], ["compare", made.id, made.runs[0].id][:2], ["watch", made.id]):
            assert saddle(*command) in (0, 2)
            said = capsys.readouterr()
            assert [c for c in said.out + said.err if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"] == []
            if command[0] == "list":
                assert "\\x1b]0;owned" in said.out
    finally:
        server.sql("UPDATE experiment SET name = 'harmless' WHERE id = %s", made.id)


def test_catalogue_preview_and_upload(saddle: Saddle, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert saddle("catalog") == 0
    assert saddle("catalog", "optimizers") == 0
    assert saddle("catalog", "optimizers", "adamw") == 0
    assert re.search(r"lr\s+0\.001\s+number >= 0", capsys.readouterr().out)
    assert saddle("catalog", "presets", "--json") == 0
    assert "digits-adam" in json.loads(capsys.readouterr().out)
    assert saddle("preview", "cosine", "--lr", "0.1", "--steps", "10", "--json") == 0
    rates = json.loads(capsys.readouterr().out)["rates"]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert saddle("preview", "warmup", "--set", "steps=100", "--set", "after.kind=cosine") == 0
    assert saddle("preview", "cosin") == 2
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n3,4\n")
    capsys.readouterr()
    assert saddle("upload", tmp_path / "mine.csv") == 0
    assert re.match(r"dat_\w{26}  mine.csv: csv, 2 rows", capsys.readouterr().out)
    assert saddle("upload", tmp_path / "none.csv") == 2


def test_the_rows_of_each_part_of_an_upload_are_counted_and_listed(
    client: Client, saddle: Saddle, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").write_text("a,b\n" + "".join(f"{row},{row % 7}\n" for row in range(40)))
    upload = client.upload(tmp_path / "mine.csv").id
    dataset = {"kind": "upload", "upload": upload, "predict": "b", "task": "regression", "test": 0.1}
    spec = {"name": "mine", "dataset": dataset, "model": {"kind": "linear"}, "loss": {"kind": "mse"}, "steps": 1}
    made = client.submit(spec | {"optimizer": {"kind": "sgd"}}).runs[0]
    assert saddle("split", made.id, "-o", tmp_path / "rows.csv") == 0
    assert capsys.readouterr().out.startswith("train 28  validation 8  test 4\n")
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["row", *map(str, range(40))]
    found = client.split(made.id)
    assert [int(line.split(",")[0]) for line in lines if line.endswith(",test")] == found.test
    assert saddle("split", made.id, "-o", tmp_path / "rows.csv") == 2
    assert "is there already" in capsys.readouterr().err


# Whoever runs tests in the background has them ignore Ctrl-C, and that is inherited.
HEEDFUL = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('service.client', run_name='__main__', alter_sys=True)"
)


def in_terminal(server: Product, columns: int, command: list[str]) -> tuple[int, str]:
    """`saddle` in a terminal that wide, interrupted once it is seen to run: exit status and all that it drew."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    own = {"SADDLE_URL": server.url, "SADDLE_KEY": server.key, "TERM": "xterm", "NO_COLOR": "1"}
    ours = {name: value for name, value in server.environment.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDFUL, *command],
        cwd=ROOT,
        env=ours | own,  # the width is the terminal's own
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    said, end, interrupted = b"", time.monotonic() + 60, False
    try:
        while time.monotonic() < end:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                said += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not interrupted and said.count(b" running") > 3:
                process.send_signal(signal.SIGINT)
                interrupted = True
    finally:
        process.kill() if time.monotonic() >= end else None
        status = process.wait()
        os.close(master)
    return status, said.decode()


@pytest.fixture
def long_run(client: Client, spec: Callable[..., dict[str, Any]]) -> Iterator[str]:
    """A run that trains for minutes, unless it is ended, as it is in the end."""
    run = client.submit(spec(name="long", steps=1_000_000)).runs[0].id
    yield run
    client.cancel(run)
    for _ in client.watch(run):
        pass
    assert client.run(run).state == "cancelled"


def test_watching_stays_within_the_terminal_and_ctrl_c_leaves_the_run_alone(
    server: Product, client: Client, long_run: str
) -> None:
    for columns in (24, 60):
        status, text = in_terminal(server, columns, ["watch", long_run])
        assert status == 130, text
        assert f"saddle cancel {long_run}" in text
        drawn = re.sub(r"\x1b\[[0-9;]*[AJK]", "", text).replace("\r", "").split("\n")
        assert [line for line in drawn if width_of(line) > columns and "saddle cancel" not in line] == []
        assert "\x1b[3" not in text  # NO_COLOR
        assert "*" in text  # two curves without colours are told apart by letters
    assert client.run(long_run).state == "running"


def test_a_reader_that_has_seen_enough_is_no_error(server: Product) -> None:
    environment = server.environment | {"SADDLE_URL": server.url, "SADDLE_KEY": server.key}
    line = f"{sys.executable} -m service.client catalog optimizers | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_symptom_library_is_shown_run_and_judged(saddle: Saddle, capsys: pytest.CaptureFixture[str]) -> None:
    assert saddle("symptoms", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["zero-init"]["expect"]["level"] == "fault"
    assert saddle("symptoms", "show", "zero-init", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tags"] == ["symptom"]
    assert saddle("symptoms", "run", "zero-init", "seed-luck", "--seeds", "0-1") == 0  # the last one needs more seeds
    said = capsys.readouterr().out
    assert said.count("zero_or_symmetric_init") == 3
    assert "broken: 2 of 2 right (100.0%)" in said
    assert saddle("symptoms", "run", "zero-in") == 2
