"""What is said of a trainer's speed and appetite: arithmetic over two looks, one a while, one a step at most."""

import os
import time
from pathlib import Path

import pytest

from worker.protocol import SeriesHeader, SystemUsage
from worker.supervisor.usage import UsageSampler, cpu_s, resident_bytes


def points(first: int, n: int) -> list[SeriesHeader]:
    return [{"name": name, "first": first, "every": 1, "n": n} for name in ("lr", "loss")]


def values_of(usage: SystemUsage | None) -> dict[str, float]:
    assert usage is not None
    return usage["values"]


def process(folder: Path, cpu_s: float, pages: int) -> None:
    """As Linux shows process 7."""
    ticks = round(cpu_s * os.sysconf("SC_CLK_TCK"))
    (folder / "7").mkdir(exist_ok=True)
    (folder / "7" / "stat").write_text(f"7 (a trainer) R {' '.join('0' * 10)} {ticks - 3} 3 0 0\n")
    (folder / "7" / "statm").write_text(f"99999 {pages} 5 1 0 1 0\n")


def test_looks_are_taken_after_two_seconds_and_then_as_often_as_asked(tmp_path: Path) -> None:
    usage = UsageSampler(7, 10.0, tmp_path)
    usage.begin(rows_per_step=32)
    process(tmp_path, 1.0, 10)
    assert usage.sample(points(1, 1), 100.0) is None
    assert usage.sample(points(2, 10), 101.9) is None
    process(tmp_path, 3.0, 20)
    expected = {"steps_per_s": 25.0, "samples_per_s": 800.0, "cpu_percent": 100.0}
    expected["host_memory_bytes"] = 20 * os.sysconf("SC_PAGE_SIZE")
    values = {f"system/{name}": value for name, value in expected.items()}
    assert usage.sample(points(12, 40), 102.0) == {"step": 51, "values": values}
    assert usage.sample(points(52, 1), 111.9) is None
    assert values_of(usage.sample(points(52, 1), 112.0))["system/steps_per_s"] == 0.1


def test_without_a_step_there_is_no_point(tmp_path: Path) -> None:
    usage = UsageSampler(7, 1.0, tmp_path)
    usage.begin(8)
    assert usage.sample(points(5, 1), 0.0) is None
    assert usage.sample([{"name": "val/loss", "first": 9, "every": 1, "n": 1}], 5.0) is None
    assert usage.sample(points(5, 1), 6.0) is None
    assert usage.sample(points(6, 1), 7.0) is not None


def test_another_attempt_starts_anew_and_a_gpu_is_told_of_where_there_is_one(tmp_path: Path) -> None:
    usage = UsageSampler(7, 1.0, tmp_path)
    usage.begin(8)
    usage.sample(points(500, 1), 0.0)
    usage.device_values = {"device_memory_bytes": 5.0}
    assert values_of(usage.sample(points(600, 1), 2.0))["system/device_memory_bytes"] == 5.0
    usage.begin(4)
    assert usage.sample(points(1, 1), 9.0) is None
    found = usage.sample(points(2, 1), 10.0)
    assert found == {"step": 2, "values": {"system/steps_per_s": 1.0, "system/samples_per_s": 4.0}}  # no such process


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells of a process in /proc")
def test_linux_tells_of_this_process() -> None:
    me = Path("/proc/self")
    before, end = cpu_s(me), time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = cpu_s(me)
    assert before is not None
    assert after is not None
    assert 0.1 < after - before < 5
    assert 10e6 < (resident_bytes(me) or 0) < 64e9
