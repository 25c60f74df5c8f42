"""What the tests of the whole product share; its processes are in tests/fixtures/product.py."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.product import SPEC


@pytest.fixture
def spec() -> Callable[..., dict[str, Any]]:
    """A spec that learns the digits, with what the test changes."""
    return lambda **changes: json.loads(json.dumps(SPEC)) | changes
