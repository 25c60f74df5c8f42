"""What a deleted experiment leaves in the storage is removed: in a folder and in a bucket, at a start or soon after."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from service.db.access.principal import Principal
from service.db.experiments import deletion, experiments
from service.db.runs import claims, endings, leases
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import make_engine, transaction
from service.lifecycle import State
from service.settings import Settings
from service.spec.parse.presets import presets
from service.storage.factory import open_store
from service.storage.files import STATE, TENSORS, sha256_of_folder
from service.storage.store import Store
from tests.harness.statements import sent_statements
from worker.supervisor.cleanup import DeletionCleanup, clean_up_at_start

Trained = Callable[[Store], tuple[str, Claim]]


@pytest.fixture(params=["folder", "bucket"])
def settings(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    url = None
    if request.param == "bucket":
        for name, value in request.getfixturevalue("s3").items():
            monkeypatch.setenv(name, value)
        url = f"s3://saddle/{uuid.uuid4().hex}"
    database_url = database_url.replace("//saddle@", "//saddle_worker@", 1)
    return Settings(database_url=database_url, data_dir=tmp_path / "data", checkpoint_url=url)


@pytest.fixture
def trained(engine: Engine, principal: Principal, settings: Settings, tmp_path: Path) -> Trained:
    """Stores an experiment of one run that has ended with a checkpoint: its id, and the claim."""

    def made(store: Store) -> tuple[str, Claim]:
        spec = presets()["digits-adam"].model_copy(update={"seeds": (0,)})
        with transaction(engine) as connection:
            experiment_id = experiments.add(connection, principal, spec, "cpu").id
            held = claims.claim(connection, ["cpu"], "w", uuid.uuid4().hex)
        assert held is not None
        root = settings.checkpoint_dir if store.in_place else tmp_path
        folder = root / held.run_id / f"a{held.attempt}-{held.lease[:8]}" / "step-5"
        folder.mkdir(parents=True)
        (folder / STATE).write_text("{}")
        (folder / TENSORS).write_bytes(b"weights")
        sha256 = sha256_of_folder(folder)
        with transaction(engine) as connection:
            leases.save_checkpoint(connection, held, SavedCheckpoint(5, store.keep(folder, sha256), sha256, 9), {})
        with transaction(engine) as connection:
            endings.finish(connection, held, State.SUCCEEDED, {}, None)
        return experiment_id, held

    return made


@pytest.mark.parametrize("when", ["at a start", "soon after"])
def test_the_checkpoints_of_a_deleted_experiment_go_and_no_others(
    settings: Settings, engine: Engine, principal: Principal, trained: Trained, when: str
) -> None:
    own = make_engine(settings.database_url, pool_size=1)
    store = open_store(settings)
    (gone, mine), (_, other) = trained(store), trained(store)
    cleanup = DeletionCleanup(own, settings)
    try:
        cleanup.run_if_due()
        assert len(list(store.keys())) == 2
        with transaction(engine) as connection:
            deletion.erase(connection, principal, gone)
        cleanup.run_if_due()
        assert len(list(store.keys(mine.run_id))) == 1  # it has just looked
        if when == "at a start":
            clean_up_at_start(own, settings)
        else:
            cleanup._due = 0.0
            cleanup.run_if_due()
    finally:
        own.dispose()
    kept = list(store.keys(None))
    assert [key.partition("/")[0] for key in kept] == [other.run_id]


@pytest.mark.parametrize("settings", ["folder"], indirect=True)
def test_cleaning_up_after_many_runs_takes_as_many_statements_as_after_few(
    settings: Settings, engine: Engine, principal: Principal, trained: Trained
) -> None:
    own = make_engine(settings.database_url, pool_size=1)
    own.connect().close()  # SQLAlchemy asks the server about itself once
    store, sent = open_store(settings), []
    for count in (2, 10):
        made = [trained(store)[0] for _ in range(count)]
        cleanup = DeletionCleanup(own, settings)
        with transaction(engine) as connection:
            for experiment_id in made:
                deletion.erase(connection, principal, experiment_id)
        with sent_statements() as statements:
            cleanup.run_if_due()
        assert list(store.keys()) == []
        sent.append(len(statements))
    own.dispose()
    assert sent[0] == sent[1]
