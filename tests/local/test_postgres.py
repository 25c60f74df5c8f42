"""The embedded Postgres: one server a folder, whatever happens to it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from service.local import postgres
from service.local.failure import CannotStart
from service.local.folder import PROJECT
from service.local.postgres import EmbeddedPostgres

Run = Callable[..., subprocess.CompletedProcess[str]]
FAST = {"fsync": "off"}
START = """
import sys
from pathlib import Path
from service.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), conf={"fsync": "off"})
print(server.start(), (server.home / "pid").read_text())
"""
HOLDS_THE_LOCK = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(100)
"""
AS_ORDINARY_USER = """
import os, signal, sys, psycopg
from pathlib import Path
from service.local.postgres import EmbeddedPostgres
from service.local.valkey import EmbeddedValkey
assert os.geteuid() != 0
home = Path(sys.argv[1])
with EmbeddedPostgres(home / "postgres") as server, EmbeddedValkey(home / "valkey") as broker:
    with psycopg.connect(server.dsn()) as session:
        session.execute("CREATE TABLE t AS SELECT 1 AS n")
    os.kill(int((server.home / "pid").read_text()), signal.SIGKILL)
    assert server.start()
    with psycopg.connect(server.dsn()) as session:
        print(session.execute("SELECT n FROM t").fetchone()[0], broker.is_ready())
print(server.running, broker.running)
"""


def ask(server: EmbeddedPostgres, question: str) -> object:
    with psycopg.connect(server.dsn()) as session:
        row = session.execute(question).fetchone()
    return row[0] if row else None


def test_a_fresh_folder_becomes_a_server_with_our_database(folder: Path) -> None:
    with EmbeddedPostgres(folder / "pg") as server:
        assert ask(server, "SELECT current_database() || current_user") == "saddlesaddle"
        assert server.running
        assert ask(server, "SHOW fsync") == "on"
    assert not server.running
    assert not server.socket.exists()


def test_no_tcp_port_is_opened_and_other_users_cannot_reach_the_socket(folder: Path) -> None:
    with EmbeddedPostgres(folder / "pg", conf=FAST) as server:
        assert ask(server, "SHOW listen_addresses") == ""
        assert server.socket.stat().st_mode & 0o077 == 0
        assert server.socket_folder.stat().st_mode & 0o077 == 0


def test_settings_can_be_overridden(folder: Path) -> None:
    with EmbeddedPostgres(folder / "pg", conf={**FAST, "work_mem": "7MB"}) as server:
        assert (ask(server, "SHOW fsync"), ask(server, "SHOW work_mem")) == ("off", "7MB")


def test_a_second_start_joins_and_does_not_stop_what_it_did_not_start(folder: Path) -> None:
    with EmbeddedPostgres(folder / "pg", conf=FAST) as first:
        with EmbeddedPostgres(folder / "pg", conf=FAST) as second:
            assert second.url == first.url
            assert second.start() is False
        assert ask(first, "SELECT 1") == 1


@pytest.mark.parametrize("fresh", [True, False])
def test_six_starters_at_once_end_as_one_server(folder: Path, fresh: bool) -> None:
    home = folder / "pg"
    if not fresh:
        with EmbeddedPostgres(home, conf=FAST):
            pass
    starters = [
        subprocess.Popen([sys.executable, "-c", START, str(home)], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    answers = [starter.communicate(timeout=120)[0].split() for starter in starters]
    server = EmbeddedPostgres(home, conf=FAST)
    try:
        assert sorted(answer[0] for answer in answers) == ["False"] * 5 + ["True"]
        assert len({answer[1] for answer in answers}) == 1
        assert ask(server, "SELECT 1") == 1
    finally:
        server.stop()


def test_a_killed_server_starts_again_at_once_and_has_lost_nothing(folder: Path) -> None:
    home = folder / "pg"
    with EmbeddedPostgres(home) as server:
        writer = psycopg.connect(server.dsn(), autocommit=True)
        writer.execute("CREATE TABLE t AS SELECT generate_series(1, 100000) AS n")
        os.kill(int((home / "pid").read_text()), signal.SIGKILL)
        again = EmbeddedPostgres(home)  # knows nothing of the killed process, like the next `up`
        assert again.start() is True
        writer.close()
        assert ask(again, "SELECT count(*) FROM t") == 100000
    assert not again.running


def test_a_server_left_by_a_killed_starter_is_joined_and_can_be_stopped(folder: Path) -> None:
    home = folder / "pg"
    subprocess.run([sys.executable, "-c", START, str(home)], cwd=PROJECT, check=True, capture_output=True)
    server = EmbeddedPostgres(home, conf=FAST)
    assert server.start() is False
    server.stop()
    assert not server.running


def test_a_stale_pid_file_that_names_a_living_process_misleads_nobody(folder: Path) -> None:
    home = folder / "pg"
    with EmbeddedPostgres(home, conf=FAST):
        pass
    bystander = subprocess.Popen(
        ["sleep", "100"], user=EmbeddedPostgres(home).account.user, group=EmbeddedPostgres(home).account.group
    )
    try:
        stale = f"{bystander.pid}\n{home / 'data'}\n1\n5432\n{home / 's'}\n\n  1 1\nready   \n"
        (home / "data" / "postmaster.pid").write_text(stale)
        (home / "s" / ".s.PGSQL.5432.lock").write_text(stale)
        with EmbeddedPostgres(home, conf=FAST) as server:
            assert ask(server, "SELECT 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("name", ["with a space", "ünïcode, 100% & 'quoted'", "long" * 50])
def test_any_path_will_do(folder: Path, name: str) -> None:
    with EmbeddedPostgres(folder / name / "pg", conf=FAST) as server:
        with psycopg.connect(server.url.replace("+psycopg", "")) as session:
            assert session.execute("SELECT 1").fetchone() == (1,)
        socket_folder = server.socket_folder
    if socket_folder.parent == Path("/tmp"):
        socket_folder.rmdir()


def test_a_path_that_is_too_long_is_refused_with_a_sentence(folder: Path) -> None:
    with pytest.raises(CannotStart, match=r"allows 900; choose a shorter one with --data"):
        EmbeddedPostgres(folder.joinpath(*["x" * 200] * 5)).start()
    with pytest.raises(CannotStart, match=r"too long for this system"):
        EmbeddedPostgres(folder / ("x" * 300)).start()


def test_data_of_another_major_version_are_refused(folder: Path) -> None:
    home = folder / "pg"
    with EmbeddedPostgres(home, conf=FAST):
        pass
    (home / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(CannotStart, match=r"written by Postgres 17, but .* is 18.*SADDLE_POSTGRES_BIN"):
        EmbeddedPostgres(home, conf=FAST).start()


def test_a_creation_that_was_interrupted_is_done_again(folder: Path) -> None:
    (folder / "pg" / "data.new").mkdir(parents=True)
    (folder / "pg" / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder / "pg", conf=FAST) as server:
        assert ask(server, "SELECT 1") == 1


def test_a_setting_postgres_does_not_know_is_told_in_its_own_words(folder: Path) -> None:
    with pytest.raises(CannotStart, match=r'did not start: .*unrecognized configuration parameter "no_such"'):
        EmbeddedPostgres(folder / "pg", conf={**FAST, "no_such": "1"}).start()
    assert not EmbeddedPostgres(folder / "pg").running


def test_a_folder_without_postgres_in_the_setting_is_refused(folder: Path) -> None:
    with pytest.raises(CannotStart, match=r"SADDLE_POSTGRES_BIN=.* has no Postgres 16 or newer"):
        EmbeddedPostgres(folder / "pg", binaries=folder).start()


def test_the_search_goes_from_the_wheel_to_installed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert postgres.major_version(next(postgres.binary_candidates())) == 18
    monkeypatch.setattr(postgres.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(postgres, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CannotStart, match="no Postgres 16 or newer was found"):
        EmbeddedPostgres(Path("/nonexistent"))._find_binaries()


def test_a_socket_folder_of_somebody_else_is_refused(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", conf=FAST)
    (folder / "pg").mkdir()
    (folder / "elsewhere").mkdir()
    server.socket_folder.symlink_to(folder / "elsewhere")
    with pytest.raises(CannotStart, match="belongs to another user"):
        server.start()


def test_root_copies_programs_that_nobody_can_reach_and_opens_no_folder(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg", conf=FAST)
    closed = folder / "closed"
    package = next(postgres.binary_candidates()).parents[1]
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, closed / part.name, symlinks=True)
    closed.chmod(0o700)
    server.binaries = closed / package.name / "pginstall" / "bin"
    with server:
        assert ask(server, "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700
    copied = list((folder / "pg").glob("programs-*"))
    assert len(copied) == (1 if os.geteuid() == 0 else 0)
    with server:  # a warm start copies nothing
        assert list((folder / "pg").glob("programs-*")) == copied


def test_a_data_folder_that_nobody_can_reach_is_refused_and_left_closed(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    server = EmbeddedPostgres(folder / "closed" / "pg", conf=FAST)
    if os.geteuid() == 0:
        with pytest.raises(CannotStart, match=r"its own account \(uid 61000\) cannot reach .*--data"):
            server.start()
    else:
        with server:
            assert ask(server, "SELECT 1") == 1
    assert (folder / "closed").stat().st_mode & 0o777 == 0o700


def test_an_ordinary_user_gets_the_same(home: Path, as_ordinary_user: Run) -> None:
    done = as_ordinary_user("-c", AS_ORDINARY_USER, str(home))
    assert (done.stdout.split(), done.stderr) == (["1", "True", "False", "False"], "")


def test_a_start_that_cannot_succeed_ends_in_time(folder: Path) -> None:
    """Somebody else holds the server's lock and never answers."""
    server = EmbeddedPostgres(folder / "pg", conf=FAST)
    (folder / "pg").mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS_THE_LOCK, str(folder / "pg" / "server.lock")], stdout=subprocess.PIPE
    )
    assert holder.stdout
    holder.stdout.readline()
    began = time.monotonic()
    with pytest.raises(CannotStart, match="neither answers nor ends"):
        server.start(timeout=0.5)
    assert time.monotonic() - began < 5
    holder.kill()
    holder.communicate()
