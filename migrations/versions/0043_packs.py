"""Runs that differ only in values can be trained together: what they have in common, and how many shared a trainer."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("pack_key", sa.Text(collation="C")))
    op.add_column("attempt", sa.Column("pack_runs", sa.Integer, nullable=False, server_default="1"))
    op.create_index(
        "run_pack_idx",
        "run",
        ["pack_key", "pool", "rank_at", "id"],
        postgresql_where=sa.text("state = 'queued' AND pack_key IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("run_pack_idx", "run")
    op.drop_column("attempt", "pack_runs")
    op.drop_column("run", "pack_key")
