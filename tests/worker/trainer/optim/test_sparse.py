"""Sparse gradients in a whole run: an embedding of tokens, its optimizer, and what a position may see."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from service.ingest import inspect_file
from service.ingest.upload_files import IncomingUpload
from service.spec.checks.experiment import find_problems
from service.spec.datasets.text import Text
from service.spec.experiment import Experiment
from service.spec.training import Clip
from service.storage.uploads import FolderUploads
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")


def test_a_whole_run_with_sparse_gradients_is_a_plain_loop_of_torchs(tmp_path: Path) -> None:
    """An embedding under sparse_adam, the rest under adamw: next characters from a bag of them."""
    text = "".join(np.random.RandomState(0).choice(list("abcdef"), 600))
    dataset = stored_text(tmp_path, text)
    layers = [
        {"layer": "Embedding", "num_embeddings": 6, "embedding_dim": 4, "sparse": True},
        {"layer": "Linear", "out_features": 6},
    ]
    spec = Experiment.model_validate_json(
        json.dumps(
            {
                "dataset": dataset,
                "model": {"kind": "sequential", "layers": layers},
                "loss": {"kind": "cross_entropy"},
                "optimizer": {"kind": "adamw", "lr": 0.01},
                "groups": [{"match": {"module": "Embedding"}, "optimizer": {"kind": "sparse_adam", "lr": 0.02}}],
                "batch_size": 8,
                "steps": 20,
            }
        )
    )
    assert find_problems(spec) == []
    clipped = find_problems(spec.model_copy(update={"clip": Clip(norm=1.0)}))
    assert [problem.pointer for problem in clipped] == ["/clip"], "torch has no norm of a sparse gradient"
    training = prepare(spec, 0, CPU, DatasetFolders(tmp_path))
    table, head = nn.Embedding(6, 4, sparse=True), nn.Linear(4, 6)
    model = nn.Sequential(table, head)
    for ours, theirs in zip(training.model.parameters(), model.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    optimizers = [torch.optim.AdamW(head.parameters(), lr=0.01, fused=True)]
    optimizers.append(torch.optim.SparseAdam(table.parameters(), lr=0.02))  # type: ignore[arg-type]
    for step in train(training):
        x, y = training.batches.batch(step.step)
        for each in optimizers:
            each.zero_grad()
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        loss.backward()
        assert table.weight.grad is not None
        assert table.weight.grad.is_sparse
        for each in optimizers:
            each.step()
        assert step.loss.item() == loss.item()
    for ours, theirs in zip(training.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def stored_text(folder: Path, text: str) -> dict[str, Any]:
    """As the API stores and resolves it."""
    incoming = IncomingUpload(folder)
    incoming.write(text.encode())
    incoming.close()
    report = inspect_file(incoming.path, "text")
    incoming.keep(FolderUploads(folder))
    made = Text(kind="text", upload="dat_" + "0" * 26, context=8)
    resolved, problems = made.resolve(report, incoming.sha256)
    assert problems == []
    found: dict[str, Any] = made.model_copy(update={"resolved": resolved}).model_dump(mode="json")
    return found


@pytest.mark.parametrize("kind", ["adamw", "muon", "rmsprop"])
def test_an_optimizer_that_takes_no_sparse_gradient_is_refused(kind: str, tmp_path: Path) -> None:
    dataset = stored_text(tmp_path, "abcdef" * 100)
    layers = [
        {"layer": "Embedding", "num_embeddings": 6, "embedding_dim": 4, "sparse": True},
        {"layer": "Linear", "out_features": 6, "bias": False},
    ]
    document = {
        "dataset": dataset,
        "model": {"kind": "sequential", "layers": layers},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": kind},
        "steps": 5,
    }
    found = find_problems(Experiment.model_validate_json(json.dumps(document)))
    assert found
    assert "sparse" in found[0].detail


def test_a_layer_that_mixes_positions_predicts_no_language(tmp_path: Path) -> None:
    layers = [
        {"layer": "Embedding", "num_embeddings": 6, "embedding_dim": 4},
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 6},
    ]
    document = {
        "dataset": stored_text(tmp_path, "abcdef" * 100),
        "model": {"kind": "sequential", "layers": layers},
        "loss": {"kind": "cross_entropy"},
        "optimizer": {"kind": "sgd"},
        "steps": 5,
    }
    (problem,) = find_problems(Experiment.model_validate_json(json.dumps(document)))
    assert (problem.pointer, problem.code) == ("/model/layers/1", "contradiction")
