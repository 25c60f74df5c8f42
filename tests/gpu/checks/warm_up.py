"""Warm-up: seconds and MiB of 1, 2 and 4 trainers on one device."""

import time

from tests.gpu.check import device, main
from tests.gpu.trainers import used_mib, warm_trainers

LIMIT_S = 75
RUNS_ON_CPU = True
MAX_GROWTH = 1.1  # memory of 4 trainers over 4 times that of one


def check() -> dict[str, float | str]:
    """Start trainers side by side; together they hold no more than as many single ones."""
    on = device()
    counts = (1, 2, 4) if on.type == "cuda" else (1, 2)
    figures: dict[str, float | str] = {}
    mib: dict[int, float] = {}
    for count in counts:
        before, began = used_mib(on, []), time.perf_counter()
        with warm_trainers(count, on) as trainers:
            figures[f"seconds, {count}"] = time.perf_counter() - began
            mib[count] = used_mib(on, trainers) - before
        figures[f"MiB, {count}"] = mib[count]
    last = counts[-1]
    assert mib[1] > 0, figures
    assert mib[last] <= MAX_GROWTH * last * mib[1], f"together they hold more than alone: {figures}"
    return figures


if __name__ == "__main__":
    main(check)
