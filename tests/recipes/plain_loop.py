"""Runs a plain loop: `python -m tests.recipes.plain_loop examples/images/plain.py digits.zip 0 1`.

A torchvision whose compiled part does not fit the torch that is installed is made importable first, as a worker does.
"""

import contextlib
import runpy
import sys

from service.errors import RunFailure
from worker.trainer.optional_imports import import_optional

if __name__ == "__main__":
    with contextlib.suppress(RunFailure):
        import_optional("torchvision", "vision")
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
