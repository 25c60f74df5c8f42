"""Garbage: what nothing names and is old goes, everything else stays."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from service.admin.gc import collect
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.session import transaction
from service.lifecycle import State
from service.settings import Settings
from service.spec.parse.presets import presets
from tests.fixtures.api import Worker

DAYS_2 = 2 * 86400


def put(path: Path, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    for each in (path, path.parent):
        os.utime(each, (time.time() - age_s,) * 2)
    return path


@pytest.fixture
def here(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path)


def test_old_files_that_nothing_names_go_and_all_others_stay(
    here: Settings, engine: Engine, principal: Principal, worker: Worker
) -> None:
    with transaction(engine) as connection:
        for _ in range(2):
            experiments.add(connection, principal, next(iter(presets().values())), "cpu")
    ended, running = worker.claim(), worker.claim()
    worker.finish(ended, state=State.CANCELLED)
    of_ended, of_running = (
        here.checkpoint_dir / held.run_id / f"a{held.attempt}-{held.lease[:8]}" for held in (ended, running)
    )
    gone = put(of_ended / "step-10" / "state.json", DAYS_2)
    upload = put(here.dataset_dir / ("a" * 64) / "content", DAYS_2)
    partial = put(here.dataset_dir / ".incoming" / "old", DAYS_2)
    stay = [
        put(of_ended / "step-20" / "state.json", 60),
        put(of_running / "step-10" / "state.json", DAYS_2),
        put(here.checkpoint_dir / f"run_{'0' * 26}" / "a1-00000000" / "step-1" / "state.json", DAYS_2),
        put(here.dataset_dir / ("b" * 64) / "content", 60),
        put(here.dataset_dir / ".incoming" / "new", 60),
    ]
    found = collect(here, delete=False)
    assert [key.rpartition("/")[2] for key in found.checkpoints] == ["step-10"]
    assert (found.uploads, found.partial) == (["a" * 64], [partial])
    assert all(path.exists() for path in (gone, upload, partial))
    collect(here, delete=True)
    assert not any(path.exists() for path in (gone, upload, partial))
    assert all(path.exists() for path in stay)


def test_rows_past_their_time_are_counted_and_deleted(here: Settings, engine: Engine) -> None:
    row = (
        "INSERT INTO sign_in_failure (subject, count, last_at)"
        " VALUES (:who, 1, clock_timestamp() - cast(:age AS interval))"
    )
    with transaction(engine) as connection:
        connection.execute(text(row), [{"who": "old", "age": "2 days"}, {"who": "new", "age": "1 hour"}])
    what = "failed sign-ins of over a day ago"
    assert collect(here, delete=False).rows[what] == 1
    assert collect(here, delete=True).rows[what] == 1
    assert collect(here, delete=False).rows[what] == 0
