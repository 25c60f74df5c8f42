"""How long a fresh interpreter takes to import the API: `python -m tests.benchmarks.api_import`."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import time; wall, spent = time.perf_counter(), time.process_time()
import {module}
print(time.perf_counter() - wall, time.process_time() - spent)
"""
MODULES = ("service.api.app", "fastapi", "sqlalchemy", "celery", "numpy")


def once(module: str) -> tuple[float, float]:
    """Wall and processor seconds of one import, with compiled bytecode on disk as an installed product has it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", CODE.format(module=module)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    wall, spent = done.stdout.split()
    return float(wall), float(spent)


def main() -> None:
    """Print medians; the libraries' own times stand below ours."""
    for module in MODULES:
        once(module)
        rows = [once(module) for _ in range(9)]
        wall, spent = (statistics.median(column) for column in zip(*rows, strict=True))
        least = min(row[0] for row in rows)
        print(f"{module:20} wall median {wall:6.3f} s   least {least:6.3f} s   processor {spent:6.3f} s")


if __name__ == "__main__":
    main()
