"""Readers of uploads as real processes: what hostile files are told, and what is left of them in the API."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from service.errors import Invalid, Unavailable
from service.ingest import inspect_file
from service.ingest.reader import ReadLimits
from service.process import file_readers
from service.process.file_readers import FileReaders
from service.spec.datasets.report import Report
from tests.fixtures.hostile_files import HOSTILE, slow_lines
from tests.harness.waiting import until

LIMITS = ReadLimits(unpacked_bytes=2**28, cells=15_000_000, cpu_s=60, memory_bytes=3 * 2**27)


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def readers(portal: BlockingPortal) -> Iterator[FileReaders]:
    made = portal.call(FileReaders, LIMITS)
    yield made
    made.close()


def asked(path: Path, name: str = "a") -> dict[str, Any]:
    return {"path": str(path), "format": None, "name": name, "header": None}


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "content"
    path.write_bytes(content)
    return path


def code_of(portal: BlockingPortal, readers: FileReaders, path: Path, name: str = "a") -> str:
    with pytest.raises(Invalid) as caught:
        portal.call(readers.read, "prj", asked(path, name))
    (problem,) = caught.value.problems
    assert problem.detail.endswith(".")
    return problem.code


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_reader_finds_what_this_process_would_find(
    portal: BlockingPortal, readers: FileReaders, tmp_path: Path
) -> None:
    path = written(tmp_path, b"x,kind\n1.5,a\n,b\n")
    report = portal.call(readers.read, "prj", asked(path))
    assert report == inspect_file(path)
    assert report.columns[0].missing_rows == (2,)


@pytest.mark.parametrize("trick", HOSTILE)
def test_a_hostile_file_is_refused_by_a_code_and_costs_the_api_nothing(
    trick: str, portal: BlockingPortal, readers: FileReaders, tmp_path: Path
) -> None:
    make, codes = HOSTILE[trick]
    path = written(tmp_path, make())
    name = "a.txt" if trick.startswith("text") else "a"
    before, peak, over = memory(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            peak.append(memory())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        assert code_of(portal, readers, path, name) in codes
    finally:
        over.set()
        watching.join()
    assert max(peak) - before < 30 * 2**20
    assert portal.call(readers.read, "prj", asked(written(tmp_path, b"x,y\n1,2\n"))).rows == 1


def test_a_wide_file_takes_time_by_its_bytes_and_not_by_its_cells(
    portal: BlockingPortal, readers: FileReaders, tmp_path: Path
) -> None:
    """20,000 lines of {} under 10,000 keys took 17 minutes of a core; now most of it is for the line of keys."""
    lines = list(slow_lines())
    few, many = tmp_path / "few", tmp_path / "many"
    few.write_bytes(b"".join(lines[:20]))
    many.write_bytes(b"".join(lines[:4_000]))
    began = time.monotonic()
    assert portal.call(readers.read, "prj", asked(few)).rows == 20
    between = time.monotonic()
    report = portal.call(readers.read, "prj", asked(many))
    assert time.monotonic() - between < 3 * (between - began) + 1
    assert (report.rows, report.columns[9].missing, report.columns[9].missing_rows) == (4_000, 3_999, (2, 3, 4, 5, 6))


def test_time_that_a_file_takes_is_limited_and_named(portal: BlockingPortal, tmp_path: Path) -> None:
    path = written(tmp_path, b"x\n" + b"1.5\n" * 40_000_000)
    readers = portal.call(FileReaders, ReadLimits(cpu_s=1))
    try:
        assert code_of(portal, readers, path) == "too_slow"
    finally:
        readers.close()


def test_a_reader_that_is_killed_refuses_its_file_and_is_replaced(
    portal: BlockingPortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []

    class Told(file_readers.ReaderProcess):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    monkeypatch.setattr(file_readers, "ReaderProcess", Told)
    readers = portal.call(FileReaders, LIMITS)
    try:
        slow = written(tmp_path, b"x\n" + b"1\n" * 14_000_000)
        reading = portal.start_task_soon(readers.read, "prj", asked(slow))
        until(lambda: started and children(started[0].pid))
        os.killpg(started[0].pid, signal.SIGKILL)
        with pytest.raises(Invalid) as caught:
            reading.result(30)
        assert caught.value.problems[0].code == "too_much_memory"
        assert portal.call(readers.read, "prj", asked(written(tmp_path, b"x\n1\n"))).rows == 1
        assert len(started) == 2
    finally:
        readers.close()


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_one_project_leaves_a_reader_to_the_others(
    portal: BlockingPortal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = portal.call(FileReaders, LIMITS)
    held, let_go = [], threading.Event()

    def ask(_: Any, request: dict[str, Any]) -> Report:
        held.append(request["name"])
        if request["name"].startswith("slow"):
            let_go.wait(30)
        return Report(format="text", rows=1)

    monkeypatch.setattr(readers, "_ask", ask)
    try:
        slow = [portal.start_task_soon(readers.read, "one", asked(tmp_path, f"slow{i}")) for i in range(3)]
        until(lambda: len(held) == 1)
        assert portal.call(readers.read, "other", asked(tmp_path, "quick")).rows == 1
        assert held == ["slow0", "quick"]
        monkeypatch.setattr(file_readers, "WAIT_S", 0.05)
        with pytest.raises(Unavailable):
            portal.call(readers.read, "one", asked(tmp_path, "late"))
        let_go.set()
        assert [each.result(30).rows for each in slow] == [1, 1, 1]
    finally:
        let_go.set()
        readers.close()


def test_a_reader_knows_no_secret_and_ends_with_its_api(tmp_path: Path) -> None:
    code = (
        "import anyio, os, sys\nfrom service.ingest.reader import ReadLimits\n"
        "from service.process.file_readers import FileReaders\n"
        "async def main():\n"
        "    readers = FileReaders(ReadLimits()); readers.prepare()\n"
        "    print(readers._idle[0].pid, flush=True)\n"
        "    await readers.read('p', {'path': sys.argv[1], 'format': None, 'name': 'a', 'header': None})\n"
        "anyio.run(main)\n"
    )
    path = written(tmp_path, b"x\n" + b"1\n" * 50_000_000)
    environment = {**os.environ, "SADDLE_DATABASE_URL": "canary-5821", "AWS_SECRET_ACCESS_KEY": "canary-5822"}
    api = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, env=environment)
    assert api.stdout is not None
    reader = int(api.stdout.readline())
    try:
        until(lambda: children(reader))
        (fork,) = children(reader)
        for pid in (reader, fork):
            assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
        until(lambda: re.search("^Max cpu time +240 ", Path(f"/proc/{fork}/limits").read_text(), re.MULTILINE))
    finally:
        api.kill()
        api.wait()
        api.stdout.close()
    until(lambda: not Path(f"/proc/{reader}").exists() and not Path(f"/proc/{fork}").exists())


def test_what_a_reader_cannot_do_is_logged_without_the_files_content(tmp_path: Path) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-m", "service.ingest.reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    request = asked(tmp_path / "canary-missing") | {"limits": vars(LIMITS)}
    with asking:
        assert asking.stdin is not None
        assert asking.stdout is not None
        assert asking.stderr is not None
        asking.stdin.write(json.dumps(request).encode() + b"\n")
        asking.stdin.flush()
        assert asking.stdout.readline() == b"\n"
        assert asking.stdout.readline() == b"END 1024\n", "exit status 4, as waitpid tells it"
        asking.stdin.close()
        err = asking.stderr.read()
    assert b"FileNotFoundError" in err
    assert b"canary" not in err


def test_a_reader_waits_on_no_event_loop_of_the_api(
    portal: BlockingPortal, readers: FileReaders, tmp_path: Path
) -> None:
    path = written(tmp_path, b"x\n" + b"1\n" * 10_000_000)

    async def ticks() -> float:
        worst, reading = 0.0, True

        async def read() -> None:
            nonlocal reading
            await readers.read("prj", asked(path))
            reading = False

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            while reading:
                began = time.monotonic()
                await anyio.sleep(0.01)
                worst = max(worst, time.monotonic() - began)
        return worst

    assert portal.call(ticks) < 1.0
