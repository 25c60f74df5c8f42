"""The product on servers of its own, with the settings of a deployment, for benchmarks."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.product import Product, install_product

__all__ = ["Product", "product"]


@contextmanager
def product(worker: bool = True, **settings: str) -> Iterator[Product]:
    """Yield an API and a worker that run; end all of it afterwards."""
    with install_product(**settings) as running:
        running.start_api()
        if worker:
            running.start_worker()
        yield running
