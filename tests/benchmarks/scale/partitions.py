"""The points of some runs in one table, and in one partitioned by hash of the run: reading, deleting, vacuum."""

from sqlalchemy import Engine

from tests.benchmarks.timed import alone, timed
from tests.harness.product import Product

PARTS, RUNS = 16, 20_000
SHAPE = "(LIKE metric_chunk INCLUDING STORAGE, PRIMARY KEY (run_id, series_id, attempt, first_step))"
FILL = """
    INSERT INTO {} SELECT c.* FROM (SELECT id FROM run WHERE id LIKE 'run_0000%' ORDER BY id LIMIT {}) r
    JOIN metric_chunk c ON c.run_id = r.id
"""
READ = """
    SELECT c.first_step, c."values" FROM {} c JOIN series s ON s.run_id = c.run_id AND s.id = c.series_id
    WHERE c.run_id = ANY(%s) AND s.name = 'loss'
"""


def measure(product: Product, engine: Engine) -> None:
    """Make both tables, print what each costs, and drop them."""
    parts = (
        f"CREATE TABLE part_{k} PARTITION OF parted FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {k})"
        for k in range(PARTS)
    )
    alone(engine, f"CREATE TABLE whole {SHAPE}", f"CREATE TABLE parted {SHAPE} PARTITION BY HASH (run_id)", *parts)
    try:
        for table in ("whole", "parted"):
            _measure(product, engine, table)
    finally:
        alone(engine, "DROP TABLE whole", "DROP TABLE parted")


def _measure(product: Product, engine: Engine, table: str) -> None:
    timed(f"{table}: points of {RUNS:,} runs written", lambda: alone(engine, FILL.format(table, RUNS)))
    alone(engine, f"VACUUM ANALYZE {table}")
    ids = [row[0] for row in product.sql(f"SELECT DISTINCT run_id FROM {table} ORDER BY 1 LIMIT 1000")]
    with engine.connect() as connection:
        cursor = connection.connection.cursor()

        def execute(statement: str, runs: list[str]) -> None:
            cursor.execute(statement.format(table), [runs])

        ones, pairs = iter(ids[:200]), iter(zip(ids[200:600:2], ids[201:601:2], strict=True))
        timed(f"{table}: a run read", lambda: execute(READ, [next(ones)]), 200)
        timed(f"{table}: 20 runs read", lambda: execute(READ, ids[:20]), 50)
        removal = "DELETE FROM {} WHERE run_id = ANY(%s)"
        timed(f"{table}: an experiment deleted", lambda: execute(removal, list(next(pairs))), 200)
        connection.connection.commit()
    timed(f"{table}: VACUUM", lambda: alone(engine, f"VACUUM {table}"))
    timed(f"{table}: VACUUM FREEZE", lambda: alone(engine, f"VACUUM (FREEZE) {table}"))
