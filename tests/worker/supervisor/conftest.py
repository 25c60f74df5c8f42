"""Fixtures of the supervisor's tests."""

from collections.abc import Iterator

import pytest

from service.db.session import make_engine
from tests.worker.supervisor.desk import Desk


@pytest.fixture(scope="module")
def desk(module_url: str) -> Iterator[Desk]:
    engine = make_engine(module_url, name="test")
    yield Desk(engine)
    engine.dispose()
