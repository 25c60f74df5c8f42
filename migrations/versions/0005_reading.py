"""Stored buckets of chunks, tiles of wider ones above them, where a series begins, and who wrote an event."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("series", sa.Column("first_step", sa.BigInteger(), nullable=True))
    op.execute(
        """
        UPDATE series s SET first_step = c.first_step
        FROM (SELECT series_id, min(first_step) AS first_step FROM metric_chunk GROUP BY series_id) c
        WHERE c.series_id = s.id AND s.n > 0
        """
    )
    op.add_column("metric_chunk", sa.Column("buckets", sa.LargeBinary(), nullable=True))
    # which transaction wrote an event: old ones count as written before all others
    op.add_column("event", sa.Column("xid", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column("event", "xid", server_default=sa.text("(pg_current_xact_id()::text)::bigint"))
    op.create_index("event_project_id_xid_id_idx", "event", ["project_id", "xid", "id"], unique=False)
    op.create_table(
        "metric_tile",
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("series_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("first_step", sa.BigInteger(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("buckets", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"], name="metric_tile_run_id_attempt_fkey"
        ),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name="metric_tile_series_id_fkey"),
        sa.PrimaryKeyConstraint("run_id", "series_id", "attempt", "level", "first_step", name="metric_tile_pkey"),
    )
    # packed numbers do not shrink: compressing them would only cost time
    op.execute("ALTER TABLE metric_chunk ALTER COLUMN buckets SET STORAGE EXTERNAL")
    op.execute("ALTER TABLE metric_tile ALTER COLUMN buckets SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("metric_tile")
    op.drop_index("event_project_id_xid_id_idx", table_name="event")
    op.drop_column("event", "xid")
    op.drop_column("metric_chunk", "buckets")
    op.drop_column("series", "first_step")
