"""When trainers are started."""

from typing import Any

import pytest

from service.settings import Settings
from worker.supervisor import trainer_pool
from worker.supervisor.trainer_pool import TrainerPool


def test_too_little_memory_for_a_spare_does_not_delay_the_trainer_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []

    def start(settings: Settings, low_priority: bool) -> Any:
        started.append(low_priority)
        raise OSError("not in this test")

    monkeypatch.setattr(trainer_pool, "available_bytes", lambda: 0)
    monkeypatch.setattr(trainer_pool.TrainerProcess, "start", start)
    trainers = TrainerPool(Settings(database_url="postgresql+psycopg://nowhere/none"))
    trainers.warm_spare()
    assert started == []
    assert trainers.current() is None
    assert started == [False]
