"""Separate files for the parts, over HTTP: counted, checked against the training file, listed, kept while used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.db.access.projects import new_key
from service.db.session import transaction
from service.errors import RunFailure
from service.settings import Settings
from service.spec.datasets.upload_references import hashes_of
from service.spec.experiment import Experiment
from tests.ingest.images.image_files import archive, class_files

FOREVER = {"forever": True}
SPEC: dict[str, Any] = {
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 5,
}
PARTS = ("train", "validation", "test")
PREPARED = [{"kind": "impute", "indicator": True}, {"kind": "impute", "strategy": "most_frequent"}, {"kind": "one_hot"}]
Send = Callable[..., str]


def table(seed: int, rows: int, cities: str = "abc") -> pd.DataFrame:
    draw = np.random.RandomState(seed)
    made = pd.DataFrame(
        {
            "age": draw.randint(18, 80, rows).astype(float),
            "income": np.exp(draw.standard_normal(rows)),
            "city": draw.choice([*cities], rows),
            "kind": ["yes", "no"] * (rows // 2),
        }
    )
    made.loc[draw.random(rows) < 0.1, ["age", "city"]] = np.nan
    return made


TABLES = {"train": table(0, 60), "validation": table(1, 20, "abd"), "test": table(2, 10)}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path / "data", reap_s=0.1, broker_url=None)


@pytest.fixture
def send(client: TestClient, tmp_path: Path) -> Send:
    """Upload a table and return its id."""

    def sent(rows: pd.DataFrame, kind: str = "csv", headers: Any = None) -> str:
        path = tmp_path / f"table.{kind}"
        if kind == "parquet":
            rows.to_parquet(path, index=False)
        elif kind == "jsonl":
            rows.to_json(path, orient="records", lines=True)
        else:
            rows.to_csv(path, index=False)
        answer = client.post(f"/v1/datasets?name={path.name}", content=path.read_bytes(), headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    return sent


def dataset(uploads: list[str], **fields: Any) -> dict[str, Any]:
    split = {"kind": "files", **dict(zip(PARTS[1:], uploads[1:], strict=False))}
    return {
        "kind": "upload",
        "upload": uploads[0],
        "split": split,
        "predict": "kind",
        "task": "classification",
    } | fields


def post(client: TestClient, document: dict[str, Any], query: str = "") -> Any:
    return client.post(f"/v1/experiments{query}", json=SPEC | {"dataset": document})


def splits_of(document: dict[str, Any], settings: Settings) -> Any:
    from worker.trainer.data.dataset_folders import DatasetFolders
    from worker.trainer.data.split import split_dataset

    spec = Experiment.model_validate_json(json.dumps(document))
    return split_dataset(spec.dataset, DatasetFolders(settings.dataset_dir))


@pytest.mark.parametrize(
    ("kinds", "fields"),
    [
        (("csv", "csv", "csv"), {"prepare": PREPARED}),
        (("parquet", "csv", "jsonl"), {"missing": "drop", "features": ["income", "age"]}),
    ],
)
def test_three_files_are_split_as_one_table_with_a_column_of_parts(
    kinds: tuple[str, ...], fields: Any, client: TestClient, send: Send, settings: Settings
) -> None:
    joined = pd.concat([rows.assign(part=name) for name, rows in TABLES.items()])
    one = {"upload": send(joined), "split": {"kind": "column", "column": "part"}}
    shuffled = {name: rows[[*rows.columns[::-1]]] for name, rows in TABLES.items()} | {"train": TABLES["train"]}
    uploads = [send(rows, kind) for rows, kind in zip(shuffled.values(), kinds, strict=True)]
    documents = []
    for wanted in (dataset(uploads) | one | fields, dataset(uploads) | fields):
        answer = post(client, wanted)
        assert answer.status_code == 201, answer.text
        documents.append(answer.json())
    expected, found = (splits_of(each["spec"], settings) for each in documents)
    for name in PARTS:
        for array in ("x", "y"):
            assert (getattr(getattr(found, name), array) == getattr(getattr(expected, name), array)).all(), name
    if "prepare" in fields:
        assert found.preparation.as_json() == expected.preparation.as_json()
    resolved = documents[1]["spec"]["dataset"]["resolved"]
    complete = [len(rows.dropna(subset=["age"])) if "missing" in fields else len(rows) for rows in TABLES.values()]
    assert (resolved["rows"], resolved["validation"], resolved["test"]) == (sum(complete), *complete[1:])
    assert [each["rows"] for each in resolved["files"]] == complete[1:]
    run = documents[1]["runs"][0]["id"]
    listed = client.get(f"/v1/runs/{run}/split").json()
    assert listed["files"] == dict(zip(PARTS, uploads, strict=True))
    for name, rows in TABLES.items():
        kept = rows["age"].notna() if "missing" in fields else np.ones(len(rows), bool)
        assert listed[name] == np.flatnonzero(kept).tolist()
    assert found.validation.numbers.tolist() == list(range(complete[1]))


def test_a_spec_on_three_files_is_posted_again_forked_and_refused_by_a_worker_with_other_contents(
    client: TestClient, send: Send, settings: Settings
) -> None:
    uploads = [send(rows.dropna()) for rows in TABLES.values()]
    posted = post(client, dataset(uploads, features=["age", "income"])).json()
    resolved = posted["spec"]["dataset"]["resolved"]
    counts = [len(rows.dropna()) for rows in TABLES.values()]
    assert (resolved["rows"], resolved["validation"], resolved["test"]) == (sum(counts), *counts[1:])
    assert client.post("/v1/experiments", json=posted["spec"]).json()["hash"] == posted["hash"]
    fork = f"/v1/runs/{posted['runs'][0]['id']}/forks?dry_run=true"
    assert client.post(fork, json={"step": 0, "changes": {"steps": 9}}).status_code == 200
    fewer = [uploads[0], send(TABLES["validation"].dropna().iloc[:8]), uploads[2]]
    other = post(client, dataset(fewer, features=["age", "income"])).json()
    assert other["hash"] != posted["hash"]
    hashes = [resolved["sha256"], *(each["sha256"] for each in resolved["files"])]
    assert hashes_of(posted["spec"]) == hashes
    content = settings.dataset_dir / hashes[1] / "content"
    content.write_bytes(content.read_bytes().replace(b"yes", b"no"))
    with pytest.raises(RunFailure) as changed:
        splits_of(posted["spec"], settings)
    assert changed.value.kind == "dataset_changed"
    resolved["files"][0]["sha256"] = "0" * 64
    assert client.post("/v1/experiments", json=posted["spec"]).json()["errors"][0]["pointer"] == "/dataset/resolved"


def test_training_rows_are_drawn_by_weights_that_only_the_training_file_has(
    client: TestClient, send: Send, settings: Settings
) -> None:
    from worker.trainer.data.dataset_folders import DatasetFolders
    from worker.trainer.data.row_shares import draw_shares
    from worker.trainer.data.split import split_dataset

    weights = np.arange(60) % 7
    uploads = [send(TABLES["train"].assign(weight=weights)), *(send(TABLES[name]) for name in PARTS[1:])]
    wanted = dataset(uploads, features=["age", "income"], missing="drop", weights="weight")
    answer = client.post("/v1/experiments", json=SPEC | {"dataset": wanted, "sampler": {"kind": "weighted"}})
    assert answer.status_code == 201, answer.text
    spec, files = (
        Experiment.model_validate_json(json.dumps(answer.json()["spec"])),
        DatasetFolders(settings.dataset_dir),
    )
    shares = draw_shares(spec, split_dataset(spec.dataset, files).train, files)
    assert shares is not None
    assert (shares.numpy() == weights[TABLES["train"]["age"].notna()] / 6).all()


def test_what_contradicts_files_of_their_own_is_refused(
    client: TestClient, send: Send, stranger: dict[str, str]
) -> None:
    uploads = [send(rows.dropna()) for rows in TABLES.values()]
    base = {"features": ["age", "income"]}

    def errors(ids: list[str], **fields: Any) -> list[tuple[str, str]]:
        answer = post(client, dataset(ids, **base | fields), "?dry_run=true")
        assert answer.status_code == 422, answer.text
        return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]

    shares = errors(uploads, validation=0.2, test=0.1, split_seed=3)
    assert shares == [(f"/dataset/{name}", "contradiction") for name in ("validation", "test", "split_seed")]
    assert errors(uploads, folds=3) == [("/dataset/folds", "contradiction")]
    assert errors([uploads[0], uploads[0]]) == [("/dataset/split/validation", "repeated")]
    text = client.post("/v1/datasets?name=a.txt", content=b"a text " * 40).json()["id"]
    assert errors([uploads[0], text]) == [("/dataset/split/validation", "wrong_format")]
    theirs = send(TABLES["test"].dropna(), headers=stranger)
    assert errors([uploads[0], uploads[1], theirs]) == [("/dataset/split/test", "not_found")]
    empty = send(TABLES["test"].assign(age=np.nan))
    assert errors([uploads[0], empty], missing="drop") == [("/dataset/split/validation", "too_small")]


def test_a_file_is_kept_while_an_experiment_validates_on_it_and_moves_along(
    client: TestClient, send: Send, engine: Engine
) -> None:
    uploads = [send(rows.dropna()) for rows in TABLES.values()]
    document = dataset(uploads, features=["age", "income"])
    posted = post(client, document).json()["id"]
    for each in uploads:
        for params in ({}, FOREVER):
            refused = client.delete(f"/v1/datasets/{each}", params=params)
            assert (refused.status_code, posted in refused.json()["detail"]) == (409, True)
    client.post(f"/v1/experiments/{posted}/cancel")
    with transaction(engine) as connection:
        there = {"Authorization": f"Bearer {new_key(connection, 'other', 'ada')}"}
    moved = client.post(f"/v1/experiments/{posted}/move", json={"project": "other"})
    assert moved.status_code == 202, moved.text
    assert client.post("/v1/experiments", json=SPEC | {"dataset": document}, headers=there).status_code == 201
    assert client.delete(f"/v1/datasets/{uploads[1]}").status_code == 409


def test_images_have_files_of_their_own_for_the_parts(client: TestClient, tmp_path: Path) -> None:
    def sent(name: str, files: dict[str, bytes]) -> str:
        content = archive(tmp_path / name, files).read_bytes()
        return str(client.post(f"/v1/datasets?name={name}", content=content).json()["id"])

    every = class_files(14)
    train, validation, test = (
        sent(f"{part}.zip", {name: each for name, each in every.items() if name[-6:-4] in rows})
        for part, rows in (("a", "00 01 02 03 04 05 06 07"), ("b", "08 09 10"), ("c", "11 12"))
    )
    dataset = {"kind": "images", "upload": train, "size": 8}
    files = {"kind": "files", "validation": validation, "test": test}
    made = client.post("/v1/experiments", json=SPEC | {"dataset": dataset | {"split": files}}).json()
    resolved = made["spec"]["dataset"]["resolved"]
    assert (resolved["rows"], resolved["validation"], resolved["test"]) == (26, 6, 4)
    assert [each["rows"] for each in resolved["files"]] == [6, 4]
    listed = client.get(f"/v1/runs/{made['runs'][0]['id']}/split").json()
    assert [len(listed[part]) for part in PARTS] == [16, 6, 4]
    assert listed["files"] == {"train": train, "validation": validation, "test": test}
    assert client.delete(f"/v1/datasets/{test}", params=FOREVER).status_code == 409

    own_parts = sent("d.zip", class_files(4, ("train/", "val/")))
    stranger = sent("e.zip", {name.replace("dog", "fox"): each for name, each in every.items()})
    for wrong, pointer, code in (
        ({"split": files | {"validation": own_parts}}, "/dataset/split/validation", "contradiction"),
        ({"split": files | {"test": stranger}}, "/dataset/split/test", "unknown_class"),
        ({"split": files | {"validation": train}}, "/dataset/split/validation", "repeated"),
        ({"split": {"kind": "files", "validation": validation}, "test": 0.2}, "/dataset/test", "contradiction"),
        ({"split": files, "folds": 2}, "/dataset/folds", "contradiction"),
        ({"upload": own_parts, "split": files}, "/dataset/split", "contradiction"),
    ):
        answer = client.post("/v1/experiments", json=SPEC | {"dataset": dataset | wrong})
        assert answer.status_code == 422, wrong
        assert (pointer, code) in {(each["pointer"], each["code"]) for each in answer.json()["errors"]}, answer.text
