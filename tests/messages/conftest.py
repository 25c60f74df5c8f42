"""Receivers of messages, and the outbox of a database with channels in it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from service.db.access.principal import Principal
from service.db.messages import channels
from service.db.session import transaction
from service.settings import Settings
from tests.messages.receiver import Receiver, running_receiver

MadeChannel = Callable[..., tuple[str, str]]


@pytest.fixture(scope="session")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with running_receiver(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture
def told(receiver: Receiver) -> Callable[[str], Any]:
    """What arrived at a path since the test began."""
    before = len(receiver.got())
    return lambda path="": [each for each in receiver.got()[before:] if each["path"].startswith(path)]


@pytest.fixture
def open_settings(settings: Settings) -> Settings:
    """Settings by which messages may go to loopback."""
    return settings.model_copy(update={"webhook_networks": "127.0.0.0/8", "public_url": "https://saddle.test"})


@pytest.fixture
def add_channel(engine: Engine, principal: Principal, receiver: Receiver) -> MadeChannel:
    """Make a channel of the principal, to a path of the receiver; return its id and secret."""

    def add(path: str = "/ok", **values: Any) -> tuple[str, str]:
        every = ["run_succeeded", "run_failed", "run_diverged", "finding_fault", "queue_stuck", "quota_near", "mention"]
        row = {"kind": "webhook", "name": "test", "address": receiver.url + path, "shared": False, "own_only": False}
        with transaction(engine) as connection:
            made, secret = channels.add(connection, principal, row | {"events": every, "bundle_s": 0} | values)
        return made, secret or ""

    return add


def sql(engine: Engine, statement: str, **values: Any) -> Any:
    with transaction(engine) as connection:
        found = connection.execute(text(statement), values)
        return found.mappings().all() if found.returns_rows else None
