"""Texts with files of their own for validation and test, over HTTP: counted, refused by field, read and kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.errors import RunFailure
from service.settings import Settings
from service.spec.datasets.upload_references import hashes_of
from service.spec.experiment import Experiment
from tests.harness.tokenizers import byte_level

CONTEXT = 8
TRAIN = "the cat sat on the mat, and the rat sat on the cat.\n" * 60
VALIDATION = "Zoe's rat sat on the mat.\n" * 9  # with characters that the training file lacks
TEST = "a cat and a rat sat.\n" * 5
TEXTS = [TRAIN, VALIDATION, TEST]
PARTS = ("train", "validation", "test")
BYTE_PAIRS = {"kind": "bpe", "vocabulary": 300}
SPEC: dict[str, Any] = {"model": {"kind": "transformer", "width": 16, "layers": 1, "heads": 2}, "steps": 5} | {
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam", "lr": 0.01},
}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path / "data", broker_url=None)


def send(client: TestClient, content: str, name: str = "a.txt") -> str:
    answer = client.post(f"/v1/datasets?name={name}", content=content.encode())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def dataset(uploads: list[str], **fields: Any) -> dict[str, Any]:
    split = {"kind": "files", **dict(zip(PARTS[1:], uploads[1:], strict=False))}
    return {"kind": "text", "upload": uploads[0], "context": CONTEXT, "split": split} | fields


def post(client: TestClient, document: dict[str, Any], query: str = "") -> Any:
    return client.post(f"/v1/experiments{query}", json=SPEC | {"dataset": document})


def accepted(client: TestClient, document: dict[str, Any]) -> Any:
    answer = post(client, document)
    assert answer.status_code == 201, answer.text
    return answer.json()


def splits_of(spec: Any, settings: Settings) -> Any:
    from worker.trainer.data.dataset_folders import DatasetFolders
    from worker.trainer.data.language import split_language

    read = Experiment.model_validate_json(json.dumps(spec))
    return split_language(read.dataset, DatasetFolders(settings.dataset_dir))


@pytest.mark.parametrize("kind", ["characters", "bpe", "file"])
def test_each_part_is_the_windows_of_its_own_file(kind: str, client: TestClient, settings: Settings) -> None:
    tokens: dict[str, Any] = {"kind": kind}
    if kind == "bpe":
        tokens = BYTE_PAIRS
    elif kind == "file":
        tokens |= {"upload": send(client, byte_level(TRAIN).to_str(), "tokenizer.json")}
    spec = accepted(client, dataset([send(client, text) for text in TEXTS], tokens=tokens))["spec"]
    resolved = spec["dataset"]["resolved"]
    assert (spec["dataset"]["validation"], spec["dataset"]["test"]) == (0.0, 0.0)
    splits = splits_of(spec, settings)
    rows = []
    for text, part in zip(TEXTS, (splits.train, splits.validation, splits.test), strict=True):
        ids = splits.codec.encode(text)
        rows.append((len(ids) - 1) // CONTEXT)
        x, y = (each.to("cpu")[:].flatten().tolist() for each in (part.x, part.y))
        assert len(part.x) == rows[-1] > 0
        assert (x, y) == (ids[: len(x)], ids[1 : len(x) + 1])
        if part is not splits.train:
            assert part.bytes == len(splits.codec.decode(ids[1 : len(x) + 1]).encode())
    assert (resolved["rows"], resolved["validation"], resolved["test"]) == (sum(rows), *rows[1:])
    assert [file["rows"] for file in resolved["files"]] == rows[1:]
    if kind == "characters":
        assert resolved["characters"] == "".join(sorted({*TRAIN, *VALIDATION, *TEST}))
    else:
        assert resolved["tokenized"]["characters"] == [*map(len, TEXTS)]
        assert resolved["tokenized"]["bytes"] == [len(text.encode()) for text in TEXTS]


def test_byte_pairs_are_learned_from_the_training_file_alone(client: TestClient) -> None:
    train, *others = (send(client, text) for text in (TRAIN, "Zoe saw Zoe. " * 90, "Zoe saw a zoo. " * 50))
    found = [
        accepted(client, dataset([train, each], tokens=BYTE_PAIRS))["spec"]["dataset"]["resolved"]["tokenized"]
        for each in others
    ]
    assert found[0]["sha256"] == found[1]["sha256"]
    assert found[0]["tokens"][2] == 0


def test_the_files_are_part_of_the_hash_kept_while_named_and_refused_by_a_worker_when_changed(
    client: TestClient, settings: Settings
) -> None:
    uploads = [send(client, text) for text in TEXTS]
    made = accepted(client, dataset(uploads))
    resolved = made["spec"]["dataset"]["resolved"]
    hashes = [resolved["sha256"], *(file["sha256"] for file in resolved["files"])]
    assert hashes_of(made["spec"]) == hashes
    assert len({*hashes}) == 3
    assert accepted(client, made["spec"]["dataset"])["hash"] == made["hash"]
    other = accepted(client, dataset([*uploads[:2], send(client, TEST + "more")]))
    whole = accepted(client, {"kind": "text", "upload": uploads[0], "context": CONTEXT})
    assert len({each["hash"] for each in (made, other, whole)}) == 3
    assert whole["spec"]["dataset"]["split"] == {"kind": "shares"}
    for each in uploads:
        assert client.delete(f"/v1/datasets/{each}").status_code == 409
    content = settings.dataset_dir / hashes[1] / "content"
    content.write_bytes(content.read_bytes().replace(b"Zoe", b"Zac"))
    with pytest.raises(RunFailure) as changed:
        splits_of(made["spec"], settings)
    assert changed.value.kind == "dataset_changed"


@pytest.mark.parametrize("tokens", [{"kind": "characters"}, BYTE_PAIRS])
def test_what_does_not_fit_is_refused_by_field(
    tokens: dict[str, Any], client: TestClient, stranger: dict[str, str]
) -> None:
    uploads = [send(client, text) for text in TEXTS]
    table = send(client, "a,b\n1,2\n3,4\n", "a.csv")
    short = send(client, "the cat")
    theirs = client.post("/v1/datasets?name=a.txt", content=TEST.encode(), headers=stranger).json()["id"]

    def errors(ids: list[str], **fields: Any) -> list[tuple[str, str]]:
        answer = post(client, dataset(ids, tokens=tokens, **fields), "?dry_run=true")
        assert answer.status_code == 422, answer.text
        return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]

    assert errors([uploads[0], table]) == [("/dataset/split/validation", "wrong_format")]
    assert errors([*uploads[:2], short]) == [("/dataset/split/test", "split_too_small")]
    assert errors([*uploads[:2], theirs]) == [("/dataset/split/test", "not_found")]
    assert errors([uploads[0], uploads[1], uploads[0]]) == [("/dataset/split/test", "repeated")]
    shares = errors(uploads, validation=0.2, test=0.1)
    assert shares == [(f"/dataset/{name}", "contradiction") for name in ("validation", "test")]
    random = post(client, dataset(uploads, tokens=tokens) | {"split": {"kind": "random"}}, "?dry_run=true")
    assert [error["pointer"] for error in random.json()["errors"]] == ["/dataset/split/kind"]
