"""A model that was stored predicts to the last bit as the training does, and reads no data for it."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from service.errors import RunFailure
from service.spec.experiment import Experiment
from tests.harness.texts import language_spec, store_text, store_tokenizer
from tests.harness.tokenizers import byte_level
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.stored_model import StoredModel
from worker.trainer.data.dataset_folders import NO_FOLDERS, DatasetFolders
from worker.trainer.loop import Training, prepare, train
from worker.trainer.predict.job import predict_rows

CPU = torch.device("cpu")
POEM = "the cat sat on the mat, and the rat sat on the cat.\n" * 60
IRIS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.2, 4.0, 1.0]]


def saved(training: Training, folder: Path) -> checkpoint.Saved:
    list(islice(train(training), 7))
    return checkpoint.save(folder, training, {"environment": {}} | training.fitted)


def check(spec: Experiment, rows: list[Any], folder: Path, files: DatasetFolders = NO_FOLDERS) -> StoredModel:
    """Predict with both; the stored model is given no folder of data."""
    training = prepare(spec, 3, CPU, files)
    kept = saved(training, folder)
    expected = predict_rows(training, training.fitted, rows)
    stored = StoredModel(spec, 3, CPU)
    assert predict_rows(stored, stored.load(kept.folder, kept.sha256), rows) == expected
    assert stored.step == training.step == 7
    return stored


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"kind": "mlp", "hidden": (8,), "norm": "batch"}},
        {"optimizer": {"kind": "schedule_free_adamw", "lr": 0.1}},
        {"precision": "fp64"},
        {"dataset": {"kind": "iris", "prepare": ({"kind": "power"},)}},
        {"average": {"kind": "ema"}},
    ],
)
def test_classes(changes: dict[str, Any], experiment: Any, tmp_path: Path) -> None:
    spec = experiment(**{"dataset": {"kind": "iris"}, "model": {"kind": "mlp", "hidden": (8,)}, "steps": 20} | changes)
    stored = check(spec, IRIS, tmp_path)
    assert bool(stored.optimizers) == ("schedule_free" in spec.optimizer.kind)


@pytest.mark.parametrize("tokens", ["characters", "bpe", "file"])
def test_texts(tokens: str, tmp_path: Path) -> None:
    files = DatasetFolders(tmp_path / "datasets")
    path, named = store_tokenizer(files, byte_level(POEM).to_str())
    document = {"kind": "text", "context": 16, "tokens": named.model_dump() if tokens == "file" else {"kind": tokens}}
    spec = language_spec(store_text(files, POEM, document, path if tokens == "file" else None))
    check(spec, ["the cat", "and th"], tmp_path / "run", files)


def test_a_checkpoint_of_another_seed_is_refused(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(dataset={"kind": "iris"}, model={"kind": "linear"}, steps=20)
    kept = saved(prepare(spec, 3, CPU), tmp_path)
    with pytest.raises(RunFailure, match="another spec or seed"):
        StoredModel(spec, 4, CPU).load(kept.folder, kept.sha256)
    fork = StoredModel(spec, 4, CPU)
    assert fork.load(kept.folder, kept.sha256, fork=True)["step"] == fork.step == 7


def test_only_the_model_is_read(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(dataset={"kind": "iris"}, model={"kind": "linear"}, optimizer={"kind": "adam"}, steps=20)
    kept = saved(prepare(spec, 3, CPU), tmp_path)
    tensors, _ = checkpoint.read(kept.folder, kept.sha256, ("model",))
    assert {name.split("/")[0] for name in tensors} == {"model"}
