"""Turns by recent use: a run knows its owner and whom it makes way for, and use of devices is counted."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

INDEX, TABLE = "run_waiting_idx", "run"
WAITING = sa.text("state = 'queued'")
WORD = sa.Text(collation="C")


def upgrade() -> None:
    op.add_column("run", sa.Column("owner_id", WORD))
    op.execute("UPDATE run SET owner_id = e.owner_id FROM experiment e WHERE e.id = run.experiment_id")
    op.alter_column("run", "owner_id", nullable=False)
    op.create_foreign_key("run_owner_id_fkey", "run", "member", ["owner_id"], ["id"])
    op.add_column("run", sa.Column("yields_to", WORD))
    op.create_index("run_yields_to_idx", "run", ["yields_to"], postgresql_where=sa.text("yields_to IS NOT NULL"))
    op.drop_index(INDEX, TABLE)
    op.create_index(
        INDEX, TABLE, ["pool", "needs", "project_id", "owner_id", "rank_at", "id"], postgresql_where=WAITING
    )
    op.create_table(
        "device_use",
        *(sa.Column(name, WORD, nullable=False) for name in ("pool", "project_id", "owner_id", "worker")),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("pool", "project_id", "owner_id", "worker", name="device_use_pkey"),
    )


def downgrade() -> None:
    op.drop_table("device_use")
    op.drop_index(INDEX, TABLE)
    op.create_index(INDEX, TABLE, ["pool", "needs", "project_id", "rank_at", "id"], postgresql_where=WAITING)
    op.drop_index("run_yields_to_idx", TABLE)
    op.drop_column("run", "yields_to")
    op.drop_column("run", "owner_id")
