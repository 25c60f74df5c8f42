"""Start weights over HTTP: uploaded, checked against the model when a spec is posted, and kept while it is used."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings

SHAPES = {"layers.0.weight": [8, 4], "layers.0.bias": [8], "layers.2.weight": [3, 8], "layers.2.bias": [3]}
SPEC: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 5,
}


@pytest.fixture
def client(settings: Settings, tmp_path: Any, key: str) -> Iterator[TestClient]:
    kept = settings.model_copy(update={"data_dir": tmp_path})
    with TestClient(create_app(kept), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


def weights(**changed: list[int]) -> bytes:
    header, at = {}, 0
    for name, shape in (SHAPES | changed).items():
        size = 4 * (shape[0] if len(shape) == 1 else shape[0] * shape[1])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(at)


def upload(client: TestClient, content: bytes) -> str:
    answer = client.post("/v1/datasets?name=model.safetensors", content=content)
    assert (answer.status_code, answer.json().get("format")) == (201, "safetensors"), answer.text
    return str(answer.json()["id"])


def test_weights_that_fit_are_in_the_spec_and_their_upload_stays(client: TestClient) -> None:
    given = upload(client, weights())
    answer = client.post("/v1/experiments", json=SPEC | {"start": {"upload": given}})
    assert answer.status_code == 201, answer.text
    start = answer.json()["spec"]["start"]
    assert (start["head"], start["resolved"]["tensors"], len(start["resolved"]["sha256"])) == ("keep", 4, 64)
    refused = client.delete(f"/v1/datasets/{given}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert answer.json()["id"] in refused.json()["detail"]
    unused = upload(client, weights())
    assert client.delete(f"/v1/datasets/{unused}").status_code == 204


def test_parameters_that_do_not_fit_are_named(client: TestClient) -> None:
    given = upload(client, weights(**{"layers.2.weight": [5, 8], "layers.2.bias": [5]}))
    answer = client.post("/v1/experiments?dry_run=true", json=SPEC | {"start": {"upload": given}})
    (problem,) = answer.json()["errors"]
    assert (answer.status_code, problem["pointer"], problem["code"]) == (422, "/start/upload", "shape_mismatch")
    assert "layers.2.weight is [5, 8], not [3, 8], layers.2.bias is [5], not [3]" in problem["detail"]
    assert '{"head": "new"}' in problem["detail"]
    new = SPEC | {"start": {"upload": given, "head": "new"}}
    assert client.post("/v1/experiments?dry_run=true", json=new).status_code == 200
    wider = new | {"model": {"kind": "mlp", "hidden": [9]}}
    detail = client.post("/v1/experiments?dry_run=true", json=wider).json()["errors"][0]["detail"]
    assert "layers.0.weight is [8, 4], not [9, 4]" in detail


def test_a_tensor_that_the_model_lacks_and_one_of_whole_numbers_are_named(client: TestClient) -> None:
    statistics = {"layers.1.running_mean": [8]}  # only a worker knows a model's buffers
    given = upload(client, weights(**{"head.weight": [5, 8]}, **statistics))
    assert refusal(client, {"upload": given})["detail"].startswith(
        "the model's parameters are not those of the file: head.weight is not in the model."
    )
    whole = upload(client, weights().replace(b"F32", b"I32"))
    assert "layers.0.weight holds I32, not one of F64, F32, F16, BF16" in refusal(client, {"upload": whole})["detail"]


def test_a_file_that_is_both_uploaded_and_mounted_is_a_contradiction(client: TestClient) -> None:
    problem = refusal(client, {"upload": upload(client, weights()), "mounted": "net.safetensors"})
    assert (problem["pointer"], problem["code"]) == ("/start", "contradiction")


def refusal(client: TestClient, start: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/v1/experiments?dry_run=true", json=SPEC | {"start": start})
    assert answer.status_code == 422, answer.text
    return dict(answer.json()["errors"][0])


def test_mounted_weights_are_hashed_by_the_server_and_never_outside_the_folder(
    settings: Settings, tmp_path: Path, key: str
) -> None:
    folder = tmp_path / "mounted"
    (folder / "nets").mkdir(parents=True)
    (folder / "nets" / "small.safetensors").write_bytes(weights())
    (folder / "notes.safetensors").write_text("no weights")
    (tmp_path / "secret.safetensors").write_bytes(weights())
    (folder / "out.safetensors").symlink_to(tmp_path / "secret.safetensors")
    kept = settings.model_copy(update={"data_dir": tmp_path / "data", "dataset_folder": folder})
    with TestClient(create_app(kept), headers={"Authorization": f"Bearer {key}"}) as client:
        given = {"mounted": "nets/small.safetensors"}
        found = client.post("/v1/experiments?dry_run=true", json=SPEC | {"start": given}).json()
        start = found["spec"]["start"]
        assert start["resolved"] == {"sha256": hashlib.sha256(weights()).hexdigest(), "tensors": 4}
        uploaded = {"upload": upload(client, weights())}
        again = client.post("/v1/experiments?dry_run=true", json=SPEC | {"start": uploaded}).json()
        assert again["hash"] == found["hash"]  # the same weights
        for path in ("../secret.safetensors", "/etc/passwd", "nets/../../secret.safetensors", ".hidden"):
            assert refusal(client, {"mounted": path})["pointer"] == "/start/mounted"
        assert refusal(client, {"mounted": "out.safetensors"})["code"] == "not_found"
        assert refusal(client, {"mounted": "nets/smal.safetensors"})["did_you_mean"] == "nets/small.safetensors"
        assert refusal(client, {"mounted": "notes.safetensors"})["code"] == "wrong_format"
        claimed = given | {"resolved": start["resolved"] | {"sha256": "0" * 64}}
        assert refusal(client, claimed)["code"] == "read_only"
        assert refusal(client, given | uploaded)["code"] == refusal(client, {})["code"] == "contradiction"
        wider = SPEC | {"start": given, "model": {"kind": "mlp", "hidden": [9]}}
        (problem,) = client.post("/v1/experiments?dry_run=true", json=wider).json()["errors"]
        assert (problem["pointer"], problem["code"]) == ("/start/mounted", "shape_mismatch")


def test_a_server_without_the_folder_needs_the_hash(client: TestClient) -> None:
    given: dict[str, Any] = {"mounted": "small.safetensors"}
    assert refusal(client, given)["code"] == "not_mounted"
    given["resolved"] = {"sha256": "0" * 64, "tensors": 4}
    answer = client.post("/v1/experiments?dry_run=true", json=SPEC | {"start": given})
    assert (answer.status_code, answer.json()["spec"]["start"]["resolved"]) == (200, given["resolved"])


def test_tables_and_weights_are_not_taken_for_each_other(client: TestClient, stranger: dict[str, str]) -> None:
    given = upload(client, weights())
    rows = client.post("/v1/datasets?name=a.csv", content=b"a,b\n" + b"1,2\n3,4\n" * 20).json()["id"]
    answer = client.post("/v1/experiments", json=SPEC | {"start": {"upload": rows}})
    assert "start weights are a safetensors file" in answer.json()["errors"][0]["detail"]
    trained = SPEC | {"dataset": {"kind": "upload", "upload": given, "predict": "layers.0.bias", "task": "regression"}}
    answer = client.post("/v1/experiments", json=trained | {"loss": {"kind": "mse"}})
    assert "holds weights, no rows" in answer.json()["errors"][0]["detail"]
    answer = client.post("/v1/experiments", json=SPEC | {"start": {"upload": given}}, headers=stranger)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/start/upload")
