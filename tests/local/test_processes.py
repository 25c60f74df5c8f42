"""Children: started again when they die, ended in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.local.processes import Child, Children, Program, restart_delay_s, rotate_log

SLEEPER = "import time; print('up', flush=True); time.sleep(100)"
NOTES_ITS_END = """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(float(sys.argv[3]))
    with open(sys.argv[1], 'a') as file: file.write(sys.argv[2] + ' ')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('up', flush=True)
while True: time.sleep(1)
"""


def python(name: str, code: str, *arguments: str, grace: float = 10.0) -> Program:
    return Program(name, [sys.executable, "-c", code, *arguments], {"GREETING": "hello"}, grace)


def wait(fact: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def said_up(child: Child) -> bool:
    return child.log.exists() and "up" in child.log.read_text()


def test_a_killed_child_is_started_again_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    children = Children(tmp_path, tmp_path, said.append)
    (child,) = children.start([python("api", SLEEPER)])
    first = child.pid
    assert first
    os.kill(first, signal.SIGKILL)
    wait(lambda: children.restart_dead() or (child.pid and child.pid != first))
    children.stop()
    assert said[0].startswith("api ended (SIGKILL); restarting it now")


def test_the_pauses_between_starts_grow_up_to_half_a_minute() -> None:
    assert [restart_delay_s(deaths) for deaths in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_child_that_keeps_dying_is_not_started_in_a_tight_loop(tmp_path: Path) -> None:
    children = Children(tmp_path, tmp_path, lambda _: None)
    (child,) = children.start([python("api", "print('tried', flush=True)")])
    died: list[float] = []  # when the first, second, ... death was noticed
    while len(died) < 3:
        now = time.monotonic()
        children.restart_dead()
        died += [now] * (child.deaths - len(died))
        time.sleep(0.02)
    children.stop()
    assert child.log.read_text().count("tried") == 3  # at 0, at once, after 1 s
    assert died[2] - died[1] >= 1


def test_output_and_errors_go_to_the_log_and_the_environment_reaches_the_child(tmp_path: Path) -> None:
    children = Children(tmp_path, tmp_path, lambda _: None)
    code = "import os, sys, time; print(os.environ['GREETING']); sys.exit('sad')"
    (child,) = children.start([python("worker-cuda:0", code)])
    wait(child.has_ended)
    assert child.log == tmp_path / "worker-cuda-0.log"
    assert child.log.read_text().split() == ["hello", "sad"]


def test_the_group_started_last_has_ended_before_the_next_one_is_asked(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    children = Children(tmp_path, tmp_path, lambda _: None)
    api = children.start([python("api", NOTES_ITS_END, str(notes), "api", "0")])
    workers = children.start([python(f"w{n}", NOTES_ITS_END, str(notes), "worker", "0.5") for n in (1, 2)])
    wait(lambda: all(said_up(child) for child in [*api, *workers]))
    began = time.monotonic()
    children.stop()
    assert notes.read_text().split() == ["worker", "worker", "api"]
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("force", [True, False])
def test_one_that_does_not_listen_is_killed_after_its_grace_or_when_hurried(tmp_path: Path, force: bool) -> None:
    said: list[str] = []
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(100)"
    )
    children = Children(tmp_path, tmp_path, said.append)
    (child,) = children.start([python("worker", deaf, grace=100.0 if force else 0.3)])
    wait(lambda: said_up(child))
    children.stop(lambda: force)
    assert child.has_ended()
    assert said == ["worker did not end in time: killing it"]


def test_a_child_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time, pathlib
from service.local.processes import Children, Program
here = pathlib.Path({str(tmp_path)!r})
children = Children(here, here, print)
(child,) = children.start([Program("api", [sys.executable, "-c", {SLEEPER!r}])])
print(child.pid, flush=True)
time.sleep(100)
"""
    project = Path(__file__).resolve().parents[2]
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=project, stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.communicate()
    if sys.platform.startswith("linux"):
        wait(lambda: not Path(f"/proc/{pid}").exists())
    else:
        os.kill(pid, signal.SIGTERM)


def test_a_log_that_grew_large_is_set_aside_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.local.processes.LOG_BYTES", 10)
    log, aside = tmp_path / "api.log", tmp_path / "api.log.1"
    with log.open("ab", buffering=0) as open_log:
        open_log.write(b"x" * 10)
        rotate_log(log)
        assert not aside.exists()
        open_log.write(b"x")
        rotate_log(log)
        assert (log.read_text(), aside.read_text()) == ("", "x" * 11)
        open_log.write(b"y" * 12)
        assert log.read_text() == "y" * 12, "no hole before it"
        rotate_log(log)
    assert (log.read_text(), aside.read_text()) == ("", "y" * 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.log", "api.log.1"]
