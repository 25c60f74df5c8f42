"""Studies, their trials, and the experiments that are trials."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

REACH = "(SELECT coalesce(current_setting('saddle.project', true), ''))"  # as in migration 0028
TABLES = ("study", "study_trial")


def word(name: str, *rest: Any, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text(collation="C"), *rest, nullable=options.pop("nullable", False), **options)


def key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"{table}_{column}_fkey"))


def now(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()"))


def upgrade() -> None:
    op.create_table(
        "study",
        word("id"),
        word("project_id"),
        word("owner_id"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("document", JSONB, nullable=False),
        word("state", server_default="running"),
        sa.Column("why", sa.Text),
        word("comparison_id", nullable=True),
        word("cloned_from", nullable=True),
        word("idempotency_key", nullable=True),
        word("request_hash", nullable=True),
        now("created_at"),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("study_pkey")),
        key("study", "project_id", "project"),
        key("study", "owner_id", "member"),
        key("study", "comparison_id", "comparison"),
        key("study", "cloned_from", "study"),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'finished', 'stopped', 'failed')", name=op.f("study_state_known_check")
        ),
    )
    op.create_index("study_project_id_id_idx", "study", ["project_id", "id"])
    op.create_index("study_running_idx", "study", ["id"], postgresql_where=sa.text("state = 'running'"))
    op.create_index(
        "study_project_id_idempotency_key_key",
        "study",
        ["project_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "study_trial",
        word("study_id"),
        sa.Column("number", sa.Integer, nullable=False),
        word("project_id"),
        sa.Column("point", JSONB, nullable=False),
        word("state", server_default="running"),
        sa.Column("by_hand", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("repeats", sa.Integer),
        word("experiment_id", nullable=True),
        sa.Column("total_steps", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("rung_steps", JSONB, nullable=False, server_default="[]"),
        sa.Column("rungs", JSONB, nullable=False, server_default="[]"),
        sa.Column("value", sa.Double),
        sa.Column("seed_values", JSONB, nullable=False, server_default="[]"),
        sa.Column("steps", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("device_s", sa.Double, nullable=False, server_default="0"),
        sa.Column("why", sa.Text),
        now("created_at"),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("study_trial_pkey")),
        key("study_trial", "study_id", "study"),
        key("study_trial", "project_id", "project"),
        key("study_trial", "experiment_id", "experiment"),
        sa.CheckConstraint(
            "state IN ('running', 'waiting', 'finished', 'pruned', 'failed')",
            name=op.f("study_trial_state_known_check"),
        ),
        sa.CheckConstraint(
            "(state IN ('running', 'waiting')) = (ended_at IS NULL)", name=op.f("study_trial_end_told_check")
        ),
    )
    op.create_index("study_trial_experiment_id_idx", "study_trial", ["experiment_id"], unique=True)
    op.add_column("experiment", sa.Column("study_id", sa.Text(collation="C")))
    op.add_column("experiment", sa.Column("trial", sa.Integer))
    op.create_foreign_key(op.f("experiment_study_id_fkey"), "experiment", "study", ["study_id"], ["id"])
    op.create_check_constraint(
        op.f("experiment_trial_of_study_check"), "experiment", "(study_id IS NULL) = (trial IS NULL)"
    )
    op.create_index(
        "experiment_study_id_trial_idx",
        "experiment",
        ["study_id", "trial"],
        postgresql_where=sa.text("study_id IS NOT NULL"),
    )
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY within_project ON {table} USING ({REACH} = '' OR project_id = {REACH})"
            f" WITH CHECK ({REACH} = '' OR project_id = {REACH})"
        )


def downgrade() -> None:
    op.drop_index("experiment_study_id_trial_idx", "experiment")
    op.drop_column("experiment", "trial")
    op.drop_column("experiment", "study_id")
    op.drop_table("study_trial")
    op.drop_table("study")
