"""Checkpoints over HTTP: listed with why they were written, and taken home only if they are what was written."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.api.app import create_app
from service.db.runs import claims, leases
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import transaction
from service.settings import Settings
from service.storage.factory import open_store
from service.storage.files import PREDICTIONS, STATE, TENSORS, sha256_of_folder
from service.storage.store import Store

Submit = Callable[..., dict[str, Any]]
KINDS = ("folder", "bucket")


@pytest.fixture(params=KINDS)
def kept(
    request: pytest.FixtureRequest,
    database_url: str,
    tmp_path: Path,
    s3: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    url = None
    if request.param == "bucket":
        url = f"s3://saddle/{tmp_path.name}"
        for name, value in s3.items():
            monkeypatch.setenv(name, value)
    return Settings(database_url=database_url, data_dir=tmp_path, checkpoint_url=url)


@pytest.fixture
def client(kept: Settings, key: str) -> Iterator[TestClient]:
    with TestClient(create_app(kept), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
def store(kept: Settings) -> Store:
    return open_store(kept)


class Saver:
    """Claims a run, and saves what a trainer would have written."""

    def __init__(self, engine: Engine, kept: Settings) -> None:
        self.engine, self.store, self.root = engine, open_store(kept), kept.checkpoint_dir
        with transaction(engine) as connection:
            held = claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
        assert held is not None
        self.held: Claim = held

    def save(self, step: int, predictions: bytes | None = None, **more: Any) -> SavedCheckpoint:
        folder = self.root / self.held.run_id / f"a{self.held.attempt}-{self.held.lease[:8]}" / f"step-{step}"
        folder.mkdir(parents=True)
        (folder / STATE).write_text('{"step": %d}' % step)  # noqa: UP031
        (folder / TENSORS).write_bytes(bytes([step]) * 3_000_000)
        if predictions is not None:
            (folder / STATE).write_text(
                json.dumps({"predictions": {"sha256": hashlib.sha256(predictions).hexdigest()}})
            )
            (folder / PREDICTIONS).write_bytes(predictions)
        sha256 = sha256_of_folder(folder)
        saved = SavedCheckpoint(step, self.store.keep(folder, sha256), sha256, 3_000_011, **more)
        with transaction(self.engine) as connection:
            leases.save_checkpoint(connection, self.held, saved, {})
        return saved

    def succeed(self) -> None:
        with transaction(self.engine) as connection:
            connection.exec_driver_sql("UPDATE run SET state = 'succeeded', lease = NULL, worker = NULL")


def test_they_are_listed_with_why_and_whether_they_are_kept(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings
) -> None:
    submit()
    saver = Saver(engine, kept)
    saved = [saver.save(1), saver.save(2, reason="best", value=0.25), saver.save(3), saver.save(4, reason="end")]
    items = client.get(f"/v1/runs/{saver.held.run_id}/checkpoints").json()["items"]
    said = [(i["step"], i["attempt"], i["reason"], i["value"], i["kept"], i["damaged"]) for i in items]
    assert said == [
        (4, 1, "end", None, True, False),
        (3, 1, "due", None, True, False),
        (2, 1, "best", 0.25, True, False),
        (1, 1, "due", None, False, False),
    ]
    assert [i["sha256"] for i in items] == [each.sha256 for each in reversed(saved)]
    assert items[0]["removed_at"] is None
    assert items[3]["removed_at"].endswith("Z")
    assert "folder" not in items[0]  # no path leaves the server


def test_one_is_taken_home_as_it_was_written(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings
) -> None:
    submit()
    saver = Saver(engine, kept)
    saved = saver.save(7)
    path = f"/v1/runs/{saver.held.run_id}/checkpoints/7"
    tensors, state = client.get(f"{path}/{TENSORS}"), client.get(f"{path}/{STATE}")
    assert (tensors.status_code, tensors.content) == (200, b"\7" * 3_000_000)
    assert state.json() == {"step": 7}
    assert tensors.headers["etag"] == f'"{saved.sha256}"'
    name = f"{saver.held.run_id}-step-7-{TENSORS}"
    assert tensors.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert tensors.headers["content-length"] == "3000000"
    again = client.get(f"{path}/{TENSORS}", headers={"If-None-Match": tensors.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    taken = client.get(f"/v1/audit?action=checkpoint.export&target={saver.held.run_id}").json()["items"]
    assert [row["data"]["file"] for row in taken] == [TENSORS, STATE, TENSORS]


def test_a_damaged_or_missing_one_is_refused(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings, store: Store
) -> None:
    submit()
    saver = Saver(engine, kept)
    saved = saver.save(7)
    path = f"/v1/runs/{saver.held.run_id}/checkpoints/7/{STATE}"
    with transaction(engine) as connection:  # as good as another file: its hash is another
        connection.exec_driver_sql("UPDATE checkpoint SET sha256 = repeat('0', 64)")
    answer = client.get(path)
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "The checkpoint at step 7 is damaged: it is not what was written.",
    )
    store.remove(saved.folder)
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "a file is missing" in answer.json()["detail"]


def test_what_is_not_there_says_what_is(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings, stranger: dict[str, str]
) -> None:
    submit()
    saver = Saver(engine, kept)
    for step in (1, 2, 3):
        saver.save(step)
    base = f"/v1/runs/{saver.held.run_id}/checkpoints"
    assert (
        client.get(f"{base}/9/{STATE}").json()["detail"]
        == "There is no checkpoint at step 9; steps with a checkpoint: 2, 3."
    )
    gone = client.get(f"{base}/1/{STATE}")
    assert gone.json()["detail"] == "The checkpoint at step 1 is no longer kept; steps with a checkpoint: 2, 3."
    assert client.get(f"{base}/2/id_rsa").status_code == 404
    assert client.get(f"{base}/2/..%2f..%2fx").status_code == 404
    assert client.get(f"{base}/-1/{STATE}").status_code == 404
    assert client.get(base, headers=stranger).status_code == 404
    assert client.get(f"{base}/2/{STATE}", headers=stranger).status_code == 404


def test_a_run_without_predictions_says_how_to_have_some(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings
) -> None:
    submit()
    saver = Saver(engine, kept)
    path = f"/v1/runs/{saver.held.run_id}/predictions"
    assert "running" in client.get(path).json()["detail"]
    saver.save(3)
    saver.succeed()
    assert "predictions set to true" in client.get(path).json()["detail"]


def test_predictions_lie_in_the_last_checkpoint_of_a_run_that_succeeded(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings, store: Store, stranger: dict[str, str]
) -> None:
    submit()
    saver = Saver(engine, kept)
    path = f"/v1/runs/{saver.held.run_id}/predictions"
    saver.save(3)
    saved = saver.save(7, predictions=b"PAR1 rows", reason="end")
    saver.succeed()
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (200, b"PAR1 rows")
    assert answer.headers["content-disposition"] == f'attachment; filename="{saver.held.run_id}-predictions.parquet"'
    assert client.get(path, headers=stranger).status_code == 404
    taken = client.get(f"/v1/audit?action=checkpoint.export&target={saver.held.run_id}").json()["items"]
    assert taken[0]["data"]["file"] == PREDICTIONS
    store.remove(saved.folder)
    assert client.get(path).status_code == 409
    assert not [key for key in store.keys(saver.held.run_id) if key.endswith("step-7")]


def test_damaged_predictions_are_not_sent(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings, store: Store
) -> None:
    submit()
    saver = Saver(engine, kept)
    folder = Path(saver.save(7, predictions=b"PAR1 rows").folder)
    saver.succeed()
    if not store.in_place:
        return  # the same code reads both
    (folder / PREDICTIONS).write_bytes(b"PAR1 row")
    answer = client.get(f"/v1/runs/{saver.held.run_id}/predictions")
    assert (answer.status_code, "damaged" in answer.json()["detail"]) == (409, True)
