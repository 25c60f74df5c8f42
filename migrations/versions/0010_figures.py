"""The figures of experiments that have ended, written down for lists."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiment", sa.Column("settled", sa.Boolean(), server_default="false", nullable=False))
    op.create_index("experiment_unsettled_idx", "experiment", ["id"], postgresql_where=sa.text("NOT settled"))
    op.create_table(
        "experiment_figure",
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("experiment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("last", sa.Double()),
        sa.Column("min", sa.Double()),
        sa.Column("max", sa.Double()),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("experiment_figure_experiment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("name", "experiment_id", name=op.f("experiment_figure_pkey")),
    )


def downgrade() -> None:
    op.drop_table("experiment_figure")
    op.drop_index("experiment_unsettled_idx", "experiment")
    op.drop_column("experiment", "settled")
