"""The fixtures of all tests."""

pytest_plugins = [
    "tests.harness.bytecode",  # first: everything after it is compiled once
    "tests.fixtures.database",
    "tests.fixtures.api",
    "tests.fixtures.product",
    "tests.fixtures.s3",
]
