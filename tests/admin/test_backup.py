"""Backup and restore of a database with files, in a folder and in a bucket."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from service.admin.backup import back_up
from service.admin.manifest import DamagedBackup
from service.admin.restore import restore
from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import experiments
from service.db.runs import leases, workers
from service.db.runs.claims import Claim, SavedCheckpoint
from service.db.session import check_schema, make_engine, transaction
from service.errors import Conflict
from service.local.postgres import EmbeddedPostgres
from service.settings import Settings
from service.spec.parse.presets import presets
from service.storage.factory import open_store
from service.storage.files import FILES, sha256_of_folder
from tests.fixtures.api import Worker
from tests.harness.databases import copy_database


@pytest.fixture(params=["folder", "bucket"])
def here(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    if request.param == "folder":
        return Settings(database_url=database_url, data_dir=tmp_path / "data")
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    url = f"s3://saddle/{tmp_path.name}/one"
    return Settings(database_url=database_url, data_dir=tmp_path / "data", storage_url=url)


def elsewhere(here: Settings, url: str, home: Path) -> Settings:
    storage = here.storage_url and here.storage_url.replace("/one", "/two")
    return Settings(database_url=url, data_dir=home, storage_url=storage)


def save(engine: Engine, settings: Settings, held: Claim, step: int) -> str:
    folder = settings.checkpoint_dir / held.run_id / f"a{held.attempt}-{held.lease[:8]}" / f"step-{step}"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(os.urandom(100))
    sha256 = sha256_of_folder(folder)
    location = open_store(settings).keep(folder, sha256)
    with transaction(engine) as connection:
        leases.save_checkpoint(connection, held, SavedCheckpoint(step, location, sha256, 200), {})
    return sha256


@pytest.fixture
def held(engine: Engine, principal: Principal, worker: Worker) -> Claim:
    """A run that trains, on a worker that is drained."""
    with transaction(engine) as connection:
        experiments.add(connection, principal, next(iter(presets().values())), "cpu")
    held = worker.claim()
    with transaction(engine) as connection:
        workers.announce(connection, "w1", "cpu", "host", 1, "1", {"kind": "cpu"})
        connection.execute(text("UPDATE run SET state = 'paused' WHERE state = 'queued'"))
        connection.execute(text("UPDATE worker SET drain_since = clock_timestamp(), drain_by = 'root'"))
    return held


def rows(engine: Engine, statement: str) -> list[Any]:
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_what_is_restored_is_what_was_there_and_nothing_of_the_old_server(
    here: Settings, engine: Engine, held: Claim, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with transaction(engine) as connection:
        key = new_key(connection, "default", "ada")
    first, second = save(engine, here, held, 10), save(engine, here, held, 20)
    back_up(tmp_path / "backup", here, print)
    with copy_database(postgres, "template1") as url:
        there = elsewhere(here, url, tmp_path / "there")
        assert restore(tmp_path / "backup", there, print).requeued == 1
        restored = make_engine(url)
        check_schema(restored)
        with transaction(restored) as connection:
            assert find_principal(connection, key) is not None
        found = rows(
            restored, "SELECT state, lease, checkpoint_step, lost_count, crash_count FROM run WHERE attempt > 0"
        )
        assert found == [("queued", None, 20, 0, 0)]
        assert rows(restored, "SELECT ending FROM attempt") == [("drained",)]
        assert rows(restored, "SELECT name FROM worker") == []
        assert rows(restored, "SELECT DISTINCT xid FROM event WHERE data ->> 'by' <> 'restore'") == [(0,)]
        folders = rows(restored, "SELECT folder FROM checkpoint ORDER BY step")
        assert [open_store(there).sha256(folder) for (folder,) in folders] == [first, second]
        assert all(str(here.checkpoint_dir) + "/" not in folder for (folder,) in folders)
        again = Worker(restored).claim()
        assert (again.attempt, again.start_step) == (2, 20)
        with pytest.raises(Conflict, match="not empty"):
            restore(tmp_path / "backup", there, print)
        restored.dispose()


def test_a_checkpoint_that_is_gone_is_told_and_the_run_falls_back(
    here: Settings, engine: Engine, held: Claim, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    save(engine, here, held, 10)
    save(engine, here, held, 20)
    ((folder,),) = rows(engine, "SELECT folder FROM checkpoint WHERE step = 20")
    open_store(here).remove(folder)
    _, made = back_up(tmp_path / "backup", here, print)
    assert (
        [key.rpartition("/")[2] for key in made.missing] == ["step-20"] == [key.rpartition("/")[2] for key in made.lost]
    )
    with copy_database(postgres, "template1") as url:
        restore(tmp_path / "backup", elsewhere(here, url, tmp_path / "there"), print)
        restored = make_engine(url)
        assert Worker(restored).claim().start_step == 10
        restored.dispose()


def test_a_second_backup_copies_no_file_again(here: Settings, engine: Engine, held: Claim, tmp_path: Path) -> None:
    save(engine, here, held, 10)
    back_up(tmp_path / "backup", here, print)
    (kept,) = (tmp_path / "backup" / "files" / "checkpoints").glob("*/*/*")
    before = kept.stat().st_ino
    back_up(tmp_path / "backup", here, print)
    assert kept.stat().st_ino == before
    assert len(list((tmp_path / "backup").glob("2*/manifest.json"))) == 2


def test_a_folder_without_a_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedBackup, match="holds no backup"):
        restore(tmp_path, Settings(database_url="postgresql+psycopg://nowhere/x"), print)
