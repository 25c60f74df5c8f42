"""The whole local start, with stand-ins for what it runs; servers, signals and files are real."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.local.commands import read_devices, worker_programs
from service.local.folder import PROJECT, DataFolder
from service.local.port import find_free_port
from service.local.up import FIRST_SPEC
from service.spec.experiment import Experiment

STAND_IN = """
import http.server, json, os, pathlib, signal, sys, time
what, data = sys.argv[1], pathlib.Path(os.environ["SADDLE_DATA_DIR"])

def note(text):
    with open(data / "notes", "a") as file:
        file.write(text + "\\n")

def end(*_):
    note(f"{what} ended")
    os._exit(0)

signal.signal(signal.SIGTERM, end)
if what == "migrate":
    if "BROKEN" in os.environ:
        sys.exit("saddle: the schema is from the future")
    if "host=" in os.environ["SADDLE_DATABASE_URL"]:
        import psycopg
        with psycopg.connect(os.environ["SADDLE_DATABASE_URL"].replace("+psycopg", "")) as session:
            session.execute("CREATE TABLE IF NOT EXISTS visit AS SELECT now()")
elif what == "key":
    note("key " + " ".join(sys.argv[2:4]))
    print(f"sk_{time.monotonic_ns()}")
elif what == "devices":
    print(json.dumps(["cpu"]))
elif what == "worker":
    note("worker " + " ".join(os.environ[f"SADDLE_{name}"] for name in ("POOL", "DEVICES", "WORKER_NAME")))
    time.sleep(1000)
elif what == "api":
    if "BROKEN_API" in os.environ:
        sys.exit("no such route")
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            self.send_response(401 if key and key == os.environ.get("UNKNOWN_KEY") else 200)
            self.end_headers()
            known = [] if "FORGETFUL" in os.environ else [{"state": "idle"}] * 9
            self.wfile.write(json.dumps({"items": known}).encode())
    broker = os.environ.get("SADDLE_BROKER_URL") or pathlib.Path(os.environ["SADDLE_BROKER_URL_FILE"]).read_text()
    note("api " + broker.partition(":")[0])
    http.server.ThreadingHTTPServer((sys.argv[3], int(sys.argv[5])), Handler).serve_forever()
"""
START = """
import sys
from service.local import __main__ as command, up
from service.local.commands import Commands
names = ("migrate", "key", "api", "worker", "devices")
commands = Commands(**{name: [sys.executable, sys.argv[1], name] for name in names})
options = up.Options
command.Options = lambda *given: options(*given, commands=commands)
sys.exit(command.main(sys.argv[2:]))
"""


class Machine:
    """A data folder, a port and the commands of run.py on them."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._stand_in = folder / "stand_in.py"
        self._stand_in.write_text(STAND_IN)
        self._running: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", START, str(self._stand_in), *arguments, "--data", str(self.data)]

    def up(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command("up", "--port", str(self.port), *arguments),
            cwd=PROJECT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._running.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=PROJECT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def facts(self) -> dict[str, object]:
        path = self.data / "up.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def ready(self) -> bool:
        return self.facts().get("state") == "ready" and "worker" in self.notes()

    def notes(self) -> str:
        path = self.data / "notes"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=60)
        self.run("down")


@pytest.fixture
def machine(folder: Path) -> Iterator[Machine]:
    machine = Machine(folder)
    yield machine
    machine.close()


def wait(fact: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def test_up_prints_address_key_and_a_line_to_paste_and_ends_in_order(machine: Machine) -> None:
    running = machine.up("--workers", "2")
    wait(lambda: machine.ready() and "worker-1" in machine.notes())
    running.send_signal(signal.SIGINT)
    printed = running.communicate(timeout=60)[0]
    key = (machine.data / "key").read_text().strip()
    assert running.returncode == 0
    assert "Saddle is ready after" in printed
    assert f"shown only this once and stored in {machine.data / 'key'}: {key}" in printed
    assert f"export SADDLE_URL={machine.url}\n" in printed
    assert "curl -sS $SADDLE_URL/v1/experiments" in printed
    assert f"The page, signed in: {machine.url}/#key={key}\n" in printed
    assert printed.count(key) == 2
    assert (machine.data / "key").stat().st_mode & 0o777 == 0o600
    notes = machine.notes().splitlines()
    assert notes[0] == "key --project default"
    assert notes[1] == "api redis+socket"
    assert notes[2:] == ["worker cpu cpu,cpu worker-1", "worker ended", "api ended"]
    assert machine.run("status").returncode == 1


def test_the_line_to_paste_posts_a_spec_that_is_valid() -> None:
    assert Experiment.model_validate_json(FIRST_SPEC).total_steps > 0
    assert shlex.split(shlex.quote(FIRST_SPEC)) == [FIRST_SPEC]


def test_a_second_up_names_the_running_one_and_down_ends_it(machine: Machine) -> None:
    first = machine.up()
    wait(machine.ready)
    second = machine.run("up", "--port", str(machine.port))
    assert second.returncode == 0
    assert second.stdout == f"Saddle is already running: {machine.url} (process {first.pid}, data in {machine.data})\n"
    status = machine.run("status")
    assert status.returncode == 0
    assert all(part in status.stdout for part in (machine.url, "Postgres: ready", "Valkey: ready", "api: process"))
    down = machine.run("down")
    assert (down.returncode, down.stdout.splitlines()[-1]) == (0, "Saddle has stopped")
    assert first.wait(timeout=10) == 0
    assert machine.run("down").stdout == f"Saddle is not running on {machine.data}\n"


def test_later_starts_keep_the_key_and_say_where_it_is(machine: Machine) -> None:
    for _ in range(2):
        running = machine.up()
        wait(machine.ready)
        machine.run("down")
        printed = running.communicate(timeout=60)[0]
        (machine.data / "notes").rename(machine.data / "notes.before")
    assert f"API key: as before, stored in {machine.data / 'key'}" in printed
    assert (machine.data / "key").read_text().strip() not in printed


def test_a_key_the_database_does_not_know_is_made_anew(machine: Machine) -> None:
    folder = DataFolder(machine.data)
    folder.create()
    folder.write_key("sk_old")
    running = machine.up(UNKNOWN_KEY="sk_old")
    wait(machine.ready)
    machine.run("down")
    assert folder.read_key() != "sk_old"
    assert str(folder.read_key()) in running.communicate()[0]


def test_after_a_killed_up_the_next_one_goes_on_and_down_clears_up(machine: Machine) -> None:
    first = machine.up()
    wait(machine.ready)
    first.kill()
    first.communicate()
    status = machine.run("status")
    assert status.returncode == 1
    assert "Postgres is still running, left behind by a killed start" in status.stdout
    (machine.data / "notes").unlink()
    second = machine.up()
    wait(machine.ready)
    second.kill()
    assert "Postgres: already running, joined" in second.communicate()[0]
    assert "stopped Postgres, left behind by a killed start" in machine.run("down").stdout
    assert "still running" not in machine.run("status").stdout


def test_an_api_and_a_postgres_that_are_killed_come_back(machine: Machine) -> None:
    running = machine.up()
    wait(machine.ready)
    api = machine.facts()["children"]["api"]  # type: ignore[index]
    os.kill(api, signal.SIGKILL)
    wait(lambda: machine.facts()["children"]["api"] not in (api, None))  # type: ignore[index]
    pid = (machine.data / "postgres" / "pid").read_text()
    os.kill(int(pid), signal.SIGKILL)
    wait(lambda: (machine.data / "postgres" / "pid").read_text() != pid)
    machine.run("down")
    printed = running.communicate()[0]
    assert "api ended (SIGKILL); restarting it now" in printed
    assert "Postgres has died; restarting it" in printed


def test_servers_whose_urls_are_given_are_not_started_and_workers_that_stay_unknown_are_waited_for_10_s(
    machine: Machine,
) -> None:
    elsewhere = {"SADDLE_DATABASE_URL": "postgresql+psycopg://elsewhere/x", "SADDLE_BROKER_URL": "redis://elsewhere"}
    machine.up(**elsewhere, FORGETFUL="1")
    wait(machine.ready)
    assert not (machine.data / "postgres").exists()
    assert not (machine.data / "valkey").exists()
    assert "api redis\n" in machine.notes()


def test_a_taken_port_is_one_sentence_with_a_free_one(machine: Machine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", machine.port))
        other.listen()
        refused = machine.run("up", "--port", str(machine.port))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"saddle: port {machine.port} is in use by another program; choose a free one")
    assert len(refused.stderr.splitlines()) == 1
    assert "--port" in refused.stderr


def test_a_failing_migration_is_one_sentence_and_leaves_nothing_running(machine: Machine) -> None:
    refused = machine.run("up", "--port", str(machine.port), BROKEN="1")
    assert refused.returncode == 1
    assert "updating the database schema failed: the schema is from the future" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "still running" not in machine.run("status").stdout


def test_an_api_that_never_becomes_ready_is_one_sentence(machine: Machine) -> None:
    refused = machine.run("up", "--port", str(machine.port), BROKEN_API="1")
    assert refused.returncode == 1
    assert refused.stderr.startswith("saddle: the API did not become ready: no such route")


def test_ctrl_c_during_the_start_leaves_nothing_running(machine: Machine) -> None:
    running = machine.up()
    wait(lambda: (machine.data / "postgres").exists())
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert machine.run("status").stdout == f"Saddle is not running on {machine.data}\n"


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["--port", "0"], "'0' is not a port; give a number from 1 to 65535"),
    (["--port", "http"], "'http' is not a port"),
    (["--workers", "-1"], "'-1' is not a number of workers"),
])  # fmt: skip
def test_wrong_arguments_name_the_range(machine: Machine, arguments: list[str], sentence: str) -> None:
    refused = machine.run("up", *arguments)
    assert refused.returncode == 2
    assert sentence in refused.stderr


def test_a_data_folder_that_cannot_be_made_is_one_sentence(machine: Machine) -> None:
    machine.data.write_text("a file")
    refused = machine.run("up", "--port", str(machine.port))
    machine.data.unlink()
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"saddle: the folder {machine.data} cannot be used (")
    assert len(refused.stderr.splitlines()) == 1


def test_the_data_folder_is_the_given_one_then_the_setting() -> None:
    setting = {"SADDLE_DATA": "/srv/setting"}
    assert DataFolder.locate(Path("given"), setting).path == Path.cwd() / "given"
    assert DataFolder.locate(None, setting).path == Path("/srv/setting")
    assert DataFolder.locate(None, {}).path in (PROJECT / ".saddle", Path("/var/lib/saddle"))


@pytest.mark.parametrize(("printed", "devices"), [
    ('["cuda:0", "cuda:1"]\n', ["cuda:0", "cuda:1"]),
    ('a warning of torch\n["cpu"]\n', ["cpu"]),
    ("", ["cpu"]),
    ("[]", ["cpu"]),
    ('["/etc"]', ["cpu"]),
])  # fmt: skip
def test_devices_are_read_and_there_always_is_a_cpu(printed: str, devices: list[str]) -> None:
    assert read_devices(printed) == devices


@pytest.mark.parametrize(("devices", "slots", "workers"), [
    (["cpu"], None, [("cpu", "cpu", "worker-1")]),
    (["cuda:0", "cuda:1"], 3, [("gpu", "cuda:0,cuda:1,cuda:0", "worker-1")]),
    (["0", "cpu", "1+2"], None, [("gpu", "0,1+2", "worker-1"), ("cpu", "cpu", "worker-2")]),
    (["cpu"], 0, []),
])  # fmt: skip
def test_each_pool_has_one_worker_with_a_slot_for_each_device(
    devices: list[str], slots: int | None, workers: list[tuple[str, ...]]
) -> None:
    from service.local.commands import Commands, count_slots

    programs = worker_programs(Commands(), devices, slots, {})
    names = ("POOL", "DEVICES", "WORKER_NAME")
    assert [tuple(program.environment[f"SADDLE_{name}"] for name in names) for program in programs] == workers
    assert count_slots(programs) == (len(devices) if slots is None else slots)
