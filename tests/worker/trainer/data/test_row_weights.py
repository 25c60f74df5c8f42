"""Rows drawn in proportion to a column of weights: how often, which rows, and the same again after a resume."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare

from service.errors import Invalid
from service.ingest import inspect_file, without_incomplete_rows
from service.ingest.splits.row_weights import check_weights
from service.ingest.upload_files import IncomingUpload
from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.storage.uploads import FolderUploads
from worker.trainer.data.batches import Batches
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.row_shares import weighted_shares
from worker.trainer.data.split import split_dataset
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")
ROWS = 60
SAMPLER = {"kind": "weighted"}


def frame() -> pd.DataFrame:
    """Weights 0, 1, 2, 3 in turn; the target is the row's number."""
    return pd.DataFrame({"x": np.arange(ROWS) / ROWS, "w": np.arange(ROWS) % 4 * 1.0, "y": np.arange(ROWS) * 1.0})


def stored(folder: Path, table: pd.DataFrame, **fields: Any) -> tuple[Upload, DatasetFolders]:
    """Store a table as the API does, and resolve a dataset on it as the server does."""
    incoming = IncomingUpload(folder)
    incoming.write(table.to_csv(index=False).encode())
    incoming.close()
    report = inspect_file(incoming.path)
    incoming.keep(FolderUploads(folder))
    basis = {"kind": "upload", "upload": "dat_" + "0" * 26, "predict": "y", "task": "regression", "weights": "w"}
    made = Upload.model_validate(basis | {"target_scaling": "none"} | fields)
    (complete,) = without_incomplete_rows([folder / incoming.sha256 / "content"], [report], made)
    resolved, problems = made.resolve(complete, incoming.sha256)
    if resolved is None:
        raise Invalid.of(problems)
    resolved = resolved.model_copy(update={"dropped": report.rows - complete.rows})
    return made.model_copy(update={"resolved": resolved}), DatasetFolders(folder)


def spec(dataset: Any, **more: Any) -> Experiment:
    document = {
        "dataset": dataset,
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 0.0001},
        "batch_size": 16,
        "epochs": 4,
        "sampler": SAMPLER,
    }
    return Experiment.model_validate(document | more)


def test_rows_are_drawn_as_often_as_their_weights_say(tmp_path: Path) -> None:
    """A gap drops row 5, so that the weights must be those of the rows left, in the order of the training part."""
    table = frame()
    table.loc[5, "x"] = np.nan
    dataset, files = stored(tmp_path, table, missing="drop", scaling="none")
    assert dataset.facts.shape == (1,)
    part = split_dataset(dataset, files).train
    shares = weighted_shares(dataset, part, files)
    batches = Batches(torch.from_numpy(part.x), torch.from_numpy(part.y), 16, seed=5, shares=shares)
    drawn = torch.cat([batches.batch(step)[1] for step in range(1, 3 * 2000 + 1)]).numpy()
    counts = np.bincount(drawn.astype(int), minlength=ROWS)
    weights = np.where(np.isin(np.arange(ROWS), part.y), table["w"], 0)
    assert not counts[weights == 0].any()
    expected = weights / weights.sum() * len(drawn)
    assert chisquare(counts[weights > 0], expected[weights > 0]).pvalue > 0.01
    assert chisquare(counts[weights > 0]).pvalue < 1e-9  # a uniform draw is told apart


def test_a_run_that_resumes_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    dataset, files = stored(tmp_path, frame())
    sampled = spec(dataset)
    assert [*find_problems(sampled), *find_warnings(sampled)] == []
    whole = [float(step.loss) for step in train(prepare(sampled, 0, CPU, files))]
    first, second = prepare(sampled, 0, CPU, files), prepare(sampled, 0, CPU, files)
    started = [float(step.loss) for step in islice(train(first), 5)]
    second.load(first.state())
    assert started + [float(step.loss) for step in train(second)] == whole
    plain = spec(dataset, sampler=None)
    assert [float(step.loss) for step in train(prepare(plain, 0, CPU, files))] != whole
    assert [(problem.pointer, problem.code) for problem in find_warnings(plain)] == [("/dataset/weights", "ignored")]


@pytest.mark.parametrize(
    ("cells", "fields", "said"),
    [
        ({3: -1.0, 7: -0.5}, {}, "2 rows (first: 4, 8)"),
        ({10: np.inf}, {}, "1 row (first: 11)"),
        ({}, {"folds": 2, "split": {"kind": "group", "column": "g"}}, "fold 0 (first: 1, 3, 5, 7, 9)"),
        (dict.fromkeys(range(ROWS), 0.0), {}, "all 48 rows of the training part (first: 1, 2, 4, 6, 7)"),
    ],
)
def test_weights_that_cannot_draw_are_refused_with_their_rows(
    cells: Any, fields: Any, said: str, tmp_path: Path
) -> None:
    table = frame().assign(g=np.arange(ROWS) % 2)
    if fields:
        table["w"] = table["g"] * 1.0  # 0 in the rows of group 0, on which a run of fold 0 trains
    for row, value in cells.items():
        table.loc[row, "w"] = value
    dataset, files = stored(tmp_path, table, **fields)
    assert files.folder is not None
    with pytest.raises(Invalid) as refused:
        check_weights(files.folder / dataset.found.sha256 / "content", dataset.model_dump(mode="json"))
    (problem,) = refused.value.problems
    assert problem.pointer == "/dataset/weights"
    assert said in problem.detail


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"weights": "v"}, "no_such_column"),
        ({"weights": "y"}, "contradiction"),
        ({"features": ("x", "w")}, "contradiction"),
        ({"weights": "blank"}, "missing_values"),
        ({"weights": "word"}, "not_a_number"),
    ],
)
def test_a_column_that_is_none_of_weights_is_refused(fields: Any, code: str, tmp_path: Path) -> None:
    table = frame().assign(word="a", blank=np.where(np.arange(ROWS) == 2, np.nan, 1.0))
    with pytest.raises(Invalid) as refused:
        stored(tmp_path, table, **{"features": ("x",), **fields})
    assert [(problem.pointer, problem.code) for problem in refused.value.problems] == [("/weights", code)]


def test_only_an_upload_that_names_its_weights_is_drawn_by_them(tmp_path: Path) -> None:
    unnamed = spec(stored(tmp_path, frame(), weights=None)[0])
    assert [problem.pointer for problem in find_problems(unnamed)] == ["/dataset/weights"]
    bundled = spec({"kind": "diabetes"})
    assert [problem.pointer for problem in find_problems(bundled)] == ["/sampler"]
