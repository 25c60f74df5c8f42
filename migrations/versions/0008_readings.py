"""What probes found that is more than a number: documents of a run, each at a step."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reading",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"], name="reading_run_id_attempt_fkey"
        ),
        sa.PrimaryKeyConstraint("id", name="reading_pkey"),
    )
    op.create_index(
        "reading_run_id_attempt_step_kind_key", "reading", ["run_id", "attempt", "step", "kind"], unique=True
    )
    op.create_index("reading_run_id_id_idx", "reading", ["run_id", "id"])


def downgrade() -> None:
    op.drop_table("reading")
