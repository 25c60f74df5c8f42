"""Reading curves through HTTP, on a real server and a real Postgres: `python -m tests.benchmarks.series`.

Three stores: 20 runs x 100,000 steps, 200 x 10,000, one of 10 million (loss float32, rate constant). The yardstick of
each round is a plain answer of the same server, so that a busy machine shows itself.
"""

import statistics
import sys
import time

import httpx2 as httpx
from sqlalchemy import text

from service.export.binary import MEDIA_TYPE
from tests.benchmarks.filled import claim, fill, submit
from tests.harness.product import Product, product

ROUNDS = 15
# from the stored rows each time, or (kept) as the second reader of ended runs gets it
FORMS = (
    ("binary", MEDIA_TYPE, False),
    ("json", "application/json", False),
    ("binary kept", MEDIA_TYPE, True),
)
DRAWN = "columns=last_step,min,max,mean"  # what a page draws
SETS = {"20 x 100k": (20, 100_000), "200 x 10k": (200, 10_000), "1 x 10M": (1, 10_000_000)}
WINDOWS = {
    "20 x 100k": ["from=12345&to=87654", "from=20000&to=36000", "from=50000&to=58000", "from=70000&to=71000"],
    "200 x 10k": ["from=1234&to=9876", "from=1000&to=9000", "from=3000&to=5000", "from=3000&to=4000"],
    "1 x 10M": [f"from={9_000_000 - width}&to=9000000" for width in (4 * 10**6, 10**6, 10**5, 10**4, 900)],
}


def timed(http: httpx.Client, path: str, accept: str, kept: bool = False) -> tuple[float, float, int]:
    """Median and least milliseconds, and the answer's bytes."""
    times, size = [], 0
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        answer = http.get(path, headers={"Accept": accept} | ({} if kept else {"Cache-Control": "no-cache"}))
        times.append((time.perf_counter() - begin) * 1e3)
        assert answer.status_code == 200, answer.text
        size = len(answer.content)
    return statistics.median(times), min(times), size


def stored(at: Product, sets: dict[str, tuple[int, int]]) -> dict[str, list[str]]:
    """The runs of each store."""
    filled = {}
    for name, (count, steps) in sets.items():
        filled[name] = submit(at.engine, at.key, count, steps)
        for seed in range(count):
            fill(at.engine, claim(at.engine), steps, seed, flush=5000, save=1_000_000)
    with at.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        size = "SELECT sum(pg_total_relation_size(name)) FROM (VALUES ('metric_chunk'), ('metric_tile')) t(name)"
        everything = connection.execute(text(size)).scalar_one()
        values = connection.execute(text("SELECT sum(n) FROM series")).scalar_one()
        varied = connection.execute(text("SELECT sum(n) FROM series WHERE name = 'loss'")).scalar_one()
    print(
        f"disk: {everything / values:.2f} MB a million values; all of it laid to the losses: {everything / varied:.2f}"
    )
    return filled


def main() -> None:
    """Print the table; names of stores as arguments restrict it."""
    sets = {name: SETS[name] for name in SETS if len(sys.argv) == 1 or name in sys.argv[1:]}
    with product(worker=False) as at:
        filled = stored(at, sets)
        print(f"{'store':10} {'window':28} {'form':11} {'median':>8} {'least':>8} {'x plain':>8} {'kB':>8}")
        for name, ids in filled.items():
            runs = ",".join(ids)
            for window in ["", *WINDOWS[name]]:
                for form, accept, kept in FORMS:
                    plain = timed(at.http, f"/v1/runs/{ids[0]}", "application/json")[0]
                    path = f"/v1/series?runs={runs}&names=loss&points=1000&{DRAWN}&{window}"
                    median, least, size = timed(at.http, path, accept, kept)
                    row = f"{name:10} {window or 'all':28} {form:11} {median:8.1f} {least:8.1f}"
                    print(f"{row} {median / plain:8.1f} {size / 1e3:8.0f}", flush=True)
        plain = timed(at.http, f"/v1/runs/{ids[0]}", "application/json")
        print(f"plain answer of one run: median {plain[0]:.1f} least {plain[1]:.1f}")


if __name__ == "__main__":
    main()
