"""Runs have a log: what their workers say of them, and what the trainings write."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def word(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(collation="C"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "log_line",
        word("run_id"),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        word("source"),
        word("level"),
        sa.Column("text", sa.Text, nullable=False),
        sa.CheckConstraint("source IN ('saddle', 'output')", name=op.f("log_line_log_source_known_check")),
        sa.CheckConstraint("level IN ('info', 'warning', 'error')", name=op.f("log_line_log_level_known_check")),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"], ["attempt.run_id", "attempt.attempt"], name=op.f("log_line_run_id_attempt_fkey")
        ),
        sa.PrimaryKeyConstraint("run_id", "attempt", "number", name=op.f("log_line_pkey")),
    )


def downgrade() -> None:
    op.drop_table("log_line")
