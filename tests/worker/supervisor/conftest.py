"""Fixtures of the supervisor's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.db.session import make_engine
from tests.harness.nursery import Nursery, with_popen
from tests.worker.supervisor.desk import Desk
from worker.supervisor import trainer_process


@pytest.fixture(scope="module")
def desk(module_url: str) -> Iterator[Desk]:
    engine = make_engine(module_url, name="test")
    yield Desk(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def troubled_nursery(troubled: Path) -> Iterator[Nursery]:
    """Forks trainers that know the troubled model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(troubled))
        made = Nursery.start(trainers=True)
    yield made
    made.end()


@pytest.fixture(scope="module")
def forked_trainers(nursery: Nursery) -> Iterator[None]:
    """Supervisors in this process start trainers that are warm at once, for tests that are not about their start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_process, "subprocess", with_popen(nursery.popen))
        yield
