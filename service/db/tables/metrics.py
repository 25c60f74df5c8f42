"""Series, their points and their summaries."""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    text,
)

from service.db.tables.columns import metadata, word

series = Table(
    "series",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    word("run_id", ForeignKey("run.id")),
    word("name"),
    # the summary that lists read; kept in the transaction that writes points
    Column("n", BigInteger, nullable=False, server_default="0"),
    Column("first_step", BigInteger),
    Column("last_step", BigInteger),
    Column("last", Double),
    Column("min", Double),
    Column("min_step", BigInteger),
    Column("max", Double),
    Column("max_step", BigInteger),
    Column("nonfinite", BigInteger, nullable=False, server_default="0"),
    Column("final", Double),  # mean over the steps from final_from to last_step; null: the last value speaks
    Column("final_from", BigInteger),
    Index("series_run_id_name_key", "run_id", "name", unique=True),
    Index("series_nonfinite_idx", "run_id", "name", postgresql_where=text("nonfinite > 0")),  # who diverged
    Index("series_run_id_id_key", "run_id", "id", unique=True),  # what points name: so deleting one needs no scan
)

experiment_figure = Table(
    "experiment_figure",
    metadata,
    word("name"),  # of a series; first in the key, because a list asks for one name of all experiments
    word("experiment_id", ForeignKey("experiment.id")),
    Column("last", Double),  # this and the next two: means over the runs with a finite value
    Column("min", Double),
    Column("max", Double),
    # of the lowest seed; no foreign key: settling locks experiments first, and would deadlock with a retry
    word("run_id"),
    Column("n", Integer, nullable=False),  # runs with a finite last value
    Column("best_n", Integer, nullable=False),  # best: min or max, see service.spec.measures
    Column("last_spread", Double),  # standard deviations between the runs; null with fewer than two
    Column("best_spread", Double),
    Column("diverged", Integer, nullable=False),  # runs
    Column("incomplete", Integer, nullable=False),
    Column("final_from", BigInteger),
    Column("last_step", BigInteger),
    PrimaryKeyConstraint("name", "experiment_id", postgresql_include=["last", "min", "max"]),
)

metric_chunk = Table(
    "metric_chunk",
    metadata,
    word("run_id", primary_key=True),
    Column("series_id", BigInteger, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("first_step", BigInteger, primary_key=True),
    Column("last_step", BigInteger, nullable=False),
    Column("every", Integer, nullable=False),  # distance between steps; 0: see steps
    Column("n", Integer, nullable=False),
    Column("min", Double),
    Column("min_step", BigInteger),
    Column("max", Double),
    Column("max_step", BigInteger),
    Column("mean", Double),
    Column("last", Double, nullable=False),
    Column("nonfinite", Integer, nullable=False),
    Column("values", LargeBinary, nullable=False),
    Column("steps", LargeBinary),
    Column("buckets", LargeBinary),  # of 16 steps, see service.db.metrics.rollup_codec; null: read the values
    ForeignKeyConstraint(["run_id", "series_id"], ["series.run_id", "series.id"]),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
)

metric_tile = Table(
    "metric_tile",
    metadata,
    word("run_id", primary_key=True),
    Column("series_id", BigInteger, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("level", Integer, primary_key=True),  # its buckets span 2^level steps
    Column("first_step", BigInteger, primary_key=True),
    Column("last_step", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),  # points
    Column("buckets", LargeBinary, nullable=False),
    ForeignKeyConstraint(["run_id", "series_id"], ["series.run_id", "series.id"]),
    ForeignKeyConstraint(["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"]),
)
