"""How long people wait under fair turns, against an equal division of the workers: `python -m tests.benchmarks.turns`.

1,000 random arrivals, simulated (tests/db/runs/turn_model.py). A figure is that of the person who fares worst: the
longest time from arrival to end, less one run's time, as a multiple of what it is if the workers are divided equally
between projects and then people at each moment. tests/db/runs/test_turns.py
shows that Postgres serves in the order of the model.
"""

import argparse
import statistics
from functools import partial

from service.turn_policy import TurnPolicy
from tests.db.runs.turn_model import Queue, random_jobs, worst_ratio


def main() -> None:
    """Print a line for each half-life and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--half-lives", type=float, nargs="*", default=[1800.0, 5400.0], metavar="S")
    options = parser.parse_args()
    for half_life_s in options.half_lives:
        for workers in (1, 2, 8):
            queue = partial(Queue, TurnPolicy(half_life_s))
            found = [worst_ratio(random_jobs(seed, workers), workers, queue) for seed in range(options.seeds)]
            beyond = sum(ratio > 2 for ratio in found)
            print(
                f"half-life {half_life_s:5.0f} s, {workers} workers: worst {max(found):.2f}, "
                f"median {statistics.median(found):.2f}, {beyond} of {len(found)} beyond 2"
            )


if __name__ == "__main__":
    main()
