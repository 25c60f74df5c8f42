"""API processes that send: one that is killed between sending and noting it, and two at once."""

import signal
from collections.abc import Iterator

import pytest

from service.local.port import find_free_port
from service.local.postgres import EmbeddedPostgres
from tests.fixtures.api import SPEC, Worker
from tests.harness.databases import copy_database, create_key
from tests.harness.folders import server_folder
from tests.harness.nursery import Nursery
from tests.harness.product import Product
from tests.harness.waiting import until
from tests.messages.receiver import Receiver

QUICK = {"SADDLE_REAP_S": "0.1", "SADDLE_WEBHOOK_NETWORKS": "127.0.0.0/8", "SADDLE_BROKER_URL": "redis://127.0.0.1:1"}


@pytest.fixture
def product(postgres: EmbeddedPostgres, migrated: str, nursery: Nursery) -> Iterator[Product]:
    with copy_database(postgres, migrated) as url, server_folder("saddle-messages-") as home:
        made = Product(home, postgres, url, nursery, **QUICK)
        made.key = create_key(url, "default")
        try:
            made.start_api()
            yield made
        finally:
            made.end()


def test_what_a_killed_process_had_sent_is_sent_again_with_the_same_id(product: Product, receiver: Receiver) -> None:
    before = len(receiver.got())
    channel = {"kind": "webhook", "address": f"{receiver.url}/slow", "events": ["run_succeeded"], "bundle_s": 0}
    at = f"/v1/channels/{product.post('/v1/channels', channel)['id']}"
    product.post("/v1/experiments", SPEC)
    worker = Worker(product.engine)
    worker.finish(worker.claim())
    (first,) = until(lambda: receiver.got("/slow")[-1:] if len(receiver.got()) > before else None)
    product.stop(product.processes[0], signal.SIGKILL)
    (row,) = product.sql("SELECT state, attempts FROM delivery")
    assert row == ("open", 1)
    product.sql("UPDATE delivery SET due_at = now()")  # its claim has run out
    product.sql("UPDATE channel SET address = replace(address, '/slow', '/ok')")
    product.start_api()
    until(lambda: product.get(f"{at}/deliveries")["items"][0]["state"] == "sent")
    again = receiver.got("/ok")[-1]
    assert again["headers"]["webhook-id"] == first["headers"]["webhook-id"]
    assert again["body"] == first["body"]


def test_two_processes_tell_everything_once(product: Product, receiver: Receiver) -> None:
    product.start("service.api", "--host", "127.0.0.1", "--port", str(find_free_port()))
    before = len(receiver.got("/ok"))
    channel = {"kind": "webhook", "address": f"{receiver.url}/ok", "events": ["run_succeeded"], "bundle_s": 0}
    for _ in range(3):
        product.post("/v1/channels", channel)
    product.post("/v1/experiments", SPEC | {"seeds": list(range(10))})
    worker = Worker(product.engine)
    for _ in range(10):
        worker.finish(worker.claim())
    until(lambda: product.sql("SELECT count(*) FROM delivery WHERE state = 'sent'") == [(30,)])
    ids = [each["headers"]["webhook-id"] for each in receiver.got("/ok")[before:]]
    assert len(ids) == len(set(ids)) == 30
