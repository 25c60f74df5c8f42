"""No garbage collection while pytest collects: the modules and cases that it makes live until the end.

A pass of the cyclic collector would look at all of them, free nothing and take half a second. They are frozen when the
collection ends, so that the passes during the tests look only at what the tests make.
"""

import gc
from collections.abc import Generator

import pytest

gc.disable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
