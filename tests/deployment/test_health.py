"""The worker's sign of life, and the question that a container's health check asks about it."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from alembic import command

from service.db.session import alembic_config
from service.local.postgres import EmbeddedPostgres
from service.settings import Settings
from worker.health import MAX_AGE_S, problem
from worker.supervisor.claim_loop import Supervisor


def test_a_fresh_sign_of_life_is_well(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    alive.touch()
    assert problem(str(alive), alive.stat().st_mtime + MAX_AGE_S - 1) is None


def test_an_old_sign_of_life_is_told_with_its_age(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    alive.touch()
    assert "75 s old" in (problem(str(alive), alive.stat().st_mtime + 75) or "")


def test_a_worker_that_has_not_reached_postgres_is_not_well(tmp_path: Path) -> None:
    assert "has not reached Postgres" in (problem(str(tmp_path / "alive"), 0) or "")
    assert "SADDLE_ALIVE_FILE" in (problem(None, 0) or "")


def test_the_command_says_so_by_its_exit_status(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    asked = [sys.executable, "-m", "worker.health"]
    environment = os.environ | {"SADDLE_ALIVE_FILE": str(alive)}
    absent = subprocess.run(asked, env=environment, capture_output=True, text=True)
    assert absent.returncode == 1
    assert absent.stderr.startswith("saddle: there is no ")
    alive.touch()
    assert subprocess.run(asked, env=environment, capture_output=True).returncode == 0


def test_asking_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, worker.health; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(found) <= {"worker", "__main__"}


def test_an_answer_from_postgres_renews_the_sign_of_life(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    slot = Supervisor(Settings(database_url="postgresql+psycopg://localhost/none", alive_file=alive))
    try:
        slot.note_contact()
        os.utime(alive, (0, 0))
        slot.note_contact()
        assert problem(str(alive), alive.stat().st_mtime) is None
        assert alive.stat().st_mtime > MAX_AGE_S
    finally:
        slot.engine.dispose()


def test_an_idle_worker_renews_it_at_every_look_that_postgres_answers(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    with tempfile.TemporaryDirectory(prefix="saddle-health-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        with EmbeddedPostgres(Path(name) / "postgres") as postgres:
            command.upgrade(alembic_config(postgres.url), "head")
            slot = Supervisor(Settings(database_url=postgres.url, alive_file=alive, poll_s=0.1, data_dir=tmp_path))
            thread = threading.Thread(target=slot.run)
            thread.start()
            try:
                assert renewed(alive)
                assert renewed(alive)
            finally:
                slot.drain()
                thread.join()


def renewed(alive: Path) -> bool:
    """Make the sign of life old; whether it is fresh again within 20 s."""
    end = time.monotonic() + 20
    if alive.exists():
        os.utime(alive, (0, 0))
    while time.monotonic() < end:
        if alive.exists() and alive.stat().st_mtime > 0:
            return True
        time.sleep(0.02)
    return False
