"""Datasets over HTTP: uploaded, reported on, refused, and trained on by a real worker's session."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.api.app import create_app
from service.db.session import transaction
from service.errors import RunFailure
from service.settings import Settings
from service.spec.experiment import Experiment
from tests.ingest.images.image_files import archive, class_files

IMAGES = class_files(8)
CSV = ("size,weight,kind\n" + "".join(f"{i % 7},{i * 0.5},{'ab'[i % 2]}\n" for i in range(60))).encode()
SPEC: dict[str, Any] = {
    "model": {"kind": "linear"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 5,
}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path / "data", upload_bytes=100_000, reap_s=0.1)


@pytest.fixture
def client(settings: Settings, key: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def upload(client: TestClient, content: bytes = CSV, query: str = "name=table.csv") -> Any:
    return client.post(f"/v1/datasets?{query}", content=content)


def on_disk(settings: Settings) -> set[str]:
    return {str(p.relative_to(settings.dataset_dir)) for p in settings.dataset_dir.rglob("*") if p.is_file()}


def test_an_uploaded_file_is_stored_by_its_hash_and_reported_on(client: TestClient, settings: Settings) -> None:
    answer = upload(client)
    view = answer.json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/datasets/{view['id']}"
    assert view["sha256"] == hashlib.sha256(CSV).hexdigest()
    assert (view["format"], view["rows"], view["size_bytes"], view["name"]) == ("csv", 60, len(CSV), "table.csv")
    assert [column["type"] for column in view["report"]["columns"]] == ["integer", "number", "text"]
    assert view["report"]["columns"][2]["classes"] == {"a": 30, "b": 30}
    assert on_disk(settings) == {f"{view['sha256']}/content"}
    assert (settings.dataset_dir / view["sha256"] / "content").read_bytes() == CSV
    assert client.get(answer.headers["Location"]).json() == view
    (listed,) = client.get("/v1/datasets").json()["items"]
    assert listed == {name: value for name, value in view.items() if name != "report"}


def test_a_packed_file_is_stored_as_what_it_holds(client: TestClient, settings: Settings) -> None:
    packed = {"Content-Encoding": "gzip"}
    answer = client.post("/v1/datasets?name=a.csv", content=gzip.compress(CSV), headers=packed)
    assert (answer.status_code, answer.json()["sha256"]) == (201, hashlib.sha256(CSV).hexdigest())
    kept = on_disk(settings)
    bomb = gzip.compress(bytes(settings.upload_bytes * 100))
    assert len(bomb) < settings.upload_bytes
    assert client.post("/v1/datasets?name=a.csv", content=bomb, headers=packed).status_code == 413
    assert on_disk(settings) == kept


def test_the_same_content_twice_is_one_file_under_two_names(client: TestClient, settings: Settings) -> None:
    first, second = upload(client).json(), upload(client, query="name=again").json()
    assert first["id"] != second["id"]
    assert len(on_disk(settings)) == 1
    page = client.get("/v1/datasets?limit=1").json()
    assert [page["items"][0]["id"], page["next_cursor"]] == [second["id"], second["id"]]


@pytest.mark.parametrize(
    ("content", "query", "status", "code"),
    [
        (b"a,b\n1\n", "name=x", 422, "ragged_row"),
        (b"\x80\x04abc", "name=x", 422, "wrong_format"),
        (b"", "name=x", 422, "empty"),
        (CSV, "name=x&format=parquet", 422, "wrong_format"),
        (CSV, "name=x&format=excel", 422, "literal_error"),
        (CSV, "", 422, "missing"),
        (CSV, "name=%07", 422, "value_error"),
        (CSV, "name=x&path=/etc", 422, "unknown_parameter"),
    ],
)
def test_what_cannot_be_read_leaves_nothing_behind(
    content: bytes, query: str, status: int, code: str, client: TestClient, settings: Settings, engine: Engine
) -> None:
    answer = upload(client, content, query)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["code"] == code
    assert on_disk(settings) == set()
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM dataset")).scalar_one() == 0


def test_a_file_beyond_the_limit_is_refused_whatever_its_headers_say(client: TestClient, settings: Settings) -> None:
    long = b"a,b\n" + b"1,2\n" * 30_000

    def pieces() -> Iterator[bytes]:
        yield long

    assert upload(client, long).status_code == 413
    assert client.post("/v1/datasets?name=x", content=pieces()).status_code == 413
    assert on_disk(settings) == set()


def test_a_form_is_refused_with_what_to_send(client: TestClient) -> None:
    answer = client.post("/v1/datasets?name=x", files={"file": ("x.csv", CSV)})
    assert answer.status_code == 415
    assert "the file itself" in answer.json()["detail"]


def test_another_project_sees_nothing_of_it(client: TestClient, engine: Engine) -> None:
    from service.db.access.projects import new_key

    view = upload(client).json()
    with transaction(engine) as connection:
        stranger = {"Authorization": f"Bearer {new_key(connection, 'elsewhere', 'eve')}"}
    assert client.get(f"/v1/datasets/{view['id']}", headers=stranger).status_code == 404
    assert client.get("/v1/datasets", headers=stranger).json()["items"] == []
    answer = client.post("/v1/experiments", json=SPEC | {"dataset": chosen(view)}, headers=stranger)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/dataset/upload"]


def steps_trained(document: Any, folder: Path) -> int:
    """How many steps a trainer makes of the stored spec, with the uploaded rows in `folder`."""
    import torch

    from worker.trainer.data.dataset_folders import DatasetFolders
    from worker.trainer.loop import prepare, train

    spec = Experiment.model_validate_json(json.dumps(document))
    return len(list(train(prepare(spec, 0, torch.device("cpu"), DatasetFolders(folder)))))


def chosen(view: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "upload", "upload": view["id"], "predict": "kind", "task": "classification"} | more


def test_an_experiment_on_an_upload_is_resolved_and_trains(client: TestClient, settings: Settings) -> None:
    answer = client.post("/v1/experiments", json=SPEC | {"dataset": chosen(upload(client).json())})
    posted = answer.json()
    assert answer.status_code == 201, answer.text
    assert posted["spec"]["dataset"]["resolved"]["classes"] == ["a", "b"]
    assert posted["derived"]["parameters"] == 6
    again = client.post("/v1/experiments", json=posted["spec"])
    assert again.json()["hash"] == posted["hash"]
    assert steps_trained(posted["spec"], settings.dataset_dir) == 5


def test_rows_without_a_value_are_left_out_where_the_spec_says_so(client: TestClient, settings: Settings) -> None:
    view = upload(client, CSV + b"3,,a\n4,n/a,b\n").json()
    spec = SPEC | {"dataset": chosen(view, missing="drop")}
    answer = client.post("/v1/experiments", json=spec)
    posted = answer.json()
    assert answer.status_code == 201, answer.text
    found = posted["spec"]["dataset"]["resolved"]
    assert (found["rows"], found["dropped"], found["classes"]) == (60, 2, ["a", "b"])
    assert [w["code"] for w in posted["warnings"] if w["pointer"] == "/dataset/missing"] == ["rows_dropped"]
    assert client.post("/v1/experiments", json=posted["spec"]).json()["hash"] == posted["hash"]
    fork = f"/v1/runs/{posted['runs'][0]['id']}/forks?dry_run=true"
    assert client.post(fork, json={"step": 0, "changes": {"steps": 9}}).status_code == 200
    assert steps_trained(posted["spec"], settings.dataset_dir) == 5


SPLIT = (
    "size,weight,kind,part,day,shop\n"
    + "".join(
        f"{i % 7},{i * 0.5},{'ab'[i % 2]},{('train', 'val', 'test')[i % 5 % 3]},2026-01-01 00:{60 - i:02},s{i % 9}\n"
        for i in range(1, 60)
    )
).encode()


@pytest.mark.parametrize(
    ("split", "counts"),
    [
        ({"kind": "column", "column": "part"}, (23, 24, 12)),
        ({"kind": "time", "column": "day"}, (47, 12, 0)),
        ({"kind": "group", "column": "shop"}, (46, 13, 0)),
    ],
)
def test_a_table_is_split_by_a_column_and_the_worker_splits_alike(
    split: Any, counts: Any, client: TestClient, settings: Settings
) -> None:
    dataset = chosen(upload(client, SPLIT).json(), split=split, features=["size", "weight"])
    answer = client.post("/v1/experiments", json=SPEC | {"dataset": dataset})
    posted = answer.json()
    assert answer.status_code == 201, answer.text
    found = posted["spec"]["dataset"]["resolved"]["split"]
    assert (found["train"], found["validation"], found["test"]) == counts
    assert client.post("/v1/experiments", json=posted["spec"]).json()["hash"] == posted["hash"]
    assert steps_trained(posted["spec"], settings.dataset_dir) == 5
    posted["spec"]["dataset"]["resolved"]["split"]["sha256"] = "0" * 64
    assert client.post("/v1/experiments", json=posted["spec"]).json()["errors"][0]["pointer"] == "/dataset/resolved"
    with pytest.raises(RunFailure) as otherwise:
        steps_trained(posted["spec"], settings.dataset_dir)
    assert otherwise.value.kind == "dataset_changed"


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"split": {"kind": "column", "column": "shop"}}, "/dataset/split/column", "unknown_part"),
        ({"split": {"kind": "column", "column": "parts"}}, "/dataset/split/column", "no_such_column"),
        ({"split": {"kind": "column", "column": "part"}, "validation": 0.3}, "/dataset/validation", "contradiction"),
        ({"split": {"kind": "time", "column": "day"}, "split_seed": 3}, "/dataset/split_seed", "contradiction"),
        ({"split": {"kind": "time", "column": "day"}, "test": 0.001}, "/dataset/test", "split_too_small"),
        ({"split": {"kind": "group", "column": "part"}, "test": 0.4}, "/dataset/split/column", "too_few_groups"),
    ],
)
def test_a_split_that_cannot_be_is_refused_at_its_field(
    fields: Any, pointer: str, code: str, client: TestClient
) -> None:
    dataset = chosen(upload(client, SPLIT).json(), features=["size", "weight"], **fields)
    if code == "too_few_groups":
        dataset["validation"] = 0.4
    answer = client.post("/v1/experiments?dry_run=true", json=SPEC | {"dataset": dataset})
    assert answer.status_code == 422
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(pointer, code)]


def test_a_class_without_training_rows_is_warned_of_also_in_a_spec_from_before_the_warning(client: TestClient) -> None:
    rows = "".join(f"{i},{'abc'[i % 3]},{'val' if i % 3 == 2 or i < 9 else 'train'}\n" for i in range(60))
    stored = upload(client, f"x,y,part\n{rows}".encode()).json()
    split = {"kind": "column", "column": "part"}
    spec = SPEC | {"dataset": chosen(stored, features=["x"], predict="y", split=split)}
    answer = client.post("/v1/experiments?dry_run=true", json=spec)
    assert answer.status_code == 200, answer.text
    found = answer.json()["spec"]
    assert "class_untrained" in [each["code"] for each in answer.json()["warnings"]]
    assert found["dataset"]["resolved"].pop("untrained") == ["c"]
    again = client.post("/v1/experiments?dry_run=true", json=found)
    assert (again.status_code, again.json().get("hash")) == (200, answer.json()["hash"]), again.text


def test_rows_are_drawn_by_a_column_of_weights_that_the_server_has_checked(
    client: TestClient, settings: Settings
) -> None:
    lines = CSV.decode().splitlines()
    weighted = [f"{lines[0]},w", *(f"{line},{row % 3}" for row, line in enumerate(lines[1:]))]
    spec = SPEC | {"sampler": {"kind": "weighted"}}

    def post(content: list[str]) -> Any:
        dataset = chosen(upload(client, "\n".join(content).encode()).json(), weights="w")
        return client.post("/v1/experiments", json=spec | {"dataset": dataset})

    posted = post(weighted).json()
    assert posted["derived"]["parameters"] == 6  # the weight is no feature
    assert client.post("/v1/experiments", json=posted["spec"]).json()["hash"] == posted["hash"]
    assert steps_trained(posted["spec"], settings.dataset_dir) == 5
    refused = post([*weighted[:4], weighted[4].replace(",0", ",-2"), *weighted[5:]])
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["pointer"], error["code"]) == (422, "/dataset/weights", "out_of_range")
    assert "1 row (first: 4)" in error["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"test": 0.2, "shuffled_targets": 0.5, "split_seed": 3},
        {"folds": 3},
        {"split": {"kind": "column", "column": "part"}},
        {"split": {"kind": "group", "column": "shop"}, "folds": 3, "test": 0.1},
    ],
)
def test_the_rows_of_each_part_are_listed_as_the_worker_selects_them(
    fields: Any, client: TestClient, settings: Settings
) -> None:
    from worker.trainer.data.dataset_folders import DatasetFolders
    from worker.trainer.data.split import split_dataset

    lines = SPLIT.splitlines(keepends=True)
    lines[5] = b"1,,a,train,2026-01-01 00:56,s4\n"
    content = b"".join(lines)
    dataset = chosen(upload(client, content).json(), features=["size", "weight"], missing="drop", scaling="none")
    posted = client.post("/v1/experiments", json=SPEC | {"dataset": dataset | fields}).json()
    weights = [float(line.split(b",")[1] or -1) for line in lines[1:]]
    spec = Experiment.model_validate_json(json.dumps(posted["spec"]))
    for run in posted["runs"]:
        listed = client.get(f"/v1/runs/{run['id']}/split").json()
        splits = split_dataset(spec.dataset, DatasetFolders(settings.dataset_dir), run["seed"] % spec.folds)
        for name in ("train", "validation", "test"):
            assert [weights[row] for row in listed[name]] == getattr(splits, name).x[:, 1].tolist()
        assert all(4 not in listed[name] for name in ("train", "validation", "test"))
        assert listed["fold"] == (run["seed"] if fields.get("folds") else None)


@pytest.mark.parametrize(
    "dataset",
    [{"kind": "diabetes", "folds": 3, "test": 0.1}, {"kind": "absolute", "rows": 40, "shuffled_targets": 0.5}, None],
)
def test_rows_of_other_data_are_listed_where_the_split_is_known_here(
    dataset: Any, client: TestClient, settings: Settings, tmp_path: Path
) -> None:
    from worker.trainer.data.dataset_folders import DatasetFolders
    from worker.trainer.data.split import split_dataset

    changes: dict[str, Any] = {"dataset": dataset, "loss": {"kind": "mse"}}
    if dataset is None:
        view = upload(client, archive(tmp_path / "pets.zip", IMAGES).read_bytes(), "name=pets.zip").json()
        changes = {"dataset": {"kind": "images", "upload": view["id"], "size": 8, "shuffled_targets": 0.5, "folds": 2}}
    answer = client.post("/v1/experiments", json=SPEC | changes)
    assert answer.status_code == 201, answer.text
    spec = Experiment.model_validate_json(json.dumps(answer.json()["spec"]))
    for run in answer.json()["runs"]:
        listed = client.get(f"/v1/runs/{run['id']}/split").json()
        splits = split_dataset(spec.dataset, DatasetFolders(settings.dataset_dir), run["fold"] or 0)
        for name in ("train", "validation", "test"):
            assert listed[name] == getattr(splits, name).numbers.tolist()
        assert run["fold"] == listed["fold"] == (run["seed"] if spec.folds > 1 else None)
        assert listed["names"] == (None if dataset else [*IMAGES])


def test_rows_that_only_workers_can_split_are_not_listed_before_one_has(client: TestClient) -> None:
    run = client.post("/v1/experiments", json=SPEC | {"dataset": {"kind": "iris"}}).json()["runs"][0]["id"]
    answer = client.get(f"/v1/runs/{run}/split")
    assert (answer.status_code, "stratified by classes" in answer.json()["detail"]) == (409, True)


def test_a_file_without_a_header_is_uploaded_where_the_request_says_so(client: TestClient) -> None:
    rows = "".join(f"{i / 10},{i % 3},{'ab'[i % 2]}\n" for i in range(60)).encode()
    refused = upload(client, rows).json()
    assert "header=false" in refused["errors"][0]["detail"]
    view = upload(client, rows, "name=uci.data&header=false").json()
    assert (view["rows"], view["report"]["reading"]) == (60, {"rules": 2, "header": False})
    dataset = chosen(view, predict="column_3", features=["column_1"])
    assert client.post("/v1/experiments?dry_run=true", json=SPEC | {"dataset": dataset}).status_code == 200


def test_problems_of_the_upload_point_into_the_spec(client: TestClient) -> None:
    view = upload(client, CSV + b"3,,a\n").json()
    answer = client.post("/v1/experiments", json=SPEC | {"dataset": chosen(view, features=["size", "weight"])})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/dataset/features/1", "missing_values")
    assert "weight has 1 row without a value (first: 61)" in error["detail"]


def test_byte_pairs_of_a_text_are_counted_at_submission(client: TestClient) -> None:
    content = "the cat sat on the mat.\n" * 200
    view = upload(client, content.encode(), "name=cats.txt").json()
    dataset = {"kind": "text", "upload": view["id"], "context": 16, "tokens": {"kind": "bpe", "vocabulary": 260}}
    spec = SPEC | {"dataset": dataset, "model": {"kind": "transformer", "layers": 1, "width": 16, "heads": 2}}
    answer = client.post("/v1/experiments", json=spec)
    assert answer.status_code == 201, answer.text
    stored = answer.json()["spec"]
    tokenized = stored["dataset"]["resolved"]["tokenized"]
    assert (stored["model"]["vocabulary"], tokenized["vocabulary"]) == (260, 260)
    assert (sum(tokenized["characters"]), sum(tokenized["bytes"])) == (len(content), len(content))
    assert 0 < sum(tokenized["tokens"]) < len(content)
    again = client.post("/v1/experiments", json=stored | {"name": "again"})  # what the server wrote is read again
    assert again.status_code == 201, again.text
    few = client.post("/v1/experiments", json=spec | {"dataset": dataset | {"context": 1000}})
    assert [problem["pointer"] for problem in few.json()["errors"]] == ["/dataset/context"]
    small = client.post(
        "/v1/experiments", json=spec | {"dataset": dataset | {"tokens": {"kind": "bpe", "vocabulary": 9}}}
    )
    assert [problem["pointer"] for problem in small.json()["errors"]] == ["/dataset/tokens/vocabulary"]
