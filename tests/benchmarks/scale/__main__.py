"""What 100,000 experiments and 10^9 points in one Postgres cost: `python -m tests.benchmarks.scale`.

Copies of runs as workers write them (tests/benchmarks/scale/data.py), then lists and curves through HTTP, claims with
many waiting, deletion, vacuum, a backup, and the table of points beside one partitioned by hash. `--folder` keeps the
filled database and measures it again. About 10 GB of disk.
"""

import argparse
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sqlalchemy import Engine

from service.db.access import projects
from service.db.access.principal import Principal
from service.db.experiments import deletion
from service.db.session import make_engine, transaction
from service.local.postgres import EmbeddedPostgres
from tests.benchmarks import claim, scale_data, scale_partitions
from tests.benchmarks.timed import alone, timed
from tests.harness.product import Product

LISTS = {
    "newest": {},
    "state = failed": {"filter": "state = failed"},
    "optimizer.lr > 0.9999 (1 of 10,000)": {"filter": "optimizer.lr > 0.9999"},
    "best(val/loss) < 0.0001 (1 of 10,000)": {"filter": "best(val/loss) < 0.0001"},
    "name = trial 777": {"filter": "name = 'trial 777'"},
    "sorted by -created": {"sort": "-created"},
    "sorted by best(val/loss)": {"sort": "best(val/loss)"},
    "with four columns": {"columns": "best(val/loss),last(loss),best(val/accuracy),optimizer.lr"},
}
QUICK_FILL = ("fsync = off", "full_page_writes = off", "autovacuum = off")
SIZES = """
    SELECT relname, pg_relation_size(c.oid), coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0),
        pg_indexes_size(c.oid) FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace AND nspname = 'public'
    WHERE relkind = 'r' ORDER BY pg_total_relation_size(c.oid) DESC LIMIT 8
"""


def fill(engine: Engine, principal: Principal, experiments: int) -> None:
    """Write everything with a server that need not survive a crash, and tidy up as autovacuum would."""
    alone(engine, *(f"ALTER SYSTEM SET {setting}" for setting in QUICK_FILL), "SELECT pg_reload_conf()")
    timed("long runs written", lambda: scale_data.add_long_runs(engine, principal))
    timed("experiments written", lambda: scale_data.add_experiments(engine, principal, experiments))
    alone(engine, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
    timed("first VACUUM ANALYZE of everything", lambda: alone(engine, "VACUUM ANALYZE"))
    timed("CHECKPOINT", lambda: alone(engine, "CHECKPOINT"))


def report_sizes(product: Product) -> None:
    """Print where the bytes are."""
    points, chunks = product.sql("SELECT sum(n), count(*) FROM metric_chunk")[0]
    print(f"{points:.3g} points in {chunks:,} chunks; MB of rows, of long values, of indexes:")
    for name, rows, values, indexes in product.sql(SIZES):
        print(f"  {name:20} {rows / 1e6:8.0f} {values / 1e6:8.0f} {indexes / 1e6:8.0f}")


def measure_http(product: Product) -> None:
    """Lists and curves as a reader gets them."""
    ask = product.get
    product.start_api()
    open_ones = "SELECT count(*) FROM experiment WHERE NOT settled AND id LIKE 'exp_0000%%'"
    began = time.perf_counter()
    while product.sql(open_ones)[0][0]:
        time.sleep(0.5)
    print(f"  {'figures of ended experiments written':44}        {1000 * (time.perf_counter() - began):9.1f}")
    product.sql("VACUUM ANALYZE experiment, experiment_figure")
    for name, asked in LISTS.items():
        ask("/v1/experiments", **asked)
        timed(f"list: {name}", lambda asked=asked: ask("/v1/experiments", **asked), 20)
    rows = product.sql("SELECT id FROM run WHERE id LIKE 'run_0000%%' ORDER BY md5(id) LIMIT 200")
    runs = iter([row[0] for row in rows])
    fresh = {"Cache-Control": "no-cache"}

    def series(run_id: str, **query: str) -> Any:
        answer = product.http.get(f"/v1/runs/{run_id}/series", params={"names": "loss,lr"} | query, headers=fresh)
        assert answer.status_code == 200, answer.text

    series(next(runs), points="1000")  # loads what makes curves
    timed("a run's row", lambda: ask(f"/v1/runs/{next(runs)}"), 50)
    timed("a run's curves, 1,000 buckets", lambda: series(next(runs), points="1000"), 50)
    timed("a run's curves, every point", lambda: series(next(runs), points="all"), 50)
    (long_run,) = product.sql("SELECT id FROM run ORDER BY total_steps DESC LIMIT 1")[0]
    timed("curves of 10^6 steps, 1,000 buckets", lambda: series(long_run, points="1000"), 20)
    timed(
        "curves of 10^6 steps, a window",
        lambda: series(long_run, **{"points": "1000", "from": "500000", "to": "501000"}),
        20,
    )


def measure_claims(product: Product) -> None:
    """Claims among 10,000 runs of ten projects that wait."""
    claim.submit(product.engine, 10_000, 10)
    spent, claimed = claim.claim_all(product.database_url, 2, 400)
    p50, p99 = np.percentile(spent, [50, 99])
    print(f"  {len(claimed)} claims among 10,000, two workers: median {p50:.1f}  p99 {p99:.1f}", flush=True)


def measure_deletion(product: Product, engine: Engine, principal: Principal) -> None:
    """Deletions, and what vacuum and a freeze of all tables take after them."""
    rows = product.sql("SELECT id FROM experiment WHERE id LIKE 'exp_0000%%' ORDER BY md5(id) LIMIT 300")
    doomed = iter([row[0] for row in rows])
    (long_one,) = product.sql("SELECT experiment_id FROM run ORDER BY total_steps DESC LIMIT 1")[0]

    def erase(experiment_id: str) -> None:
        with transaction(engine) as connection:
            deletion.erase(connection, principal, experiment_id)

    timed("VACUUM of the points, nothing to do", lambda: alone(engine, "VACUUM metric_chunk"))
    timed("an experiment deleted", lambda: erase(next(doomed)), min(300, len(rows)))
    timed("VACUUM of the points after it", lambda: alone(engine, "VACUUM metric_chunk"))
    timed("the long experiment deleted", lambda: erase(long_one))
    timed("VACUUM of everything", lambda: alone(engine, "VACUUM"))
    timed("VACUUM FREEZE of the points", lambda: alone(engine, "VACUUM (FREEZE) metric_chunk"))


def measure_backup(product: Product) -> None:
    """A dump as docs/deployment.md has it, and what it weighs."""
    program = product.postgres._find_binaries()[0] / "pg_dump"
    size = 0

    def dump() -> None:
        nonlocal size
        command = [program, "-Fc", "-Z1", "--no-privileges", "-d", product.database_url.replace("+psycopg", "")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            size = sum(len(piece) for piece in iter(lambda: process.stdout.read(2**20), b""))  # type: ignore[union-attr]
        assert process.returncode == 0

    timed("pg_dump -Fc -Z1", dump)
    print(f"  the dump has {size / 1e6:.0f} MB")


@contextmanager
def database(folder: Path) -> Iterator[tuple[Product, Engine, Principal]]:
    """Yield a migrated product in this folder, of which only Postgres runs, a patient engine, and who owns it all."""
    folder.chmod(0o755)
    with EmbeddedPostgres(folder / "postgres") as postgres:
        product, engine = Product(folder, postgres, postgres.url), make_engine(postgres.url, statement_s=3_600)
        try:
            product.manage("upgrade")
            product.key = product.manage("key", "--project", "scale")
            with transaction(engine) as connection:
                principal = projects.find_principal(connection, product.key)
            assert principal is not None
            yield product, engine, principal
        finally:
            product.end()
            engine.dispose()


def main() -> None:
    """Fill what is not filled, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the database stays")
    options = parser.parse_args()
    with (
        TemporaryDirectory(prefix="saddle-", ignore_cleanup_errors=True) as temporary,
        database(options.folder or Path(temporary)) as (product, engine, owner),
    ):
        print("ms, unless it says otherwise")
        if not product.sql("SELECT id FROM experiment LIMIT 1"):
            fill(engine, owner, options.experiments)
        report_sizes(product)
        measure_http(product)
        measure_claims(product)
        scale_partitions.measure(product, engine)
        measure_deletion(product, engine, owner)
        measure_backup(product)


if __name__ == "__main__":
    main()
