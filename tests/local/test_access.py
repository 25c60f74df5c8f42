"""Who may reach what a local start runs: the user who started it, by the files that user owns, and nobody else."""

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.db import rights
from service.local import hosts
from service.local.folder import DataFolder
from service.local.postgres import ACCESS, LOGINS, EmbeddedPostgres
from service.local.valkey import EmbeddedValkey
from service.os_account import OsAccount
from tests.fixtures.api import quick

FAST = {"fsync": "off"}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")
TRUST = "local all all trust\n"
TRY = r"""
import os, socket, sys
for path in sys.argv[1:]:
    try:
        if path.endswith(("5432", "sock")):
            socket.socket(socket.AF_UNIX).connect(path)
        else:
            os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
        print(path)
    except OSError:
        pass
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(server: EmbeddedPostgres, user: str, **more: str) -> str:
    """What Postgres says to somebody who comes without a file of passwords."""
    with pytest.raises(psycopg.OperationalError) as error:
        psycopg.connect(host=str(server.socket_folder), user=user, dbname="saddle", passfile="/dev/null", **more)
    return str(error.value)


def whoami(url: str) -> object:
    with psycopg.connect(url.replace("+psycopg", "")) as session:
        row = session.execute("SELECT current_user").fetchone()
    return row[0] if row else None


def test_the_owner_is_the_operator_and_every_other_role_needs_its_password(folder: Path) -> None:
    with EmbeddedPostgres(folder / "pg", conf=FAST) as server:
        assert whoami(server.url) == "saddle"
        for role in LOGINS:
            assert whoami(server.url_for_role(role)) == role
            assert "no password supplied" in refused(server, role)
            assert "password authentication failed" in refused(server, role, password="guess")
        assert "trust" not in (server.data / "pg_hba.conf").read_text()
        words = [line.split(":")[4] for line in server.passwords.read_text().splitlines()]
        assert len(set(words)) == len(LOGINS)
        assert min(map(len, words)) == 48
        assert mode(server.passwords) == 0o600
        assert server.passwords.stat().st_uid == os.geteuid()
        told = [server.log.read_text(), subprocess.run(["ps", "axeww"], capture_output=True, text=True).stdout]
        assert not [word for word in words for text in told if word in text]


def test_the_roles_with_a_password_are_those_that_log_in() -> None:
    assert set(LOGINS) == set(rights.ROLES) - set(rights.NOBODY)


def test_passwords_stay_and_a_lost_file_is_made_anew(folder: Path) -> None:
    with EmbeddedPostgres(folder / "pg", conf=FAST) as server:
        before = server.passwords.read_text()
    with server:
        assert server.passwords.read_text() == before
    server.passwords.unlink()
    with server:
        assert server.passwords.read_text() != before
        assert whoami(server.url_for_role("saddle_api")) == "saddle_api"


@pytest.mark.parametrize("running", [True, False])
def test_a_data_folder_that_trusted_everybody_is_converted(folder: Path, running: bool) -> None:
    """Of an earlier release, whose server may have been left running."""
    server = EmbeddedPostgres(folder / "pg", conf=FAST)
    server.start()
    hba = server.data / "pg_hba.conf"
    hba.write_text(TRUST)
    with psycopg.connect(server.dsn(), autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT 7 AS n")
        session.execute("SELECT pg_reload_conf()")
    server.passwords.unlink()
    if not running:
        server.stop()
    try:
        assert EmbeddedPostgres(folder / "pg", conf=FAST).start() is not running
        assert hba.read_text() == ACCESS
        assert mode(hba) == 0o600
        assert "no password supplied" in refused(server, "saddle_api")
        assert whoami(server.url_for_role("saddle_api")) == "saddle_api"
        with psycopg.connect(server.dsn()) as owner:
            assert owner.execute("SELECT n FROM kept").fetchone() == (7,)
    finally:
        server.stop()


@AS_ROOT
@pytest.mark.parametrize("running", [True, False])
def test_root_takes_over_what_an_earlier_release_ran_as_nobody(
    folder: Path, running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(OsAccount, "for_servers", OsAccount.nobody)
        old = EmbeddedPostgres(folder / "pg", conf=FAST)
        old.start()
        if not running:
            old.stop()
    with EmbeddedPostgres(folder / "pg", conf=FAST) as server:
        owners = {path.lstat().st_uid for path in (server.data, *server.data.rglob("*"), server.socket)}
        assert owners == {server.account.user}
        assert whoami(server.url) == "saddle"


@AS_ROOT
def test_the_account_of_the_servers_is_nobody_elses() -> None:
    uid = OsAccount.for_servers().uid
    assert uid != pwd.getpwnam("nobody").pw_uid
    with pytest.raises(KeyError):
        pwd.getpwuid(uid)


def ask(server: EmbeddedValkey, *commands: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(server.socket))
        connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
        return connection.recv(500).decode()


def test_valkey_answers_only_to_its_password(folder: Path) -> None:
    with EmbeddedValkey(folder / "v") as server:
        assert ask(server, "PING").startswith("-NOAUTH")
        assert ask(server, "AUTH guess").startswith("-WRONGPASS")
        assert server.url_file.read_text() == server.url
        private = [server.url_file, folder / "v" / "password", folder / "v" / "valkey.conf"]
        assert {mode(path) for path in private} == {0o600}
        assert server.password not in subprocess.run(["ps", "axeww"], capture_output=True, text=True).stdout
        assert server.password not in server.log.read_text()


def test_a_valkey_without_a_password_that_was_left_running_gets_one(folder: Path) -> None:
    with EmbeddedValkey(folder / "v") as server:
        ask(server, f"AUTH {server.password}", 'CONFIG SET requirepass ""')
        (folder / "v" / "password").unlink()
        assert ask(server, "PING").startswith("+PONG")
        assert EmbeddedValkey(folder / "v").start() is False
        assert ask(server, "PING").startswith("-NOAUTH")


def test_a_data_folder_of_an_earlier_release_is_closed(folder: Path) -> None:
    data = DataFolder(folder / "data")
    data.path.mkdir()
    for name in ("datasets", "checkpoints", "logs"):
        (data.path / name).mkdir()
        (data.path / name).chmod(0o755)
    for name in ("up.json", "logs/api.log"):
        (data.path / name).write_text("{}")
        (data.path / name).chmod(0o644)
    data.create()
    opened = [path for path in (data.path / "logs", *data.path.rglob("*")) if mode(path) & 0o077]
    assert opened == []


@pytest.fixture
def umask() -> Iterator[None]:
    """That of `run.py up`."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@AS_ROOT
@pytest.mark.usefixtures("umask")
def test_other_accounts_reach_no_socket_and_no_file(folder: Path) -> None:
    data = DataFolder(folder / "data")
    data.create()
    data.write_key("k")
    with EmbeddedPostgres(data.postgres, conf=FAST) as postgres, EmbeddedValkey(data.valkey) as valkey:
        tried = [postgres.socket, valkey.socket, *data.path.rglob("*"), data.path]
        for uid in (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("daemon").pw_uid):
            python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
            done = subprocess.run(
                [python, "-c", TRY, "/", *map(str, tried)],
                user=uid,
                group=uid,
                extra_groups=[],
                capture_output=True,
                text=True,
            )
            assert (done.stdout, done.stderr) == ("/\n", "")  # which shows that it can tell


@pytest.fixture(scope="module")
def local_api(shared_url: str) -> TestClient:
    known = hosts.known_hosts("127.0.0.1")
    return TestClient(create_app(quick(shared_url).model_copy(update={"allowed_hosts": known})))


@pytest.mark.parametrize(("name", "status"), [
    ("127.0.0.1:8000", 200),
    ("localhost", 200),
    ("[::1]:8000", 200),
    (socket.gethostname(), 200),
    ("attacker.example:8000", 421),
    ("localhost.attacker.example", 421),
    ("127.0.0.1.attacker.example", 421),
    ("", 421),
])  # fmt: skip
def test_a_local_start_answers_to_its_own_names(local_api: TestClient, name: str, status: int) -> None:
    with local_api as client:
        assert client.get("/v1/livez", headers={"Host": name}).status_code == status


def test_another_address_widens_the_names_by_itself_and_every_address_by_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosts, "addresses_of", lambda _name: ["192.0.2.7", "2001:db8::1"])
    monkeypatch.setattr(socket, "gethostname", lambda: "Lab")
    assert hosts.known_hosts("127.0.0.1") == "127.0.0.1,localhost,[::1],lab"
    assert hosts.known_hosts("192.0.2.9") == "127.0.0.1,localhost,[::1],lab,192.0.2.9"
    assert hosts.known_hosts("0.0.0.0") == "127.0.0.1,localhost,[::1],lab,0.0.0.0,192.0.2.7,[2001:db8::1]"


@pytest.mark.parametrize(("host", "url"), [
    ("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80"),
    ("192.0.2.9", "http://192.0.2.9:80"), ("2001:db8::1", "http://[2001:db8::1]:80"),
])  # fmt: skip
def test_this_machine_reaches_the_api_at(host: str, url: str) -> None:
    assert hosts.address(host, 80) == url
