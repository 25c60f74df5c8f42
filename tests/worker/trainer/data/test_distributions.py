"""Targets that are distributions: uploaded or smoothed, under kl_div and cross_entropy, equal to torch's."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F

from service.errors import RunFailure
from service.ingest import inspect_file
from service.ingest.upload_files import IncomingUpload
from service.spec.checks.experiment import find_problems
from service.spec.datasets.uploaded import Upload
from service.spec.losses import Loss
from service.storage.uploads import FolderUploads
from worker.trainer.build import build
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import load
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")
NAMES = ("cat", "dog", "owl")


def shares(rows: int = 60, power: float = 1.0) -> tuple[Any, Any]:
    """x (N, 2) and distributions over three classes; one of them is certain."""
    draw = np.random.RandomState(0)
    x = draw.standard_normal((rows, 2)).astype(np.float32)
    q = draw.dirichlet((1.0, 2.0, 3.0), rows).astype(np.float32)
    q[0] = (0, 1, 0)
    return x, q


def as_csv(x: Any, y: Any) -> bytes:
    head = ",".join(["u", "v", *NAMES])
    rows = [",".join(repr(float(cell)) for cell in (*a, *b)) for a, b in zip(x, y, strict=True)]
    return "\n".join([head, *rows]).encode()


def as_npz(x: Any, y: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, x=x, q=y)
    return sink.getvalue()


def kept(folder: Path, content: bytes, **fields: Any) -> tuple[Any, list[Any]]:
    """As the API stores and resolves it."""
    incoming = IncomingUpload(folder)
    incoming.write(content)
    incoming.close()
    report = inspect_file(incoming.path)
    incoming.keep(FolderUploads(folder))
    made = Upload.model_validate({"kind": "upload", "upload": "dat_" + "0" * 26, "task": "distribution"} | fields)
    resolved, problems = made.resolve(report, incoming.sha256)
    return made.model_copy(update={"resolved": resolved}), problems


@pytest.mark.parametrize(("write", "predict"), [(as_csv, NAMES), (as_npz, "q")])
def test_several_columns_or_one_array_are_a_distribution(write: Any, predict: Any, tmp_path: Path) -> None:
    x, q = shares()
    dataset, problems = kept(tmp_path, write(x, q), predict=predict)
    assert problems == []
    assert (dataset.facts.task, dataset.facts.classes, dataset.strata) == ("distribution", 3, 0)
    assert dataset.resolved.classes == (NAMES if predict == NAMES else ("0", "1", "2"))
    found = load(dataset, DatasetFolders(tmp_path))
    assert (found[0] == x).all()
    assert (found[1] == q).all()


def test_rows_that_are_no_distribution_are_refused_by_their_sum(tmp_path: Path) -> None:
    x, q = shares()
    q[7] = (0.5, 0.5, 0.25)
    dataset, _ = kept(tmp_path, as_csv(x, q), predict=NAMES)
    with pytest.raises(RunFailure, match=r"sum to 1\.25") as caught:
        load(dataset, DatasetFolders(tmp_path))
    assert caught.value.kind == "spec_cannot_build"


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"predict": "cat"}, "/predict", "wrong_shape"),
        ({"predict": ("cat", "dog", "cat")}, "/predict/2", "repeated"),
        ({"predict": ("cat", "dgo")}, "/predict/1", "no_such_column"),
        ({"predict": ("cat", "u")}, "/predict", "out_of_range"),
        ({"predict": NAMES, "features": ("u", "owl")}, "/features/1", "contradiction"),
    ],
)
def test_what_is_no_distribution_is_refused_before_it_is_queued(
    fields: dict[str, Any], pointer: str, code: str, tmp_path: Path
) -> None:
    _, problems = kept(tmp_path, as_csv(*shares()), **fields)
    assert [(problem.pointer, problem.code) for problem in problems] == [(pointer, code)]


LOSSES: list[tuple[dict[str, Any], Any]] = [
    ({"kind": "kl_div"}, lambda z, q: F.kl_div(z.log_softmax(1), q, reduction="batchmean")),
    ({"kind": "cross_entropy"}, F.cross_entropy),
    (
        {"kind": "cross_entropy", "weight": (1.0, 2.0, 0.5), "label_smoothing": 0.1},
        lambda z, q: F.cross_entropy(z, q, weight=torch.tensor((1.0, 2.0, 0.5)), label_smoothing=0.1),
    ),
]


@pytest.mark.parametrize(("loss", "theirs"), LOSSES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_a_run_on_distributions_is_a_plain_loop_of_torch(
    loss: dict[str, Any], theirs: Any, experiment: Any, tmp_path: Path
) -> None:
    dataset, _ = kept(tmp_path, as_csv(*shares()), predict=NAMES)
    spec = experiment(dataset=dataset.model_dump(), loss=loss, model={"kind": "linear"}, batch_size="full", steps=10)
    assert find_problems(spec) == []
    training = prepare(spec, 0, CPU, DatasetFolders(tmp_path))
    torch.manual_seed(0)
    model = nn.Linear(2, 3)
    model.load_state_dict({k.split(".")[-1]: v for k, v in training.model.state_dict().items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in train(training):
        x, q = training.batches.batch(step.step)
        assert q.shape[1:] == (3,)
        optimizer.zero_grad()
        expected = theirs(model(x), q)
        expected.backward()
        optimizer.step()
        assert step.loss.item() == expected.item()
    assert training.validation is not None
    measured = training.validation.measure(training.model, training.criterion)
    x, q = training.validation.x[:], training.validation.y[:]
    assert float(measured["val/loss"]) == pytest.approx(theirs(model(x), q).item(), rel=1e-6)
    assert float(measured["val/accuracy"]) == pytest.approx(float((model(x).argmax(1) == q.argmax(1)).float().mean()))


def test_logarithms_are_for_kl_div_with_log_target_alone(experiment: Any, tmp_path: Path) -> None:
    x, q = shares()
    q = np.maximum(q, 1e-6)
    q /= q.sum(axis=1, keepdims=True)
    logarithms, _ = kept(tmp_path, as_csv(x, np.log(q)), predict=NAMES)
    plain, _ = kept(tmp_path, as_csv(x, q), predict=NAMES)

    def losses(dataset: Any, **loss: Any) -> list[float]:
        spec = experiment(dataset=dataset.model_dump(), loss=loss, steps=5)
        return [step.loss.item() for step in train(prepare(spec, 0, CPU, DatasetFolders(tmp_path)))]

    ours = losses(logarithms, kind="kl_div", log_target=True)
    assert ours == pytest.approx(losses(plain, kind="kl_div"), rel=1e-4)
    for dataset, loss in ((logarithms, {"kind": "cross_entropy"}), (plain, {"kind": "kl_div", "log_target": True})):
        with pytest.raises(RunFailure, match="log_target") as caught:
            losses(dataset, **loss)
        assert caught.value.kind == "spec_cannot_build"


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_classes_are_torchs_label_smoothing_less_the_entropy(smoothing: float) -> None:
    torch.manual_seed(0)
    z, y = torch.randn(20, 3, requires_grad=True), torch.randint(0, 3, (20,))
    made = build(TypeAdapter(Loss).validate_python({"kind": "kl_div", "smoothing": smoothing}))
    q = torch.tensor([1 - smoothing + smoothing / 3, smoothing / 3, smoothing / 3])
    entropy = -torch.special.xlogy(q, q).sum()
    expected = F.cross_entropy(z, y, label_smoothing=smoothing)
    assert made(z, y).item() == pytest.approx((expected - entropy).item(), abs=1e-6)
    gradients = [torch.autograd.grad(loss, z)[0] for loss in (made(z, y), expected)]
    assert torch.allclose(*gradients, atol=1e-7)
    assert torch.allclose(made(z.log_softmax(1), y), made(z, y))  # a model may end in LogSoftmax


def test_one_hot_targets_are_classes_to_the_last_digits() -> None:
    torch.manual_seed(0)
    z, y = torch.randn(20, 3, dtype=torch.float64), torch.randint(0, 3, (20,))
    made = build(TypeAdapter(Loss).validate_python({"kind": "cross_entropy"}))
    assert made(z, F.one_hot(y, 3).double()).item() == pytest.approx(made(z, y).item(), rel=1e-12)
