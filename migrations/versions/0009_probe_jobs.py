"""Probe jobs: runs that look at a state instead of training; and remedies that were tried."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KNOWN = "relation IN ('retry', 'fork', 'replay'{more})"


def upgrade() -> None:
    op.add_column("run", sa.Column("task", postgresql.JSONB(astext_type=sa.Text())))
    op.drop_constraint(op.f("run_relation_known_check"), "run")
    op.create_check_constraint(op.f("run_relation_known_check"), "run", KNOWN.format(more=", 'probe'"))
    tasked = "(relation IS NOT DISTINCT FROM 'probe') = (task IS NOT NULL)"
    op.create_check_constraint(op.f("run_probe_has_task_check"), "run", tasked)
    _reasons(", 'escape'")
    _verifications()


def _reasons(more: str) -> None:
    op.drop_constraint(op.f("checkpoint_reason_known_check"), "checkpoint")
    known = f"reason IN ('due', 'best', 'end', 'wish'{more})"
    op.create_check_constraint(op.f("checkpoint_reason_known_check"), "checkpoint", known)


def _verifications() -> None:
    now = sa.text("clock_timestamp()")
    op.create_table(
        "verification",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("project_id", sa.Text(collation="C"), nullable=False),
        sa.Column("owner_id", sa.Text(collation="C"), nullable=False),
        sa.Column("run_id", sa.Text(collation="C"), nullable=False),
        sa.Column("finding", sa.Text(collation="C"), nullable=False),
        sa.Column("found", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seeds", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("from_step", sa.BigInteger(), nullable=False),
        sa.Column("control_id", sa.Text(collation="C"), nullable=False),
        sa.Column("job_id", sa.Text(collation="C"), nullable=True),
        sa.Column("patched_id", sa.Text(collation="C"), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("verification_project_id_fkey")),
        sa.ForeignKeyConstraint(["owner_id"], ["member.id"], name=op.f("verification_owner_id_fkey")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("verification_run_id_fkey")),
        sa.ForeignKeyConstraint(["control_id"], ["experiment.id"], name=op.f("verification_control_id_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["run.id"], name=op.f("verification_job_id_fkey")),
        sa.ForeignKeyConstraint(["patched_id"], ["experiment.id"], name=op.f("verification_patched_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("verification_pkey")),
    )
    op.create_index("verification_run_id_idx", "verification", ["run_id"])
    waiting = sa.text("patched_id IS NULL AND failure IS NULL")
    op.create_index("verification_job_id_idx", "verification", ["job_id"], postgresql_where=waiting)


def downgrade() -> None:
    op.drop_table("verification")
    _forget_the_jobs()
    _reasons("")
    op.drop_constraint(op.f("run_probe_has_task_check"), "run")
    op.drop_constraint(op.f("run_relation_known_check"), "run")
    op.create_check_constraint(op.f("run_relation_known_check"), "run", KNOWN.format(more=""))
    op.drop_column("run", "task")


def _forget_the_jobs() -> None:
    """Their rows go; the runs that were forked from them stand alone."""
    jobs = "SELECT id FROM run WHERE relation = 'probe'"
    alone = "parent_run_id = NULL, relation = NULL, origin_attempt = NULL, origin_step = 0"
    op.execute(f"UPDATE run SET {alone} WHERE parent_run_id IN ({jobs})")  # noqa: S608  no value in it
    op.execute(f"UPDATE worker SET run_id = NULL WHERE run_id IN ({jobs})")  # noqa: S608
    for table in ("metric_chunk", "metric_tile", "series", "event", "reading", "checkpoint", "attempt"):
        op.execute(f"DELETE FROM {table} WHERE run_id IN ({jobs})")  # noqa: S608
    op.execute("DELETE FROM run WHERE relation = 'probe'")
