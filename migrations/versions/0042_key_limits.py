"""Limits of a key in a day, and which key queued a run or posted a study."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("runs_per_day", sa.Integer))
    op.add_column("api_key", sa.Column("device_s_per_day", sa.Double))
    for table in ("run", "study"):
        op.add_column(table, sa.Column("key_id", sa.Text(collation="C")))
        op.create_foreign_key(op.f(f"{table}_key_id_fkey"), table, "api_key", ["key_id"], ["id"])
    op.create_index(
        "run_key_id_created_at_idx", "run", ["key_id", "created_at"], postgresql_where=sa.text("key_id IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("run_key_id_created_at_idx", "run")
    for table in ("study", "run"):
        op.drop_column(table, "key_id")
    op.drop_column("api_key", "device_s_per_day")
    op.drop_column("api_key", "runs_per_day")
