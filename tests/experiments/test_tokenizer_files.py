"""A tokenizer of one's own: uploaded, named in a text's spec, kept while it is used, and moved along."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.api.app import create_app
from service.db.access.projects import new_key
from service.db.session import transaction
from service.settings import Settings
from service.spec.datasets.upload_references import hashes_of
from tests.harness.tokenizers import byte_level

TEXT = "the cat sat on the mat, and the rat sat on the cat.\n" * 60
SPEC: dict[str, Any] = {"model": {"kind": "transformer", "width": 16, "layers": 1, "heads": 2}, "steps": 5} | {
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam", "lr": 0.01},
}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    (mounted := tmp_path / "mounted" / "tokens").mkdir(parents=True)
    (mounted / "train.bin").write_bytes(bytes(range(2)) * 5_000)
    return Settings(database_url=database_url, data_dir=tmp_path / "data", dataset_folder=tmp_path / "mounted")


@pytest.fixture
def client(settings: Settings, key: str) -> Iterator[TestClient]:
    with TestClient(create_app(settings), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


def upload(client: TestClient, content: str, name: str = "tokenizer.json", **headers: str) -> Any:
    answer = client.post(f"/v1/datasets?name={name}", content=content.encode(), headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def text_of(upload_id: str, tokenizer_id: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "text",
        "upload": upload_id,
        "context": 8,
        "tokens": {"kind": "file", "upload": tokenizer_id},
    } | more


def post(client: TestClient, dataset: dict[str, Any], query: str = "", **more: Any) -> Any:
    return client.post(f"/v1/experiments{query}", json=SPEC | {"dataset": dataset} | more)


def test_a_spec_knows_vocabulary_tokens_and_hash_of_a_given_tokenizer(client: TestClient) -> None:
    made = byte_level(TEXT)
    text, tokenizer = upload(client, TEXT, "a.txt"), upload(client, made.to_str())
    assert (tokenizer["format"], tokenizer["report"]["vocabulary"]) == ("tokenizer", made.get_vocab_size())
    answer = post(client, text_of(text["id"], tokenizer["id"]))
    assert answer.status_code == 201, answer.text
    spec = answer.json()["spec"]
    assert spec["model"]["vocabulary"] == made.get_vocab_size()
    found = spec["dataset"]["tokens"]["resolved"]
    assert found == {"sha256": tokenizer["sha256"], "vocabulary": made.get_vocab_size()}
    made.no_truncation()
    made.no_padding()
    tokenized = spec["dataset"]["resolved"]["tokenized"]
    assert abs(sum(tokenized["tokens"]) - len(made.encode(TEXT).ids)) <= 2  # parts are encoded apart
    assert (tokenized["sha256"], tokenized["lossless"]) == (tokenizer["sha256"], True)
    assert hashes_of(spec) == [text["sha256"], tokenizer["sha256"]]
    again = client.post("/v1/experiments", json=spec)
    assert (again.status_code, again.json()["hash"]) == (201, answer.json()["hash"])
    same = upload(client, byte_level(TEXT).to_str())
    assert post(client, text_of(text["id"], same["id"])).json()["hash"] == answer.json()["hash"]


def test_token_files_name_the_tokenizer_that_wrote_them(client: TestClient) -> None:
    tokenizer = upload(client, byte_level(TEXT).to_str())
    dataset = {"kind": "token_files", "path": "tokens", "vocabulary": 512, "context": 8}
    dataset |= {"tokens": {"kind": "file", "upload": tokenizer["id"]}}
    probes = [{"kind": "samples", "prompt": "the cat"}]
    answer = post(client, dataset, probes=probes)
    assert answer.status_code == 201, answer.text
    assert hashes_of(answer.json()["spec"]) == [tokenizer["sha256"]]
    assert client.delete(f"/v1/datasets/{tokenizer['id']}").status_code == 409
    small = post(client, dataset | {"vocabulary": 200}, "?dry_run=true").json()["errors"]
    assert [(each["pointer"], each["code"]) for each in small] == [("/dataset/vocabulary", "too_small")]
    without = post(client, {**dataset, "tokens": None}, "?dry_run=true", probes=probes).json()["errors"]
    assert [each["pointer"] for each in without] == ["/probes/0/prompt"]


def test_what_is_no_tokenizer_of_this_project_is_refused_by_field(client: TestClient, engine: Engine) -> None:
    text, table = upload(client, TEXT, "a.txt"), upload(client, "a,b\n1,2\n3,4\n", "a.csv")
    tokenizer = upload(client, byte_level(TEXT).to_str())
    with transaction(engine) as connection:
        stranger = {"Authorization": f"Bearer {new_key(connection, 'elsewhere', 'eve')}"}
    theirs = upload(client, byte_level(TEXT).to_str(), **stranger)

    def errors(dataset: dict[str, Any]) -> list[tuple[str, str]]:
        answer = post(client, dataset, "?dry_run=true")
        assert answer.status_code == 422, answer.text
        return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]

    assert errors(text_of(text["id"], table["id"])) == [("/dataset/tokens/upload", "wrong_format")]
    assert errors(text_of(text["id"], theirs["id"])) == [("/dataset/tokens/upload", "not_found")]
    assert errors(text_of(tokenizer["id"], tokenizer["id"])) == [("/dataset/upload", "wrong_format")]
    rows = {"kind": "upload", "upload": tokenizer["id"], "predict": "a", "task": "regression"}
    assert errors(rows) == [("/dataset/upload", "wrong_format")]
    claimed = text_of(text["id"], tokenizer["id"])
    claimed["tokens"]["resolved"] = {"sha256": "0" * 64, "vocabulary": 5}
    assert errors(claimed) == [("/dataset/tokens/resolved", "read_only")]
    unreadable = client.post("/v1/datasets?name=a", content=json.dumps({"added_tokens": [], "model": {}}).encode())
    assert (unreadable.status_code, unreadable.json()["errors"][0]["code"]) == (422, "wrong_format")


def test_a_tokenizer_is_kept_while_an_experiment_names_it_and_moves_along(client: TestClient, engine: Engine) -> None:
    text, tokenizer = upload(client, TEXT, "a.txt"), upload(client, byte_level(TEXT).to_str())
    posted = post(client, text_of(text["id"], tokenizer["id"])).json()["id"]
    refused = client.delete(f"/v1/datasets/{tokenizer['id']}")
    assert (refused.status_code, posted in refused.json()["detail"]) == (409, True)
    client.post(f"/v1/experiments/{posted}/cancel")
    with transaction(engine) as connection:
        there = {"Authorization": f"Bearer {new_key(connection, 'other', 'ada')}"}
    assert client.post(f"/v1/experiments/{posted}/move", json={"project": "other"}).status_code == 202
    again = client.post("/v1/experiments", json=SPEC | {"dataset": text_of(text["id"], tokenizer["id"])}, headers=there)
    assert again.status_code == 201, again.text
    assert client.delete(f"/v1/datasets/{tokenizer['id']}").status_code == 409
