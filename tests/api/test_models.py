"""A trained model over HTTP: its archive, each of its files, and the card."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from service.api.app import create_app
from service.db.runs import claims, leases
from service.db.runs.claims import SavedCheckpoint
from service.db.session import transaction
from service.settings import Settings
from service.spec.experiment import Experiment

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def kept(settings: Settings, tmp_path: Any) -> Settings:
    return settings.model_copy(update={"data_dir": tmp_path})


@pytest.fixture
def client(kept: Settings, key: str) -> Iterator[TestClient]:
    with TestClient(create_app(kept), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


def trained(engine: Engine, kept: Settings, source: bool = True) -> tuple[str, Any]:
    """The next run in the queue, trained and saved as a worker would."""
    import torch

    from worker.trainer.checkpoints import checkpoint
    from worker.trainer.loop import prepare, train

    with transaction(engine) as connection:
        held = claims.claim(connection, ["cpu"], "w1", uuid.uuid4().hex)
    assert held is not None
    training = prepare(Experiment.model_validate_json(json.dumps(held.spec)), held.seed, torch.device("cpu"))
    list(train(training))
    folder = kept.checkpoint_dir / held.run_id / f"a{held.attempt}-{held.lease[:8]}"
    document = {"scales": training.scales} | ({} if source else {"source": None})
    saved = checkpoint.save(folder, training, document)
    row = SavedCheckpoint(training.step, str(saved.folder), saved.sha256, saved.size_bytes, reason="end")
    with transaction(engine) as connection:
        leases.save_checkpoint(connection, held, row, {})
    return held.run_id, training


def test_the_archive_has_the_weights_and_what_rebuilds_them(
    client: TestClient, submit: Submit, engine: Engine, kept: Settings, stranger: dict[str, str]
) -> None:
    import torch
    from safetensors.torch import load

    submit(dataset={"kind": "iris"}, steps=5)
    run_id, training = trained(engine, kept)
    path = f"/v1/runs/{run_id}/model"
    answer = client.get(path)
    assert answer.headers["content-disposition"] == f'attachment; filename="{run_id}-step-5-model.zip"'
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.namelist() == ["load.py", "spec.json", "inputs.json", "card.md", "model.safetensors"]
    found, expected = load(archive.read("model.safetensors")), training.model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert json.loads(archive.read("inputs.json"))["scales"] == training.scales
    assert json.loads(archive.read("spec.json"))["dataset"]["kind"] == "iris"
    for name in archive.namelist():
        if name != "card.md":
            assert client.get(f"{path}/{name}").content == archive.read(name)
    assert client.get(f"/v1/runs/{run_id}/card.md").content == archive.read("card.md")
    assert client.get(path, headers=stranger).status_code == 404
    assert client.get(f"{path}/load.py", headers=stranger).status_code == 404
    assert client.get(f"/v1/runs/{run_id}/card.md", headers=stranger).status_code == 404


def test_what_cannot_be_taken_home_says_why(client: TestClient, submit: Submit, engine: Engine, kept: Settings) -> None:
    made = submit(dataset={"kind": "iris"}, steps=5)
    path = f"/v1/runs/{made['runs'][0]['id']}/model"
    assert "no kept checkpoint" in client.get(path).json()["detail"]
    run_id, _ = trained(engine, kept, source=False)
    path = f"/v1/runs/{run_id}/model"
    assert client.get(path).status_code == 409
    assert "earlier release" in client.get(f"{path}/load.py").json()["detail"]
    assert client.get(f"{path}/model.safetensors").status_code == 200
    assert "no averaged weights" in client.get(f"{path}?weights=average").json()["detail"]
    assert client.get(f"{path}?step=4").json()["detail"] == (
        "There is no checkpoint at step 4; steps with a checkpoint: 5."
    )
    assert client.get(f"{path}/state.json").status_code == 404
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE checkpoint SET sha256 = repeat('0', 64)")
    assert "damaged" in client.get(path).json()["detail"]


def test_text_of_users_is_only_text_in_the_card(client: TestClient, submit: Submit) -> None:
    made = submit(name="a|b [x](http://x) <b>", notes="# no\nheading", dataset={"kind": "iris"}, steps=5)
    card = client.get(f"/v1/runs/{made['runs'][0]['id']}/card.md").text
    assert card.startswith("# a\\|b \\[x\\](http://x) \\<b\\>\n")
    assert "> \\# no\n> heading" in card
    assert ": 120 rows to train on, 30 to validate, 0 to test." in card
    assert "Nothing was measured." in card
