"""No hostile value anywhere in a request fails the server, and every refusal is a problem document."""

import random
from collections.abc import Iterator

import pytest

from tests.api.hostile import Hostile
from tests.api.hostile_server import HostileServer, operations

SAMPLE = 12  # requests of an operation here; `python -m tests.api.fuzzing` sends all
EVERY = ["=1e308", "%00", "%ED%A0%80", "1e308'&epoch"]  # of these at least one where there is any


@pytest.fixture(scope="module")
def server(module_url: str) -> Iterator[HostileServer]:
    with HostileServer(module_url) as server:
        yield server


@pytest.mark.parametrize(("method", "path"), operations())
def test_hostile_values_are_refused_or_served(server: HostileServer, method: str, path: str) -> None:
    requests = list(server.requests(method).of(method, path))
    assert [fault for each in sample(requests) if (fault := server.fault(each))] == []


def sample(requests: list[Hostile]) -> list[Hostile]:
    """The plain request, one of each kind that once failed, and some of the others, the same in every run."""
    chosen = [requests[0], *(each for each in requests if "kind is {" in each.what)][:12]
    chosen += [each for each in requests if each.what.startswith("cursor=") and "&" in each.what]  # with an order
    chosen += [found for sign in EVERY if (found := next((each for each in requests if sign in each.what), None))]
    return chosen + random.Random(0).sample(requests, min(SAMPLE, len(requests)))
