"""A device is judged by trainers that are started after the error, while the lease is kept."""

import threading
from typing import Any, cast

import pytest

from service.settings import Settings
from worker.supervisor import device_check, trainer_pool
from worker.supervisor.device_check import is_device_broken
from worker.supervisor.trainer_pool import TrainerPool
from worker.supervisor.trainer_process import TrainerProcess


class Worker:
    """Answers `is_warm` and `start_problem` from a script, one answer a look."""

    def __init__(self, warm: list[bool], problems: list[str | None]) -> None:
        self.warm, self.problems, self.renewed = warm, problems, 0

    def renew(self, trainer: TrainerProcess) -> None:
        self.renewed += 1

    @property
    def is_warm(self) -> bool:
        assert self.renewed == 1, "an older trainer says nothing about the device"
        return self.warm.pop(0)

    @property
    def start_problem(self) -> str | None:
        return self.problems.pop(0)


@pytest.mark.parametrize(
    ("worker", "kept", "broken", "answer"),
    [
        (Worker([True], []), [], False, "works"),
        (Worker([False, False, True], [None, None]), [True, True], False, "works"),
        (Worker([False, False], [None, "no trainer starts"]), [True], True, "no trainer starts"),
        (Worker([False, False], [None, None]), [True, False], False, "not checked"),
    ],
)
def test_a_fresh_trainer_decides_unless_a_stop_comes_first(
    monkeypatch: pytest.MonkeyPatch, worker: Worker, kept: list[bool], broken: bool, answer: str
) -> None:
    monkeypatch.setattr(device_check, "WARM_POLL_S", 0.0)
    evidence: dict[str, Any] = {}
    assert is_device_broken(worker, cast(TrainerProcess, None), lambda: kept.pop(0), evidence) == broken
    assert evidence["device"].startswith(answer)
    assert not kept, "the lease is kept at each look"


class Process:
    """A warm trainer."""

    def __init__(self) -> None:
        self.ready, self.killed = threading.Event(), False
        self.ready.set()

    def is_usable(self) -> bool:
        return not self.killed

    def kill(self) -> None:
        self.killed = True


def test_a_renewed_pool_starts_a_trainer_although_there_is_a_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = TrainerPool(Settings(database_url="postgresql+psycopg://nowhere/none"))
    failed, spare, fresh = Process(), Process(), Process()
    pool.active, pool.spares = cast(TrainerProcess, failed), [cast(TrainerProcess, spare)]
    monkeypatch.setattr(trainer_pool.TrainerProcess, "start", lambda settings, low_priority: fresh)
    pool.renew(cast(TrainerProcess, failed))
    assert (failed.killed, spare.killed, fresh.killed) == (True, True, False)
    assert pool.current() is fresh
