"""Learned embeddings of categories: the codes of the step `embed`, and the mlp that embeds them."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from service.ingest import inspect_file
from service.ingest.upload_files import IncomingUpload
from service.spec.checks.experiment import find_problems
from service.spec.datasets.uploaded import Upload
from service.spec.experiment import Experiment
from service.spec.layout import CodedFeature
from service.spec.memory import estimate_memory
from service.spec.model_inputs import model_inputs
from service.spec.models import Model, ModelBase
from service.spec.models.feedforward import usual_width
from service.spec.parse.defaults import fill_defaults
from service.storage.uploads import FolderUploads
from worker.trainer.build import layout_of
from worker.trainer.data.batches import epoch_order
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import split_dataset
from worker.trainer.loop import prepare, train
from worker.trainer.models.source import model_source
from worker.trainer.predict.rows import describe_outputs, model_rows

CPU = torch.device("cpu")
ROWS, BATCH, EPOCHS = 90, 16, 3
STEPS = ({"kind": "embed", "min_rows": 3, "columns": ("city", "shop")},)


def frame() -> pd.DataFrame:
    """Oslo is rare, Bern is in one row only; the target is the row's number."""
    draw = np.random.RandomState(0)
    cities = draw.choice(["Rome", "Paris", "Nice"], ROWS)
    cities[[5, 6]], cities[80] = "Oslo", "Bern"
    return pd.DataFrame(
        {
            "age": draw.standard_normal(ROWS) * 9 + 40,
            "city": cities,
            "size": draw.standard_normal(ROWS),
            "shop": draw.randint(3, 7, ROWS),
            "y": np.arange(ROWS) * 1.0,
        }
    )


@pytest.fixture
def data(tmp_path: Path) -> tuple[Upload, DatasetFolders]:
    incoming = IncomingUpload(tmp_path)
    incoming.write(frame().to_csv(index=False).encode())
    incoming.close()
    report = inspect_file(incoming.path)
    incoming.keep(FolderUploads(tmp_path))
    document = {"upload": "dat_" + "0" * 26, "predict": "y", "task": "regression", "target_scaling": "none"}
    made = Upload.model_validate(document | {"prepare": STEPS})
    resolved, problems = made.resolve(report, incoming.sha256)
    assert problems == []
    return made.model_copy(update={"resolved": resolved}), DatasetFolders(tmp_path)


def spec(dataset: Upload, **more: Any) -> Experiment:
    document = {
        "dataset": dataset.model_dump(),
        "model": {"kind": "mlp", "hidden": (8,)},
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 1e-5},
        "batch_size": BATCH,
        "epochs": EPOCHS,
    }
    return fill_defaults(Experiment.model_validate(document | more))[0]


def test_codes_are_of_the_training_part_and_stay_as_they_are(data: Any) -> None:
    dataset, files = data
    assert [tuple(each) for each in dataset.facts.coded] == [(1, 6, "city"), (3, 5, "shop")]
    splits = split_dataset(dataset, files)
    table = frame()
    counts = table["city"].iloc[splits.train.y.astype(int)].value_counts()
    names = ["Bern", "Nice", "Oslo", "Paris", "Rome"]
    codes = {name: at if counts.get(name, 0) >= 3 else 0 for at, name in enumerate(names, 1)}
    assert codes["Bern"] == codes["Oslo"] == 0 < codes["Nice"]
    for part in ("train", "validation"):
        rows = table.iloc[getattr(splits, part).y.astype(int)]
        found = getattr(splits, part).x
        np.testing.assert_array_equal(found[:, 1], rows["city"].map(codes))
        np.testing.assert_array_equal(found[:, 3], rows["shop"] - 2)
    np.testing.assert_allclose(splits.train.x[:, [0, 2]].mean(0), 0, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_training_equals_a_plain_loop_to_the_last_bit(precision: str, data: Any) -> None:
    dataset, files = data
    made = spec(dataset, precision=precision)
    training = prepare(made, 4, CPU, files)
    city, shop, first, last = nn.Embedding(6, 4), nn.Embedding(5, 4), nn.Linear(2 + 8, 8), nn.Linear(8, 1)
    plain = nn.ModuleList([city, shop, first, last]).to(torch.get_default_dtype())
    with torch.no_grad():
        for ours, theirs in zip(plain.parameters(), training.model.parameters(), strict=True):
            ours.copy_(theirs)
    x, y = training.batches.x[:], training.batches.y[:]
    assert x.dtype == (torch.float64 if precision == "fp64" else torch.float32)
    sgd, losses = torch.optim.SGD(plain.parameters(), lr=1e-5), []
    for epoch in range(EPOCHS):
        for rows in torch.split(epoch_order(4, epoch, len(x)), BATCH):
            batch = x[rows]
            learned = city(batch[:, 1].long()), shop(batch[:, 3].long())
            hidden = torch.relu(first(torch.cat((batch[:, [0, 2]], *learned), 1)))
            loss = nn.functional.mse_loss(last(hidden), y[rows].reshape(-1, 1))
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            losses.append(loss.item())
    assert [float(step.loss) for step in train(training)] == losses
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), training.model.parameters(), strict=True))


def test_the_mlp_gets_its_embeddings_from_the_dataset(data: Any) -> None:
    dataset, files = data
    made = spec(dataset)
    assert find_problems(made) == []
    assert made.model.model_dump()["embeddings"] == (
        {"position": 1, "codes": 6, "width": 4},
        {"position": 3, "codes": 5, "width": 4},
    )
    assert [usual_width(codes) for codes in (2, 10, 100, 1001)] == [2, 6, 21, 50]
    training = prepare(made, 0, CPU, files)
    assert layout_of(training.model) == made.layout
    assert made.parameters == 6 * 4 + 5 * 4 + (2 + 8) * 8 + 8 + 8 + 1
    estimate = estimate_memory(made)
    assert estimate is not None
    assert estimate.weights == 4 * made.parameters
    again = Experiment.model_validate_json(json.dumps(made.model_dump(mode="json")))
    assert fill_defaults(again) == (made, [])


@pytest.mark.parametrize(
    ("embeddings", "expected"),
    [
        ((), "/model/embeddings"),
        (({"position": 1, "codes": 6, "width": 2},), "/model/embeddings"),
        (({"position": 0, "codes": 6, "width": 2},), "/model/embeddings/0/position"),
        (({"position": 1, "codes": 9, "width": 2},), "/model/embeddings/0/codes"),
        (2 * ({"position": 1, "codes": 6, "width": 2},), "/model/embeddings/1/position"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(embeddings: Any, expected: str, data: Any) -> None:
    model = {"kind": "mlp", "hidden": (8,), "embeddings": embeddings}
    assert expected in [problem.pointer for problem in find_problems(spec(data[0], model=model))]


@pytest.mark.parametrize("member", get_args(get_args(Model)[0]), ids=lambda member: member.__name__)
def test_every_other_model_refuses_codes(member: type[ModelBase]) -> None:
    found = [*member.model_construct().code_problems((CodedFeature(1, 6, "city"),))]
    assert [problem.pointer for problem in found] == (
        ["/embeddings"] if member.model_fields["kind"].default == "mlp" else ["/kind"]
    )
    assert [*member.model_construct().code_problems(())] == []


def test_widths_of_embeddings_are_part_of_the_hash(data: Any) -> None:
    dataset = data[0]
    wider = spec(
        dataset,
        model={
            "kind": "mlp",
            "hidden": (8,),
            "embeddings": tuple(
                {"position": position, "codes": codes, "width": 7} for position, codes, _ in dataset.facts.coded
            ),
        },
    )
    assert find_problems(wider) == []
    assert wider.hash != spec(dataset).hash


def test_a_model_taken_home_embeds_the_categories_of_its_rows(data: Any) -> None:
    dataset, files = data
    made = spec(dataset)
    training = prepare(made, 0, CPU, files)
    for _ in train(training):
        pass
    inputs = json.loads(json.dumps(model_inputs(made, training.fitted)))
    source = model_source(made)
    assert source is not None
    scope: dict[str, Any] = {}
    exec(source["text"], scope)
    model = scope[source["call"]](
        tuple(inputs["shape"]), inputs["outputs"], **json.loads(json.dumps(source["arguments"]))
    )
    model.load_state_dict(training.model.state_dict())
    validation = split_dataset(dataset, files).validation
    rows = json.loads(frame().iloc[validation.y.astype(int)].drop(columns="y").to_json(orient="records"))
    expected = training.model(torch.from_numpy(validation.x)).detach()
    found = scope["describe_outputs"](model(scope["model_rows"](rows, inputs)), inputs)
    np.testing.assert_allclose([each["value"] for each in found], expected[:, 0], rtol=1e-5)
    unseen = model_rows([rows[0] | {"city": "Turin"}, rows[0] | {"city": "Bern"}], inputs)
    assert unseen[:, 1].tolist() == [0, 0]
    assert describe_outputs(training.model(unseen), inputs)[0] == describe_outputs(training.model(unseen), inputs)[1]
