"""Fixtures of tests with several projects."""

import pytest
from sqlalchemy import Engine

from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.session import transaction

from .turn_steps import Enter


@pytest.fixture
def enter(engine: Engine) -> Enter:
    """Let somebody into a project."""

    def entered(project: str, person: str) -> Principal:
        with transaction(engine) as connection:
            found = find_principal(connection, new_key(connection, project, person))
        assert found is not None
        return found

    return entered
