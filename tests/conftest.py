"""The fixtures of all tests, and their order where two processes share them."""

import pytest

pytest_plugins = [
    "tests.harness.bytecode",  # first: everything after it is compiled once
    "tests.harness.garbage",
    "tests.harness.routes",
    "tests.fixtures.database",
    "tests.fixtures.api",
    "tests.fixtures.people",
    "tests.fixtures.product",
    "tests.fixtures.s3",
]

PROCESSES = ("e2e", "web", "client", "faults", "local")  # folders whose tests start processes and mostly wait for them


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have one of several test processes begin with the tests that wait, while the others compute.

    The servers and browsers of these folders then start once, and none of the long tests is left for the end.
    """
    if hasattr(config, "workerinput"):
        folders = {config.rootpath / "tests" / name for name in PROCESSES}
        items.sort(key=lambda item: folders.isdisjoint(item.path.parents))
