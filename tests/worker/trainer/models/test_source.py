"""Every kind of model taken home: load.py rebuilds it where no module of ours can be imported."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.abc import MetaPathFinder
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.db.runs.checkpoints import StoredCheckpoint
from service.experiments import model_files
from service.experiments.model_files import TrainedModel, Weights
from service.export.model.archive import zip_files
from service.spec.experiment import Experiment
from service.storage.folder import FolderStore
from tests.harness.texts import language_spec, store_text
from tests.ingest.images.image_files import archive, class_files
from tests.worker.trainer.data.test_images import REST, uploaded
from tests.worker.trainer.models.test_every_model import DIGITS, MODERN, SETTINGS, experiment, ids
from worker.trainer.checkpoints import checkpoint
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import load
from worker.trainer.loop import Training, prepare, train
from worker.trainer.models.source import bundle
from worker.trainer.predict.job import predict_rows

CPU = torch.device("cpu")
NO_OBJECTIVES = [setting for setting in SETTINGS if setting[1]]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class OursMissing(MetaPathFinder):
    """An importer that fails for every module of ours, as if Saddle were not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> None:
        if name.partition(".")[0] in ("service", "worker"):
            raise ModuleNotFoundError(f"No module named {name!r}")


def trained(spec: Experiment) -> Training:
    training = prepare(spec, 0, CPU)
    list(train(training))
    return training


def taken_home(training: Training, folder: Path, features: list[str] | None = None, weights: Weights = "model") -> Path:
    """The files of the archive, as the API makes them from a checkpoint."""
    saved = checkpoint.save(folder / "run_x/a1-00000000", training, training.fitted)
    kept = StoredCheckpoint("run_x", 1, training.step, "end", None, str(saved.folder), "", 0, False, NOW, None)
    model = TrainedModel(kept, training.spec, weights, features)
    archive = b"".join(zip_files(model_files.archive_files(FolderStore(folder), model, "# card"), NOW))
    home = folder / "home"
    with zipfile.ZipFile(BytesIO(archive)) as opened:
        assert opened.testzip() is None
        opened.extractall(home)
    return home


def run_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What load.py defines, in a process in which none of our modules can be imported."""
    monkeypatch.setattr(sys, "meta_path", [OursMissing(), *sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("service", "worker")]:
        monkeypatch.delitem(sys.modules, name)
    found: dict[str, Any] = {"__name__": "load", "__file__": str(home / "load.py")}
    exec(compile((home / "load.py").read_text(), "load.py", "exec"), found)
    return found


def outputs(training: Training, x: Tensor) -> Tensor:
    with torch.no_grad():
        return training.model.eval()(x)


@pytest.mark.parametrize(("model", "changes"), NO_OBJECTIVES, **ids)
def test_every_kind_of_model_is_rebuilt_with_equal_outputs(
    model: dict[str, Any], changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trained(experiment(model, changes, probes=()))
    x = training.batches.batch(1)[0][:5]
    expected = outputs(training, x)
    home = run_at_home(taken_home(training, tmp_path), monkeypatch)
    rebuilt = home["load"]()
    with torch.no_grad():
        assert torch.equal(rebuilt(x), expected)
    assert type(rebuilt).__module__ not in sys.modules or not type(rebuilt).__module__.startswith("worker")


def test_rows_are_scaled_as_in_the_training_and_classes_have_their_names(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.datasets import load_iris

    training = trained(experiment())
    raw = load_iris().data[:7]
    expected = outputs(training, training_rows(training, raw)).double().softmax(1)
    home = run_at_home(taken_home(training, tmp_path, ["a", "b", "c", "d"]), monkeypatch)
    answers = home["predict"](raw.tolist())
    found = torch.tensor([[each["probabilities"][name] for name in ("0", "1", "2")] for each in answers])
    assert torch.equal(found.double(), expected.float().double())
    assert [each["class"] for each in answers] == [str(k) for k in expected.argmax(1).tolist()]
    named = [dict(zip("dcba", reversed(row), strict=True)) for row in raw.tolist()]
    assert home["predict"](named) == answers


def test_rows_as_a_file_has_them_are_read_and_what_does_not_fit_is_named(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = run_at_home(taken_home(trained(experiment()), tmp_path, ["a", "b", "c", "d"]), monkeypatch)
    expected = home["predict"]([[1.5, 0, 1, 2]])
    assert home["predict"]([{"a": "1.5", "b": "False", "c": True, "d": " 2 ", "other": "x"}]) == expected
    for row, said in (
        ({"a": 1, "b": 2, "c": 3}, "row 1 has no column 'd'"),
        ([1, 2, 3], "row 1 has 3 values for 4 columns: a, b, c, d"),
        ({"a": 1, "b": "abc", "c": 3, "d": 4}, "row 1: 'abc' of the column 'b' is no number"),
        ([1, None, 3, 4], "row 1 has no value of 'b'"),
        ([1, float("nan"), 3, 4], "row 1 has no value of 'b'"),
    ):
        with pytest.raises(ValueError, match=said):
            home["predict"]([[1, 2, 3, 4], row])


def training_rows(training: Training, raw: Any) -> Tensor:
    scale = training.scales["features"]
    return torch.from_numpy(((raw - scale["shift"]) / scale["divisor"]).astype("float32"))


def test_values_are_in_the_units_of_the_data(experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"dataset": {"kind": "diabetes"}, "loss": {"kind": "gaussian_nll"}}
    from sklearn.datasets import load_diabetes

    training = trained(experiment(**changes, optimizer={"kind": "adam", "lr": 0.01}, steps=300))
    asked = predict_rows(training, training.fitted, load_diabetes(scaled=False).data.tolist())
    home = run_at_home(taken_home(training, tmp_path), monkeypatch)
    rows, wanted = load_diabetes(return_X_y=True, scaled=False)
    answers = home["predict"](rows.tolist())
    assert answers == asked
    errors = [abs(each["value"] - y) for each, y in zip(answers, wanted, strict=True)]
    assert sum(errors) / len(errors) < 50  # the mean of all is off by 65
    assert 20 < sum(each["deviation"] for each in answers) / len(answers) < 100


def test_averaged_weights_are_taken_home_where_they_are_asked_for(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trained(experiment(average={"kind": "ema", "decay": 0.9}))
    home = run_at_home(taken_home(training, tmp_path, weights="average"), monkeypatch)
    average = training.pipeline.average
    assert average is not None
    found, expected = home["load"]().state_dict(), average.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert not all(torch.equal(value, training.model.state_dict()[name]) for name, value in found.items())


EXPORTED: list[dict[str, Any]] = [{"kind": "resnet", "width": 4}, MODERN | {"width": 32, "layers": 1}]


@pytest.mark.parametrize("model", EXPORTED, **ids)
def test_a_program_gives_the_same_for_any_number_of_rows(
    model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trained(experiment(model, DIGITS, probes=(), steps=1))
    x = training.batches.batch(1)[0][:5]
    home = run_at_home(taken_home(training, tmp_path), monkeypatch)
    home["export"](tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    with torch.no_grad():
        for rows in (x, x[:1]):
            assert torch.allclose(program(rows), outputs(training, rows), atol=1e-6)


def test_a_process_without_saddle_predicts(experiment: Any, tmp_path: Path) -> None:
    training = trained(experiment())
    home = taken_home(training, tmp_path)
    (tmp_path / "rows.json").write_text("[[5.1, 3.5, 1.4, 0.2]]")
    assert json.loads(run_without_saddle(home, tmp_path / "rows.json"))[0]["class"] == "0"


def test_a_librarys_model_predicts_beside_a_torchvision_whose_compiled_part_is_for_another_torch(
    tmp_path: Path,
) -> None:
    training = trained(experiment({"kind": "timm", "name": "resnet10t"}, DIGITS, steps=1, probes=()))
    home = taken_home(training, tmp_path)
    assert "import timm" in (home / "load.py").read_text()
    rows = training.batches.batch(1)[0][:2]
    (tmp_path / "rows.json").write_text(json.dumps(rows.tolist()))
    assert len(json.loads(run_without_saddle(home, tmp_path / "rows.json"))) == 2


def test_an_option_that_is_not_known_is_answered_with_how_it_is_used(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = taken_home(trained(experiment()), tmp_path)
    monkeypatch.setattr("sys.argv", ["load.py", "--help"])
    with pytest.raises(SystemExit, match=r"rows\.json"):
        exec((home / "load.py").read_text(), {"__name__": "__main__", "__file__": str(home / "load.py")})


def run_without_saddle(home: Path, *arguments: object) -> str:
    """What load.py prints in a process of its own."""
    lines = ["import runpy, sys", "sys.modules['service'] = sys.modules['worker'] = None  # not to be imported"]
    lines += [f"sys.argv = {[str(home / 'load.py'), *map(str, arguments)]}"]
    code = "\n".join([*lines, "runpy.run_path(sys.argv[0], None, '__main__')"])
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("tokens", [None, {"kind": "bpe", "vocabulary": 280}], ids=["characters", "byte pairs"])
def test_a_language_model_at_home_reads_and_writes_texts(
    tokens: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DatasetFolders(tmp_path / "datasets")
    fields = {"kind": "text", "context": 8} | ({"tokens": tokens} if tokens else {})
    dataset = store_text(files, "the cat sat on the mat, and the rat sat on the cat. " * 40, fields)
    training = prepare(language_spec(dataset, steps=30, probes=()), 0, CPU, files)
    list(train(training))
    assert training.codec is not None
    text, prompts = "the cat sat on a mat", ["the c", "on the mat"[: 8 if tokens is None else 10]]
    expected, answers = training.codec.encode(text), predict_rows(training, training.fitted, prompts)
    context = training.codec.encode("the ")
    for _ in range(20):
        context.append(int(outputs(training, torch.tensor([context[-8:]]))[0, -1].argmax()))
    written = training.codec.decode(context)
    home = taken_home(training, tmp_path)
    assert (home / "tokenizer.json").exists() == (tokens is not None)
    if tokens:
        assert run_without_saddle(home, "--text", "the ").startswith("the ")
        assert "text" in answers[0]["next"][0]
    found = run_at_home(home, monkeypatch)
    assert (found["encode"](text), found["decode"](expected)) == (expected, text)
    assert found["predict"](prompts) == answers
    assert "the " + found["generate"]("the ", 20, temperature=0) == written
    drawn = [found["generate"]("the ", 20, top_k=5, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(found["generate"](found["encode"]("the "), 20)) == 20
    if tokens is None:
        with pytest.raises(ValueError, match="no 'X'"):
            found["encode"]("X")
    with pytest.raises(ValueError, match="the prompt is empty"):
        found["generate"]("")
    with pytest.raises(ValueError, match="row 0 is empty"):
        found["predict"]([""])


def test_two_definitions_of_one_name_are_refused() -> None:
    one, other = ("worker.trainer.models.resnet", "Block"), ("worker.trainer.models.transformer", "Block")
    with pytest.raises(ValueError, match="Block is of"):
        bundle(one, other)


def test_a_model_of_images_at_home_takes_image_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of other sizes than the training's are decoded, resized and scaled as it did; so are values as they are."""
    files = DatasetFolders(tmp_path / "datasets")
    content = class_files(6)
    dataset = uploaded(files, archive(tmp_path / "pets.zip", content))
    training = prepare(Experiment.model_validate({"dataset": dataset, **REST}), 0, CPU, files)
    list(train(training))
    x, _ = load(dataset, files)
    paths = [tmp_path / name.replace("/", "-") for name in content]
    for path, each in zip(paths, content.values(), strict=True):
        path.write_bytes(each)
    expected = predict_rows(training, training.fitted, x.tolist())
    home = taken_home(training, tmp_path)
    assert json.loads(run_without_saddle(home, "--images", *paths)) == expected
    defined = run_at_home(home, monkeypatch)
    assert defined["predict"]([str(paths[0]), x[1].tolist()]) == expected[:2]
    paths[0].write_bytes(b"no image")
    with pytest.raises(ValueError, match=f"{paths[0].name} is no image in one of the formats"):
        defined["predict"]([str(paths[0])])
    with pytest.raises(ValueError, match=r"each row must be numbers of the shape \[3"):
        defined["predict"]([[1, 2]])
