"""Comparisons that are confirmed: which experiments train their contestants from fresh seeds."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "confirmation",
        sa.Column("comparison_id", sa.Text(collation="C"), nullable=False),
        sa.Column("experiment_id", sa.Text(collation="C"), nullable=False),
        sa.Column("trial_id", sa.Text(collation="C"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparison.id"], name=op.f("confirmation_comparison_id_fkey")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name=op.f("confirmation_experiment_id_fkey")),
        sa.ForeignKeyConstraint(["trial_id"], ["experiment.id"], name=op.f("confirmation_trial_id_fkey")),
        sa.PrimaryKeyConstraint("comparison_id", "experiment_id", name=op.f("confirmation_pkey")),
    )
    op.create_index("confirmation_experiment_id_idx", "confirmation", ["experiment_id"], unique=True)


def downgrade() -> None:
    op.drop_table("confirmation")
